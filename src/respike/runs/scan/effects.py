"""What a definition may do on import, beyond binding its names.

Only what is known to make a value and nothing else passes: everything else on import counts for all
that import the module. Calls of definitions of ours are handed on to the graph, which knows them.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from respike.runs.scan.names import (
    Scope,
    bound_in,
    evaluated,
    is_names,
    local_names,
    own_nodes,
    walk,
)
from respike.runs.scan.names import stored as stored_in
from respike.runs.scan.normal_form import is_docstring

if TYPE_CHECKING:
    from respike.runs.scan.logic import Definition

PURE_PACKAGES = frozenset(
    {"collections", "dataclasses", "fractions", "functools", "itertools", "math", "numpy"}
    | {"operator", "pathlib", "re", "types", "typing", "enum", "abc", "contextlib"}
)
IMPURE = tuple(
    f"numpy.{name}" for name in "random set load save fromfile copyto put place fill".split()
) + ("operator.set", "operator.del", "operator.iadd")
PURE = frozenset(
    {"torch.no_grad", "torch.inference_mode", "triton.jit", "triton.autotune"}
    | {"triton.heuristics", "torch.autograd.function.once_differentiable", "triton.Config"}
)
PURE_BASES = ("torch.nn.", "torch.autograd.Function")
PURE_BUILTINS = frozenset(
    "abs all any ascii bin bool bytes bytearray callable chr classmethod complex dict divmod "
    "enumerate filter float format frozenset getattr hasattr hash hex int isinstance issubclass "
    "iter len list map max min object oct ord pow property range repr reversed round set "
    "slice sorted staticmethod str sum super tuple type zip".split()
)
PURE_METHODS = frozenset(
    "items keys values get split rsplit splitlines join strip lstrip rstrip lower upper format "
    "replace removeprefix removesuffix encode decode startswith endswith copy union index count "
    "bit_length with_name with_suffix joinpath resolve absolute astype reshape tolist".split()
)
# These take functions without calling them.
KEEPS = frozenset(
    {"partial", "wraps", "cache", "lru_cache", "cached_property", "property", "staticmethod"}
    | {"classmethod", "field", "isinstance", "issubclass", "callable", "njit", "jit"}
)
# What these return nothing else refers to.
NEW = re.compile(
    r"list|dict|set|bytearray|(np|numpy)\.(zeros|ones|empty|full|arange|array)(_like)?"
)
MAKERS = ("__init__", "__post_init__", "__new__")


class Calls:
    """Which definitions of ours some code calls, and whether it acts in a way that is not known.

    Attributes
    ----------
    acts : bool
        It does, or may do, more than make a value.
    calls : list of [name, chain, line, called]
        References that it calls, or, with `called` false, hands to something that may.
    """

    def __init__(self, definition: Definition):
        self.of = definition
        self.acts = False
        self.calls: list[list] = []

    def on_import(self, statement: ast.stmt) -> None:
        """Look at what is evaluated when the statement runs on import."""
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._decorated(statement)
            case ast.ClassDef():
                self._decorated(statement)
                for base in statement.bases:
                    self._call(base, None)
                self.acts |= any(k.arg in ("metaclass", None) for k in statement.keywords)
                self.of.scopes.append(Scope(bound_in(statement.body), is_class=True))
                self.of.scopes[-1].sure |= self.of.scopes[-1].names
                for inner in statement.body:
                    self.on_import(inner)
                self.of.scopes.pop()
            case ast.Assign() | ast.AnnAssign():
                targets = getattr(statement, "targets", None) or [statement.target]
                self.acts |= not all(map(is_names, targets))
            case ast.Pass() | ast.Import() | ast.ImportFrom():
                pass
            case _ if is_docstring(statement):
                pass
            case _:
                self.acts = True
        self._expressions(evaluated(statement))

    def of_body(self, statement: ast.stmt) -> None:
        """Look at what runs when a function or class of ours is called."""
        match statement:
            case ast.FunctionDef():
                self._body(statement)
                self._decorated(statement)
            case ast.ClassDef():
                for base in statement.bases:
                    self._call(base, None)
                self.acts |= any(k.arg in ("metaclass", None) for k in statement.keywords)
                for inner in statement.body:
                    match inner:
                        case ast.FunctionDef(name=name):
                            self.acts |= name in ("__init_subclass__", "__set_name__", "__call__")
                            if name in MAKERS:
                                self._body(inner)
                        case ast.AnnAssign(value=ast.Call() as call):  # default_factory
                            self._handed([k.value for k in call.keywords])
            case ast.Assign() | ast.AnnAssign():
                self.acts = True  # a constant that is called: what it holds is not known
            case _:
                self.acts = True

    def held(self, statement: ast.stmt) -> None:
        """Look at what a constant may hold that can be called."""
        match statement:
            case ast.Assign() | ast.AnnAssign() if statement.value:
                self._handed(list(own_nodes([statement.value])))

    def _body(self, function: ast.FunctionDef) -> None:
        """Look at a body, with all functions in it: they may be called."""
        names, outer = local_names(function.args, function.body)
        inside = [node for one in function.body for node in walk(one)]
        for node in inside:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                body = [node.body] if isinstance(node, ast.Lambda) else node.body
                names |= local_names(node.args, body)[0]
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
        own = function.args.args[0].arg if function.name in MAKERS and function.args.args else None
        fresh = _fresh([function, *inside])
        self.of.scopes.append(Scope(names - outer, outer=outer))
        for node in inside:
            match node:
                case ast.Global() | ast.Nonlocal() | ast.Import() | ast.ImportFrom():
                    self.acts = True
                case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()) if name == own:
                    pass
                case ast.Subscript(value=ast.Name(id=name)) if name in fresh:
                    pass
                case ast.Attribute(ctx=ast.Store() | ast.Del()):
                    self.acts = True
                case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.AugAssign():
                    self.acts = True
                case ast.Expr(value=ast.Call()):
                    self.acts = True  # not for its value
                case ast.Call():
                    self._call(node.func, node)
        self.of.scopes.pop()

    def _decorated(self, statement) -> None:
        for decorator in statement.decorator_list:
            self._call(decorator.func if isinstance(decorator, ast.Call) else decorator, None)

    def _expressions(self, nodes: Iterable[ast.expr]) -> None:
        nodes = [*own_nodes(nodes)]
        inner = [n.target for n in nodes if isinstance(n, ast.comprehension)]
        self.of.scopes.append(Scope(set(stored_in(inner))))
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node.func, node)
        self.of.scopes.pop()

    def _handed(self, values: Iterable[ast.expr]) -> None:
        """Look at what is given to a call: it may call that in turn."""
        for value in values:
            match value:
                case ast.Lambda():
                    self._expressions([value.body])
                case ast.Name() | ast.Attribute():
                    self._call(value, None, called=False)
                case ast.Starred() | ast.Tuple() | ast.List() | ast.Set() | ast.Dict():
                    self._handed(ast.iter_child_nodes(value))

    def _call(self, function: ast.expr, call: ast.Call | None, called: bool = True) -> None:
        chain, base = [], function
        while isinstance(base, ast.Attribute):
            chain.insert(0, base.attr)
            base = base.value
        if call is not None:
            name = chain[-1] if chain else getattr(base, "id", None)
            if name not in KEEPS:
                self._handed([*call.args, *(k.value for k in call.keywords)])
            self.acts |= any(k.arg == "out" for k in call.keywords)
        if not isinstance(base, ast.Name):
            self.acts |= called and not (chain and chain[-1] in PURE_METHODS)
            return
        kind, targets = self.of.lookup(base.id)
        if kind == "builtin":
            is_type = isinstance(getattr(builtins, base.id, None), type)
            self.acts |= called and not (base.id in PURE_BUILTINS or is_type)
        elif kind == "local":
            self.acts |= called and not (chain and chain[-1] in PURE_METHODS)
        elif kind == "import":
            for target in targets:
                self._imported(["", [target, *chain], function.lineno, called], call)
        else:
            imports = [t for k, t in self.of.module.bindings[base.id] if k == "import"]
            if not imports and chain:
                self.acts |= called and chain[-1] not in PURE_METHODS
                return
            self.calls.append([base.id, chain, function.lineno, called])
            for one in imports:
                self._outside(".".join([one, *chain]), call, called)

    def _imported(self, reference: list, call: ast.Call | None) -> None:
        self.calls.append(reference)
        self._outside(".".join(reference[1]), call, reference[3])

    def _outside(self, dotted: str, call: ast.Call | None, called: bool) -> None:
        top = dotted.split(".")[0]
        if not called or top in ("", "respike") or dotted in PURE:
            return
        if call is None and dotted.startswith(PURE_BASES):
            return
        self.acts |= top not in PURE_PACKAGES or f"{dotted}.".startswith(IMPURE)


def _fresh(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names in a function that only ever stand for objects that it made itself."""
    new, other = set(), set()
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                other |= {a.arg for a in walk(node.args) if isinstance(a, ast.arg)}
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_new(value):
                new.add(name)
            case ast.Assign() | ast.AnnAssign() | ast.NamedExpr() | ast.For() | ast.With():
                other |= set(stored_in([node]))
            case ast.Global() | ast.Nonlocal():
                other |= set(node.names)
    return new - other


def _is_new(value: ast.expr) -> bool:
    displays = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return isinstance(value, displays) or (
        isinstance(value, ast.Call) and bool(NEW.fullmatch(ast.unparse(value.func)))
    )
