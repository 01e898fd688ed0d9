"""The top level of a file: its definitions, what each of its names is bound to, its imports."""

from __future__ import annotations

import ast

from respike.runs.scan.logic import Definition
from respike.runs.scan.names import (
    ProvenanceError,
    bound_in,
    evaluated,
    imported,
    is_names,
    own_nodes,
    stored,
    target_of,
    walk,
)
from respike.runs.scan.normal_form import is_docstring

MAIN = "__name__ == '__main__'"


def scan(source: bytes, file: str, annotations: bool = False) -> dict:
    """Return definitions, bindings, imports and star imports of a file, as JSON knows them.

    With `annotations` all of them count. Raises ProvenanceError.
    """
    try:
        tree = ast.parse(source, filename=file)
        return Module(tree, file, annotations).found()
    except SyntaxError as error:
        raise ProvenanceError(f"{file}:{error.lineno}: not valid Python: {error.msg}") from error
    except ValueError as error:
        raise ProvenanceError(f"{file}: not valid Python: {error}") from error
    except RecursionError as error:
        raise ProvenanceError(f"{file}: an expression is nested too deep to be read") from error


class Module:
    """The top level of a file."""

    def __init__(self, tree: ast.Module, file: str, annotations: bool):
        self.file, self.annotations = file, annotations
        self.bindings: dict[str, list] = {}
        self.imports: set[str] = set()
        self.stars: list[str] = []
        self.statements: list[tuple[ast.stmt, list[str], bool]] = []  # with names; acts on import
        for statement in tree.body:
            self._bind(statement)

    def found(self) -> dict:
        """Return the module as JSON knows it."""
        definitions = [
            Definition(self, statement, names, acts).found()
            for statement, names, acts in self.statements
        ]
        return {
            "definitions": definitions,
            "bindings": self.bindings,
            "imports": sorted(self.imports),
            "stars": self.stars,
        }

    def _bind(self, statement: ast.stmt) -> None:
        acts = False
        match statement:
            case ast.Import() | ast.ImportFrom():
                self._import(statement)
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names = [statement.name]
            case ast.ClassDef():
                names = [statement.name]
                for inner in own_nodes(statement.body):
                    if isinstance(inner, ast.Import | ast.ImportFrom):
                        self.imports |= {dotted for _, dotted in imported(inner, self.file)}
            case ast.Assign(targets=targets) if all(map(is_names, targets)):
                names = stored(targets)
            case ast.AnnAssign(target=ast.Name(id=name)):
                if statement.value is None:
                    return
                names = [name]
            case ast.If(test=test) if self._is_never_true(test):
                for other in statement.orelse:
                    self._bind(other)
                return
            case ast.Pass() | ast.Global():
                return
            case _ if is_docstring(statement):
                return
            case _:
                names, acts = sorted(bound_in([statement])), True
                for inner in walk(statement):
                    if isinstance(inner, ast.Import | ast.ImportFrom):
                        self._import(inner)
        names += sorted(bound_in(evaluated(statement)) - {*names})  # by := within them
        for name in names:
            self.bindings.setdefault(name, []).append(["definition", len(self.statements)])
        self.statements.append((statement, names, acts))

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for name, dotted in imported(statement, self.file):
            self.imports.add(dotted)
            if name == "*":
                self.stars.append(dotted)
                continue
            bound = self.bindings.setdefault(name, [])
            one = ["import", target_of(statement, name, dotted)]
            if one not in bound:
                bound.append(one)

    def _is_never_true(self, test: ast.expr) -> bool:
        """Return whether what stands behind a condition runs in no experiment."""
        text = ast.unparse(test)
        if text == MAIN:
            return "__name__" not in self.bindings
        of = {"TYPE_CHECKING": "typing.TYPE_CHECKING", "typing.TYPE_CHECKING": "typing"}.get(text)
        return of is not None and self.bindings.get(text.split(".")[0]) == [["import", of]]
