"""Names in a file: what binds them, in which scope, and what hides where they lead."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


class ProvenanceError(Exception):
    """Code that cannot be traced; the message names the file, the line and what to do."""


# What is imported or reached with these only the running program knows.
HIDDEN = frozenset(
    {"__import__", "import_module", "__subclasses__", "__globals__", "__builtins__", "f_globals"}
    | {"f_back", "_getframe", "getmodule", "get_objects", "get_referrers", "__path__"}
    | {"__spec__", "__loader__"}
)
HIDDEN_IN = frozenset({"importlib", "builtins", "pkgutil", "runpy", "pickle", "shelve", "marshal"})
OPEN_IN = "importlib.metadata"  # versions of packages
# With these any name of the module, or of the scope, can be reached.
REFLECTION = frozenset({"eval", "exec", "globals", "locals", "vars"})


@dataclass
class Scope:
    """Names that a function, class or comprehension binds."""

    names: set[str]
    outer: frozenset[str] = frozenset()  # declared global
    is_class: bool = False
    imports: dict[str, list[str]] = field(default_factory=dict)  # name -> dotted names
    sure: set[str] = field(default_factory=set)  # of a class: bound by now, whatever happens


def hidden(file: str, node: ast.AST, what: str) -> ProvenanceError:
    """Return the error of a name that hides where it leads."""
    return ProvenanceError(
        f"{file}:{node.lineno}: {what} hides what runs; write an import statement, or hand over "
        "what is meant"
    )


def check_open(file: str, node: ast.AST, dotted: str) -> None:
    """Raise ProvenanceError if what lies behind the dotted name of another package is hidden."""
    of_open = f"{dotted}.".startswith(f"{OPEN_IN}.")
    if (dotted.split(".")[0] in HIDDEN_IN and not of_open) or (
        f"{dotted}.".startswith("sys.modules.") or not HIDDEN.isdisjoint(dotted.split("."))
    ):
        raise hidden(file, node, dotted)


def imported(statement: ast.Import | ast.ImportFrom, file: str) -> Iterator[tuple[str, str]]:
    """Yield (bound name, imported dotted name); the dots of a relative import lead it."""
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            name, dotted = alias.asname or alias.name.split(".")[0], alias.name
        else:
            base = "." * statement.level + (statement.module or "")
            joint = "." if statement.module else ""
            star = alias.name == "*"
            name = alias.asname or alias.name
            dotted = base if star else f"{base}{joint}{alias.name}"
        check_open(file, statement, dotted)
        yield name, dotted


def target_of(statement: ast.Import | ast.ImportFrom, name: str, dotted: str) -> str:
    """Return what the bound name stands for: in `import a.b` it is a."""
    if isinstance(statement, ast.ImportFrom) or any(a.asname == name for a in statement.names):
        return dotted
    return dotted.split(".")[0]


def is_names(target: ast.expr) -> bool:
    """Return whether an assignment to this binds names and does nothing else."""
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(is_names, target.elts))
    return isinstance(target, ast.Name)


def stored(nodes: Iterable[ast.AST]) -> list[str]:
    """Return the names that are stored anywhere in some nodes, each once, in their order."""
    names = [
        inner.id
        for node in nodes
        for inner in walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    ]
    return list(dict.fromkeys(names))


def evaluated(statement: ast.stmt) -> list[ast.expr]:
    """Return the expressions of a definition that are evaluated where it stands."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            given = [*statement.args.defaults, *statement.args.kw_defaults]
            return [*statement.decorator_list, *(d for d in given if d is not None)]
        case ast.ClassDef():
            keywords = [k.value for k in statement.keywords]
            return [*statement.decorator_list, *statement.bases, *keywords]
        case ast.Assign() | ast.AnnAssign():
            return [statement.value] if statement.value else []
    return []


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes in a node, without those that only say what it does with them."""
    found = node.__dict__.get("children_found")
    if found is None:  # asked for again and again
        leaves = ast.expr_context | ast.operator | ast.cmpop | ast.boolop | ast.unaryop
        found = [inner for inner in ast.iter_child_nodes(node) if not isinstance(inner, leaves)]
        node.children_found = found
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """Return a node and all that it holds, however deep."""
    todo = [node]
    for inner in todo:  # grows while it is walked
        todo += children(inner)
    return todo


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of a scope: nested functions, lambdas and classes only by their outside."""
    todo = list(body)
    for node in todo:  # grows while it is walked
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += evaluated(node)
        elif isinstance(node, ast.Lambda):
            todo += [d for d in [*node.args.defaults, *node.args.kw_defaults] if d is not None]
        elif isinstance(node, ast.ClassDef):
            todo += [*evaluated(node), *node.body]
        else:
            todo += children(node)


def bound_in(body: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements bind in their scope; imports are kept apart."""
    names: set[str] = set()
    todo = list(body)
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
                todo += evaluated(node)
                continue
            case ast.Lambda():
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                inner = [n for n in walk(node) if isinstance(n, ast.NamedExpr)]
                names.update(n.target.id for n in inner)
                continue
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.Name(ctx=ast.Store() | ast.Del()):
                names.add(node.id)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                names.add(name)
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                names.add(name)
        todo += children(node)
    return names


def local_names(arguments: ast.arguments, body: list) -> tuple[set[str], frozenset[str]]:
    """Return (names that a function binds, names that it declares global)."""
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    given += [a for a in (arguments.vararg, arguments.kwarg) if a]
    declared = [n for n in own_nodes(body) if isinstance(n, ast.Global | ast.Nonlocal)]
    outer = {name for n in declared if isinstance(n, ast.Global) for name in n.names}
    names = {a.arg for a in given} | bound_in(body)
    return names - {name for n in declared for name in n.names}, frozenset(outer)
