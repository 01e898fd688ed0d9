"""What one Python file defines, binds and refers to, as plain data that can be kept on disk.

The logic of a definition is its syntax tree as nested lists that are equal under every supported
Python version, in which each name that leads out of the definition is replaced by the number of a
reference. Annotations are left out where nothing reads them, and so are docstrings and the wording
of errors that are raised: a run that ends in one leaves no result.
"""

from __future__ import annotations

import ast
import atexit
import builtins
import contextlib
import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from respike.runs.files import write_bytes
from respike.runs.normal_form import is_absent, is_docstring, text_pieces


class ProvenanceError(Exception):
    """Code that cannot be traced; the message names the file, the line and what to do."""


CACHE = Path(__file__).resolve().parents[3] / ".cache" / "scans"

# What is imported or reached with these only the running program knows.
HIDDEN = frozenset({"__import__", "import_module", "__subclasses__"})
# With these any name of the module can be reached.
REFLECTION = frozenset({"eval", "exec", "globals", "locals", "vars"})
MAIN = "if __name__ == '__main__'"

# Calls on import that only make a value. Everything else on import counts for all that import it.
PURE_PACKAGES = frozenset(
    {"collections", "dataclasses", "fractions", "functools", "itertools", "math", "numpy"}
    | {"operator", "pathlib", "re", "types", "typing", "enum", "abc", "contextlib"}
)
IMPURE = ("numpy.random", "numpy.set", "numpy.load", "numpy.save", "numpy.fromfile")
PURE = frozenset(
    {"torch.no_grad", "torch.inference_mode", "triton.jit", "triton.autotune"}
    | {"triton.heuristics", "torch.autograd.function.once_differentiable", "triton.Config"}
)
PURE_BUILTINS = frozenset(
    "abs all any ascii bin bool bytes bytearray callable chr classmethod complex dict divmod "
    "enumerate filter float format frozenset getattr hasattr hash hex int isinstance issubclass "
    "iter len list map max min next object oct ord pow property range repr reversed round set "
    "slice sorted staticmethod str sum super tuple type zip".split()
)
PURE_METHODS = frozenset(
    "items keys values get split rsplit splitlines join strip lstrip rstrip lower upper format "
    "replace removeprefix removesuffix encode decode startswith endswith copy union index count "
    "bit_length with_name with_suffix joinpath resolve absolute astype reshape tolist".split()
)
# Decorators and base classes that do not read annotations; base classes of ours do not either.
DEAF_DECORATORS = frozenset(
    {"functools", "contextlib", "property", "staticmethod", "classmethod", "njit", "setter"}
    | {"dataclass", "dataclasses", "no_grad", "inference_mode", "numba", "cached_property"}
)
DEAF_BASES = frozenset({"NamedTuple", "object", "Module", "Function", "Protocol", "ABC", "Enum"})
DATACLASS_WORDS = ("ClassVar", "InitVar", "KW_ONLY")


def kept_scan(source: bytes, file: str) -> dict:
    """Return the scan of a file; equal content is scanned once, also by later processes.

    Raises
    ------
    ProvenanceError
        The file is no valid Python, or hides what it imports.
    """
    known = _kept()
    key = hashlib.sha256(source).hexdigest()
    if key not in known:
        known[key] = scan(source, file)
    return known[key]


@functools.cache
def _kept() -> dict[str, dict]:
    """Return content of a file -> its scan, from earlier processes; what is added is kept at exit.

    The name of the file carries the content of the scanner: another one begins anew. What cannot be
    read or written is done without.
    """
    from respike.runs import normal_form

    scanner = b"".join(Path(file).read_bytes() for file in (__file__, normal_form.__file__))
    name = f"{hashlib.sha256(scanner).hexdigest()[:16]}.json"
    file = CACHE / name
    try:
        content = json.loads(file.read_bytes())
        known = content["scans"] if content["seal"] == _seal(content["scans"]) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        known = {}
    if len(known) > 5000:  # versions of years: begin anew
        known = {}
    before = len(known)

    def keep() -> None:
        if len(known) > before:
            content = {"scans": known, "seal": _seal(known)}
            with contextlib.suppress(OSError):
                write_bytes(file, json.dumps(content).encode(), sync=False)

    atexit.register(keep)
    return known


def _seal(scans: dict) -> str:
    return hashlib.sha256(json.dumps(scans).encode()).hexdigest()


