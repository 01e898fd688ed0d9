"""The logic of a definition: its syntax tree as nested lists, and what it refers to.

The lists are equal under every supported Python version, and each name that leads out of the
definition is replaced by the number of a reference. Annotations are left out where nothing reads
them, and so are docstrings and the wording of errors that are raised: a run that ends in one leaves
no result.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import json
from typing import TYPE_CHECKING

from respike.runs.scan.effects import Calls
from respike.runs.scan.names import (
    HIDDEN,
    Scope,
    bound_in,
    hidden,
    imported,
    local_names,
    own_nodes,
    stored,
    walk,
)
from respike.runs.scan.normal_form import is_absent, is_docstring, text_pieces
from respike.runs.scan.references import MODULE_NAME, References
from respike.runs.scan.traits import FILE_NAME, may_change, strings

if TYPE_CHECKING:
    from respike.runs.scan.module import Module

# Decorators and base classes that do not read annotations; of a base class of ours the graph knows.
DEAF_DECORATORS = frozenset(
    {"functools", "contextlib", "property", "staticmethod", "classmethod", "njit", "setter"}
    | {"dataclass", "dataclasses", "no_grad", "inference_mode", "numba", "cached_property"}
)
DEAF_BASES = frozenset({"NamedTuple", "object", "Module", "Function", "Protocol", "ABC", "Enum"})
DATACLASS_WORDS = ("ClassVar", "InitVar", "KW_ONLY")


class Definition(References):
    """One statement of the top level: its logic, and what it refers to."""

    def __init__(self, module: Module, statement: ast.stmt, names: list[str], acts: bool):
        super().__init__(module, names)
        self.statement, self.acts = statement, acts
        self.bases: list[list] = []  # classes of ours that a class here derives from
        self.listens = False  # a class here may read the annotations of what derives from it
        self._keep = False  # whether annotations of the class at hand are read

    def found(self) -> dict:
        """Return the definition as JSON knows it."""
        logic = self.form(self.statement)
        parts = {name: Calls(self) for name in ("on_import", "of_body", "held")}
        for name, calls in parts.items():
            getattr(calls, name)(self.statement)
        texts = strings(self.statement)
        return {
            "names": self.names,
            "line": self.statement.lineno,
            "kind": type(self.statement).__name__,
            "logic": hashlib.sha256(json.dumps(logic).encode("utf-8", "surrogatepass")).hexdigest(),
            "references": self.references,
            "imports": sorted(self.imports),
            "uses_file": self.uses_file,
            "texts": sorted(texts if self.uses_file else filter(FILE_NAME.fullmatch, texts)),
            "reads": sorted(self.reads),
            "bases": self.bases,
            "listens": self.listens,
            "mutable": may_change(self.statement),
            "acts": self.acts or parts["on_import"].acts,
            "calls": parts["on_import"].calls,
            "body_acts": parts["of_body"].acts,
            "body_calls": parts["of_body"].calls,
            "held": parts["held"].calls,
        }

    def form(self, node: object) -> object:
        """Return a node as nested lists."""
        match node:
            case ast.Raise():
                self.raises += 1
                form = ["Raise", self._fields(node)]
                self.raises -= 1
                return form
            case ast.JoinedStr():
                pieces = text_pieces(node, self.form)
                if self.raises:
                    pieces = [piece for piece in pieces if not isinstance(piece, str)]
                return ["JoinedStr", pieces]
            case ast.Constant(value=str()) if self.raises:
                return ["Constant", "wording"]
            case ast.Constant(value=str(text)) if MODULE_NAME.fullmatch(text):
                self.reference("'", [text], node)
            case ast.Name():
                found = self.name(node, [], not isinstance(node.ctx, ast.Load))
                return ["Name", node.id] if found is None else found
            case ast.AugAssign(target=ast.Name(id=name)) if self.in_class():
                self.name(ast.Name(name, ast.Load(), lineno=node.lineno), [])  # read as well
            case ast.Attribute():
                return self._attribute(node)
            case ast.Import() | ast.ImportFrom():
                return self._local_import(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return self._function(node)
            case ast.ClassDef():
                return self._class(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node)
            case ast.AnnAssign():
                return self._annotated(node)
            case list():
                return [
                    form
                    for item in node
                    if not is_docstring(item) and (form := self.form(item)) is not None
                ]
        if isinstance(node, ast.AST):
            return [type(node).__name__, self._fields(node)]
        # The type keeps 1, 1.0, True and "1" apart. ascii, not repr: which characters repr shows
        # as they are depends on the Unicode tables of the Python version.
        return [type(node).__name__, ascii(node)]

    def _fields(self, node: ast.AST, skip: tuple[str, ...] = ()) -> list:
        fields = []
        for name in node._fields:
            # `ctx` follows from the place of a name; `kind` is the u of u"text".
            if name in ("ctx", "kind", *skip):
                continue
            value = getattr(node, name, None)
            # A constant None is a value; everywhere else None says that a part is absent.
            is_value = isinstance(node, ast.Constant) and name == "value"
            if is_value or not is_absent(value):
                fields.append([name, self.form(value)])
        return fields

    def _attribute(self, node: ast.Attribute) -> object:
        chain, base = [], node
        while isinstance(base, ast.Attribute):
            chain.append(base.attr)
            base = base.value
        chain.reverse()
        for name in HIDDEN.union(["__file__"]).intersection(chain):
            raise hidden(self.module.file, node, name)
        own = isinstance(base, ast.Name) and base.id in ("cls", "self")
        own = own and any(scope.is_class for scope in self.scopes)
        if not (own and chain[:1] == ["__annotations__"]):  # those of a class itself: `_class`
            self.mention(*chain)
        if isinstance(base, ast.Name):
            found = self.name(base, chain)
            if found is not None:
                return found
        return ["Attribute", self._fields(node)]

    def _local_import(self, node: ast.Import | ast.ImportFrom) -> object | None:
        if not self.scopes:  # within a statement of the top level: bound there
            return ["import", sorted({name for name, _ in imported(node, self.module.file)})]
        if not self.in_class():
            return None  # bound by `_bind_imports`, wherever it stands
        self.bind_imports([node])
        names = [name for name, _ in imported(node, self.module.file)]
        imports = self.scopes[-1].imports
        return ["import", [[n, [self.reference("", [t], node) for t in imports[n]]] for n in names]]

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list:
        is_lambda = isinstance(node, ast.Lambda)
        decorators = [] if is_lambda else node.decorator_list
        outside = [self.form(decorators), self.form(node.args.defaults)]
        outside.append([None if d is None else self.form(d) for d in node.args.kw_defaults])
        keep = self.module.annotations or not all(map(_is_deaf_decorator, decorators))
        arguments = [
            [kind, [self._argument(a, keep) for a in given]]
            for kind, given in (
                ("positional", node.args.posonlyargs),
                ("args", node.args.args),
                ("vararg", [node.args.vararg] if node.args.vararg else []),
                ("kwonly", node.args.kwonlyargs),
                ("kwarg", [node.args.kwarg] if node.args.kwarg else []),
            )
        ]
        if keep and not is_lambda and node.returns:
            outside.append(self.form(node.returns))
        body = [node.body] if is_lambda else node.body
        self.scopes.append(Scope(*local_names(node.args, body)))
        self.bind_imports(own_nodes(body))
        form = [type(node).__name__, outside, arguments, self.form(body)]
        self.scopes.pop()
        return form if is_lambda else [*form, *self._own_name(node)]

    def _own_name(self, node: ast.stmt) -> list:
        """Return the name of a function or class; that of the definition itself does not count."""
        if node is self.statement:
            return []
        return [node.name if self.scopes else ["self", self.names.index(node.name)]]

    def _argument(self, node: ast.arg, keep: bool) -> list:
        if keep and node.annotation is not None:
            return [node.arg, self.form(node.annotation)]
        return [node.arg]

    def _class(self, node: ast.ClassDef) -> list:
        outside = [self.form(node.decorator_list), self.form(node.bases), self.form(node.keywords)]
        deaf = [*map(_is_deaf_decorator, node.decorator_list), *map(self._is_deaf_base, node.bases)]
        looks = any(getattr(inner, "attr", "") == "__annotations__" for inner in walk(node))
        keep = looks or not all(deaf)
        self.listens |= keep
        body, scope = [], Scope(bound_in(node.body), is_class=True)
        declared = [n.names for n in own_nodes(node.body) if isinstance(n, ast.Global)]
        scope.outer = frozenset(sum(declared, []))
        self.scopes.append(scope)
        for statement in node.body:
            self._keep = keep or self.module.annotations
            if not is_docstring(statement):
                body.append(self.form(statement))
            scope.sure |= _surely_bound(statement)
            if isinstance(statement, ast.Delete):
                scope.sure -= bound_in([statement])
        self.scopes.pop()
        return ["ClassDef", outside, body, *self._own_name(node)]

    def _is_deaf_base(self, node: ast.expr) -> bool:
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        known = name in DEAF_BASES or name.endswith(("Error", "Warning"))
        return self._is_ours(node) or known or isinstance(getattr(builtins, name, None), type)

    def _is_ours(self, node: ast.expr) -> bool:
        """Return whether a base class is one of ours; the graph knows what that one reads."""
        chain = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        bound = self.module.bindings.get(getattr(node, "id", ""), [])
        ours = bool(bound) and all(
            kind == "definition" or what.split(".")[0] in ("", "respike") for kind, what in bound
        )
        if ours:
            self.bases.append([node.id, chain, node.lineno])
        return ours

    def _comprehension(self, node: ast.AST) -> list:
        first = self.form(node.generators[0].iter)  # evaluated outside
        self.scopes.append(Scope(set(stored([g.target for g in node.generators]))))
        rest = []
        for number, one in enumerate(node.generators):
            rest.append(
                [
                    self.form(one.target),
                    first if number == 0 else self.form(one.iter),
                    self.form(one.ifs),
                    one.is_async,
                ]
            )
        parts = [self.form(getattr(node, f)) for f in ("elt", "key", "value") if hasattr(node, f)]
        self.scopes.pop()
        return [type(node).__name__, parts, rest]

    def _annotated(self, node: ast.AnnAssign) -> object:
        """Return an annotated assignment; in a class it makes a field, elsewhere it is a remark."""
        if self.in_class():
            words = [w for w in DATACLASS_WORDS if w in ast.unparse(node.annotation)]
            field = ["field", self.form(node.target), words]
            if self._keep:
                field.append(self.form(node.annotation))
            return field if node.value is None else [*field, self.form(node.value)]
        if node.value is None:
            return None
        return ["Assign", [["targets", [self.form(node.target)]], ["value", self.form(node.value)]]]


def _is_deaf_decorator(node: ast.expr) -> bool:
    node = node.func if isinstance(node, ast.Call) else node
    words = {n.id for n in walk(node) if isinstance(n, ast.Name)}
    words |= {n.attr for n in walk(node) if isinstance(n, ast.Attribute)}
    return not DEAF_DECORATORS.isdisjoint(words)


def _surely_bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement of a class binds, whatever happens."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign() if statement.value:
            return set(stored(getattr(statement, "targets", None) or [statement.target]))
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    return set()
