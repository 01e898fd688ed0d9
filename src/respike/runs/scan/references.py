"""The references of a definition: names that lead out of it, in the order of their first use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from respike.runs.scan.names import (
    HIDDEN,
    REFLECTION,
    Scope,
    check_open,
    hidden,
    imported,
    target_of,
)

if TYPE_CHECKING:
    from respike.runs.scan.module import Module

# What else a definition may read of others: their names, their modules, their annotations.
READS = {
    "__name__": "names", "__qualname__": "names", "__module__": "modules", "__package__": "modules",
    "__annotations__": "annotations", "get_type_hints": "annotations",
    "get_annotations": "annotations", "signature": "annotations", "getfullargspec": "annotations",
}  # fmt: skip
MODULE_NAME = re.compile(r"respike(\.[A-Za-z_]\w*)+")


class References:
    """What the names in a definition are.

    Attributes
    ----------
    references : list of [name, chain, line]
        See `reference`.
    imports : set of str
        Dotted names that are imported within the definition.
    uses_file : bool
        It reads `__file__`.
    reads : set of str
        What it may read of other definitions beside their logic: values of READS.
    """

    def __init__(self, module: Module, names: list[str]):
        self.module, self.names = module, names
        self.references: list[list] = []
        self.imports: set[str] = set()
        self.uses_file = False
        self.reads: set[str] = set()
        self.scopes: list[Scope] = []
        self.raises = 0  # depth of statements that raise around the node at hand
        self._numbers: dict[tuple, int] = {}

    def lookup(self, name: str, stored: bool = False) -> tuple[str, list[str]]:
        """Return what a name is: local, import (with its targets), global or builtin."""
        for depth, scope in enumerate(reversed(self.scopes)):
            if scope.is_class and depth > 0:
                continue
            if name in scope.outer:
                break
            if scope.is_class and not stored and name not in scope.sure:
                continue  # read before the class binds it, it is one from outside
            if name in scope.imports:
                return "import", scope.imports[name]
            if name in scope.names:
                return "local", []
        return ("global" if name in self.module.bindings else "builtin"), []

    def reference(self, name: str, chain: list[str], node: ast.AST) -> list:
        """Return the placeholder of a reference, numbered by first use.

        The name is one of the module, with attributes behind it; or "" with a dotted name, "'"
        with a text that may name a module, or "*": all of this module.
        """
        key = (name, *chain)
        if key not in self._numbers:
            self._numbers[key] = len(self.references)
            self.references.append([name, chain, node.lineno])
        return ["reference", self._numbers[key]]

    def name(self, node: ast.Name, chain: list[str], stored: bool = False) -> object | None:
        """Return the placeholder of a name with attributes behind it; None for a local name."""
        kind, targets = self.lookup(node.id, stored)
        if kind == "import":
            forms = []
            for target in targets:
                self._outside(target, chain, node)
                forms.append(self.reference("", [target, *chain], node))
            return forms[0] if len(forms) == 1 else ["either", forms]
        if kind == "global":
            bound = self.module.bindings[node.id]
            for one, target in bound:
                if one == "import":
                    self._outside(target, chain, node)
            if node.id in self.names and len(bound) == 1 and not self.module.stars:
                return self._behind(["self", self.names.index(node.id)], chain)
            return self.reference(node.id, chain, node)
        if kind == "builtin":
            if node.id in HIDDEN:
                raise hidden(self.module.file, node, node.id)
            if node.id in REFLECTION:
                self.reference("*", [], node)
                for scope in self.scopes:
                    for target in sum(scope.imports.values(), []):
                        self.reference("", [target], node)
            self.mention("__module__" if node.id == "__name__" else node.id)
            if node.id == "__file__":
                self.uses_file = True
            elif self.module.stars:
                return self.reference(node.id, chain, node)
        return None

    def _outside(self, target: str, chain: list[str], node: ast.AST) -> None:
        check_open(self.module.file, node, ".".join([target, *chain]))
        self.mention(*target.split("."), *chain)

    @staticmethod
    def _behind(form: object, chain: list[str]) -> object:
        for name in chain:
            form = ["Attribute", [["value", form], ["attr", ["str", ascii(name)]]]]
        return form

    def mention(self, *names: str) -> None:
        """Note names and attributes by which a definition may read something of others."""
        if not self.raises:
            self.reads |= {READS[name] for name in names if name in READS}

    def bind_imports(self, nodes: Iterable[ast.AST]) -> None:
        """Bind the imports among some nodes in the scope at hand."""
        scope = self.scopes[-1]
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name, dotted in imported(node, self.module.file):
                    self.imports.add(dotted)
                    targets = scope.imports.setdefault(name, [])
                    if (target := target_of(node, name, dotted)) not in targets:
                        targets.append(target)

    def in_class(self) -> bool:
        """Return whether the scope at hand is that of a class."""
        return bool(self.scopes) and self.scopes[-1].is_class