def scan(source: bytes, file: str) -> dict:
    """Return definitions, bindings, imports and star imports of a file, as JSON knows them."""
    try:
        tree = ast.parse(source, filename=file)
    except SyntaxError as error:
        raise ProvenanceError(f"{file}:{error.lineno}: not valid Python: {error.msg}") from error
    except ValueError as error:
        raise ProvenanceError(f"{file}: not valid Python: {error}") from error
    return _Module(tree, file).found()


class _Module:
    """The top level of a file."""

    def __init__(self, tree: ast.Module, file: str):
        self.file = file
        self.bindings: dict[str, list] = {}
        self.imports: set[str] = set()
        self.stars: list[str] = []
        self.statements: list[tuple[ast.stmt, list[str], bool]] = []  # with names; acts on import
        for statement in tree.body:
            self._bind(statement)

    def found(self) -> dict:
        definitions = [
            _Definition(self, statement, names, acts).found()
            for statement, names, acts in self.statements
        ]
        return {
            "definitions": definitions,
            "bindings": self.bindings,
            "imports": sorted(self.imports),
            "stars": self.stars,
        }

    def _bind(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Import() | ast.ImportFrom():
                self._import(statement)
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names, acts = [statement.name], False
            case ast.Assign(targets=targets) if all(map(_is_names, targets)):
                names, acts = list(_stored(targets)), False
            case ast.AnnAssign(target=ast.Name(id=name)):
                if statement.value is None:
                    return
                names, acts = [name], False
            case ast.If(test=test) if _is_main(test) or _is_type_checking(test):
                for other in statement.orelse:
                    self._bind(other)
                return
            case ast.Pass() | ast.Global():
                return
            case _ if is_docstring(statement):
                return
            case _:
                names, acts = sorted(_bound_in([statement])), True
                for inner in ast.walk(statement):
                    if isinstance(inner, ast.Import | ast.ImportFrom):
                        self._import(inner)
        for name in names:
            self.bindings.setdefault(name, []).append(["definition", len(self.statements)])
        self.statements.append((statement, names, acts))

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for name, dotted in imported(statement, self.file):
            self.imports.add(dotted)
            if name == "*":
                self.stars.append(dotted)
            else:
                target = dotted if _has_alias(statement, name) else dotted.split(".")[0]
                self.bindings.setdefault(name, []).append(["import", target])


def imported(statement: ast.Import | ast.ImportFrom, file: str) -> Iterator[tuple[str, str]]:
    """Yield (bound name, imported dotted name); the dots of a relative import lead it."""
    for alias in statement.names:
        if alias.name in HIDDEN:
            raise _hidden(file, statement)
        if isinstance(statement, ast.Import):
            yield alias.asname or alias.name.split(".")[0], alias.name
        else:
            base = "." * statement.level + (statement.module or "")
            if alias.name == "*":
                yield "*", base
            else:
                joint = "" if not statement.module else "."
                yield alias.asname or alias.name, f"{base}{joint}{alias.name}"


def _has_alias(statement: ast.stmt, name: str) -> bool:
    """Return whether the name stands for the whole dotted name: not in `import a.b`."""
    if isinstance(statement, ast.ImportFrom):
        return True
    return any(alias.asname == name for alias in statement.names)


def _hidden(file: str, node: ast.AST) -> ProvenanceError:
    return ProvenanceError(
        f"{file}:{node.lineno}: {' or '.join(sorted(HIDDEN))} hides what is imported; "
        "write an import statement"
    )


@dataclass
class _Scope:
    """Names that a function, class or comprehension binds."""

    names: set[str]
    outer: frozenset[str] = frozenset()  # declared global
    is_class: bool = False
    imports: dict[str, str] = field(default_factory=dict)  # name -> dotted name


class _Definition:
    """One statement of the top level: its logic, and what it refers to."""

    def __init__(self, module: _Module, statement: ast.stmt, names: list[str], acts: bool):
        self.module, self.statement, self.names = module, statement, names
        self.acts = acts
        self.references: list[list] = []
        self._numbers: dict[tuple, int] = {}
        self.imports: set[str] = set()
        self.uses_file = False
        self.scopes: list[_Scope] = []
        self._raises = 0  # depth of statements that raise around the node at hand

    def found(self) -> dict:
        """Return the definition as JSON knows it."""
        logic = self.form(self.statement)
        calls = _Calls(self)
        calls.on_import(self.statement)
        body = _Calls(self)
        body.of_body(self.statement)
        texts = {
            node.value
            for node in ast.walk(self.statement)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        return {
            "names": self.names,
            "line": self.statement.lineno,
            "logic": hashlib.sha256(json.dumps(logic).encode("utf-8", "surrogatepass")).hexdigest(),
            "references": self.references,
            "imports": sorted(self.imports),
            "files": sorted(texts) if self.uses_file else None,
            "acts": self.acts or calls.acts,
            "calls": calls.calls,
            "body_acts": body.acts,
            "body_calls": body.calls,
        }

    # ------------------------------------------------------------------------------- names

    def lookup(self, name: str) -> tuple[str, str | None]:
        """Return what a name is: local, import (with its target), global or builtin."""
        for depth, scope in enumerate(reversed(self.scopes)):
            if scope.is_class and depth > 0:
                continue
            if name in scope.outer:
                break
            if name in scope.imports:
                return "import", scope.imports[name]
            if name in scope.names:
                return "local", None
        if name in self.module.bindings:
            return "global", None
        return "builtin", None

    def reference(self, name: str, chain: list[str], node: ast.AST) -> list:
        """Return the placeholder of a reference, numbered by first use."""
        key = (name, *chain)
        if key not in self._numbers:
            self._numbers[key] = len(self.references)
            self.references.append([name, chain, node.lineno])
        return ["reference", self._numbers[key]]

    def _name(self, node: ast.Name, chain: list[str]) -> object | None:
        """Return the placeholder of a name with attributes behind it; None for a local name."""
        kind, target = self.lookup(node.id)
        if kind == "import":
            return self.reference("", [target, *chain], node)
        if kind == "global":
            if node.id in self.names and len(self.module.bindings[node.id]) == 1:
                return self._behind(["self", self.names.index(node.id)], chain)
            only_imports = all(k == "import" for k, _ in self.module.bindings[node.id])
            if only_imports:
                return self.reference(node.id, chain, node)
            return self._behind(self.reference(node.id, [], node), chain)
        if kind == "builtin":
            if node.id in HIDDEN:
                raise _hidden(self.module.file, node)
            if node.id in REFLECTION:
                self.reference("*", [], node)
            if node.id == "__file__":
                self.uses_file = True
            elif self.module.stars and not hasattr(builtins, node.id):
                return self._behind(self.reference(node.id, [], node), chain)
        return None

    @staticmethod
    def _behind(form: object, chain: list[str]) -> object:
        for name in chain:
            form = ["Attribute", [["value", form], ["attr", ["str", ascii(name)]]]]
        return form

    # -------------------------------------------------------------------------------- forms

    def form(self, node: object) -> object:
        """Return a node as nested lists."""
        match node:
            case ast.Raise():
                self._raises += 1
                form = ["Raise", self._fields(node)]
                self._raises -= 1
                return form
            case ast.JoinedStr():
                pieces = text_pieces(node, self.form)
                if self._raises:
                    pieces = [piece for piece in pieces if not isinstance(piece, str)]
                return ["JoinedStr", pieces]
            case ast.Constant(value=str()) if self._raises:
                return ["Constant", "wording"]
            case ast.Name():
                found = self._name(node, [])
                return ["Name", node.id] if found is None else found
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
            case ast.AST():
                return [type(node).__name__, self._fields(node)]
            case list():
                return [
                    form
                    for item in node
                    if not is_docstring(item) and (form := self.form(item)) is not None
                ]
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
        if node.attr in HIDDEN:
            raise _hidden(self.module.file, node)
        chain, base = [], node
        while isinstance(base, ast.Attribute):
            chain.append(base.attr)
            base = base.value
        chain.reverse()
        if isinstance(base, ast.Name):
            if chain == ["modules"] and self.lookup(base.id)[0] != "local" and base.id == "sys":
                self.reference("*", [], node)
            found = self._name(base, chain)
            if found is not None:
                return found
        return ["Attribute", self._fields(node)]

    def _local_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if not self.scopes:
            return None  # of a statement of the top level: bound there
        scope = self.scopes[-1]
        for name, dotted in imported(node, self.module.file):
            self.imports.add(dotted)
            scope.imports[name] = dotted if _has_alias(node, name) else dotted.split(".")[0]
        return None

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list:
        is_lambda = isinstance(node, ast.Lambda)
        decorators = [] if is_lambda else node.decorator_list
        outside = [self.form(decorators), self.form(node.args.defaults)]
        outside.append([None if d is None else self.form(d) for d in node.args.kw_defaults])
        keep = not all(map(_is_deaf_decorator, decorators))
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
        scope = _Scope(*_local_names(node.args, body))
        self.scopes.append(scope)
        # Imports bind for the whole function, wherever they stand in it.
        for inner in _own_nodes(body):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                self._local_import(inner)
        form = [type(node).__name__, outside, arguments, self.form(body)]
        self.scopes.pop()
        inside = bool(self.scopes) and not is_lambda
        return [*form, node.name] if inside else form  # nested: a local name

    def _argument(self, node: ast.arg, keep: bool) -> list:
        if keep and node.annotation is not None:
            return [node.arg, self.form(node.annotation)]
        return [node.arg]

    def _class(self, node: ast.ClassDef) -> list:
        outside = [self.form(node.decorator_list), self.form(node.bases), self.form(node.keywords)]
        deaf = [*map(_is_deaf_decorator, node.decorator_list), *map(self._is_deaf_base, node.bases)]
        keep = not all(deaf)
        scope = _Scope(_bound_in(node.body), is_class=True)
        self.scopes.append(scope)
        body = []
        for statement in node.body:
            self._keep = keep
            if not is_docstring(statement):
                body.append(self.form(statement))
        self.scopes.pop()
        inside = bool(self.scopes)
        return ["ClassDef", outside, body, *([node.name] if inside else [])]

    def _is_deaf_base(self, node: ast.expr) -> bool:
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        known = name in DEAF_BASES or name.endswith(("Error", "Warning"))
        return known or isinstance(getattr(builtins, name, None), type) or self._is_ours(node)

    def _is_ours(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        bound = self.module.bindings.get(getattr(node, "id", ""), [])
        return bool(bound) and all(
            kind == "definition" or what.split(".")[0] in ("", "respike") for kind, what in bound
        )

    _keep = False  # whether annotations of the class at hand are read

    def _comprehension(self, node: ast.AST) -> list:
        first = self.form(node.generators[0].iter)  # evaluated outside
        self.scopes.append(_Scope(set(_stored([g.target for g in node.generators]))))
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
        in_class = bool(self.scopes) and self.scopes[-1].is_class
        if in_class:
            words = [w for w in DATACLASS_WORDS if w in ast.unparse(node.annotation)]
            field = ["field", self.form(node.target), words]
            if self._keep:
                field.append(self.form(node.annotation))
            return field if node.value is None else [*field, self.form(node.value)]
        if node.value is None:
            return None
        return ["Assign", [["targets", [self.form(node.target)]], ["value", self.form(node.value)]]]


class _Calls:
    """Which definitions of ours some expressions call, and whether they call what is not known."""

    def __init__(self, definition: _Definition):
        self.of = definition
        self.acts = False
        self.calls: list[list] = []

    def on_import(self, statement: ast.stmt) -> None:
        """Look at what is evaluated when the statement runs on import."""
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._decorated(statement)
                defaults = [*statement.args.defaults, *statement.args.kw_defaults]
                self._expressions([d for d in defaults if d is not None])
            case ast.ClassDef():
                self._decorated(statement)
                self._expressions(statement.bases)
                for base in statement.bases:
                    self._call(base, None)
                if any(k.arg == "metaclass" for k in statement.keywords):
                    self.acts = True
                for inner in statement.body:
                    self.on_import(inner)
            case ast.Assign() | ast.AnnAssign():
                self._expressions([statement.value] if statement.value else [])
                targets = getattr(statement, "targets", None) or [statement.target]
                self.acts |= not all(map(_is_names, targets))
            case ast.Pass() | ast.Import() | ast.ImportFrom():
                pass
            case _ if is_docstring(statement):
                pass
            case _:
                self.acts = True

    def of_body(self, statement: ast.stmt) -> None:
        """Look at what runs when a function or class of ours is called."""
        match statement:
            case ast.FunctionDef():
                self._body(statement)
            case ast.ClassDef():
                for inner in statement.body:
                    if isinstance(inner, ast.FunctionDef):
                        self.acts |= inner.name in ("__init_subclass__", "__set_name__")
                        if inner.name in ("__init__", "__post_init__", "__new__"):
                            self._body(inner)
            case _:
                self.acts = True  # a constant that is called: what it holds is not known

    def _body(self, function: ast.FunctionDef) -> None:
        names, outer = _local_names(function.args, function.body)
        self.of.scopes.append(_Scope(names, outer=outer))
        for node in _own_nodes(function.body):
            if isinstance(node, ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom):
                self.acts = True
            elif isinstance(node, ast.Call):
                self._call(node.func, node, in_body=True)
        self.of.scopes.pop()

    def _decorated(self, statement) -> None:
        for decorator in statement.decorator_list:
            self._call(decorator.func if isinstance(decorator, ast.Call) else decorator, None)
            if isinstance(decorator, ast.Call):
                self._expressions([*decorator.args, *(k.value for k in decorator.keywords)])

    def _expressions(self, nodes: list[ast.expr]) -> None:
        for root in nodes:
            for node in _own_nodes([root]):
                if isinstance(node, ast.Call):
                    self._call(node.func, node)

    def _call(self, function: ast.expr, call: ast.Call | None, in_body: bool = False) -> None:
        chain, base = [], function
        while isinstance(base, ast.Attribute):
            chain.insert(0, base.attr)
            base = base.value
        if not isinstance(base, ast.Name):
            self.acts |= not (chain and chain[-1] in PURE_METHODS)
            return
        kind, target = self.of.lookup(base.id)
        if kind == "builtin":
            is_error = hasattr(builtins, base.id) and isinstance(getattr(builtins, base.id), type)
            self.acts |= not (base.id in PURE_BUILTINS or is_error)
        elif kind == "local":
            self.acts |= not chain  # a method of a local value; a local function is not known
        elif kind == "import":
            self.calls.append(["", [target, *chain], function.lineno])
            self._outside(".".join([target, *chain]))
        else:
            imports = [t for k, t in self.of.module.bindings[base.id] if k == "import"]
            if not imports and chain:
                self.acts |= chain[-1] not in PURE_METHODS
                return
            self.calls.append([base.id, chain, function.lineno])
            for one in imports:
                self._outside(".".join([one, *chain]))

    def _outside(self, dotted: str) -> None:
        top = dotted.split(".")[0]
        if top in ("", "respike") or dotted in PURE:
            return
        if dotted.startswith(("torch.nn.", "torch.autograd.Function")):  # as base classes
            return
        self.acts |= top not in PURE_PACKAGES or dotted.startswith(IMPURE)


# ------------------------------------------------------------------------------------ names


def _is_names(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_is_names, target.elts))
    return isinstance(target, ast.Name)


def _stored(nodes: list) -> list[str]:
    names = [
        inner.id
        for node in nodes
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    ]
    return list(dict.fromkeys(names))


def _is_main(test: ast.expr) -> bool:
    return f"if {ast.unparse(test)}" == MAIN


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _own_nodes(body: list) -> Iterator[ast.AST]:
    """Yield the nodes of a scope: nested functions, lambdas and classes only by their outside."""
    todo = list(body)
    while todo:
        node = todo.pop(0)
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*node.decorator_list, *node.args.defaults]
            todo += [d for d in node.args.kw_defaults if d is not None]
        elif isinstance(node, ast.Lambda):
            todo += node.args.defaults
        elif isinstance(node, ast.ClassDef):
            todo += [*node.decorator_list, *node.bases, *node.body]
        else:
            todo += ast.iter_child_nodes(node)


def _bound_in(body: list) -> set[str]:
    """Return the names that statements bind in their scope, without those of comprehensions."""
    names: set[str] = set()
    todo = list(body)
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
                continue
            case ast.Lambda():
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                inner = [n for n in ast.walk(node) if isinstance(n, ast.NamedExpr)]
                names.update(n.target.id for n in inner)
                continue
            case ast.Import() | ast.ImportFrom():
                continue  # kept apart, they lead somewhere
            case ast.Name(ctx=ast.Store() | ast.Del()):
                names.add(node.id)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                names.add(name)
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                names.add(name)
        todo += ast.iter_child_nodes(node)
    return names


def _local_names(arguments: ast.arguments, body: list) -> tuple[set[str], frozenset[str]]:
    """Return (names that a function binds, names that it declares to be others')."""
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    given += [a for a in (arguments.vararg, arguments.kwarg) if a]
    outer = {
        name for node in _own_nodes(body) if isinstance(node, ast.Global) for name in node.names
    }
    nonlocal_ = {
        name for node in _own_nodes(body) if isinstance(node, ast.Nonlocal) for name in node.names
    }
    names = {a.arg for a in given} | _bound_in(body)
    return names - outer - nonlocal_, frozenset(outer)


def _is_deaf_decorator(node: ast.expr) -> bool:
    node = node.func if isinstance(node, ast.Call) else node
    words = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    words |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return not DEAF_DECORATORS.isdisjoint(words)
