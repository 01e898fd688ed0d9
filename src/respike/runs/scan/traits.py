"""What the graph needs to know of a definition beside its logic."""

from __future__ import annotations

import ast
import re

from respike.runs.scan.names import walk

FILE_NAME = re.compile(r"[^\n]*\.\w{1,8}")
# Calls that make no object that can be changed.
CONSTANT_TYPES = re.compile(
    r"(frozenset|tuple|int|float|complex|str|bytes|bool|range|len|min|max|sum|abs|round"
    r"|(np|numpy)\.(u?int|float|complex|bool)_?\d*|math\.\w+|re\.compile|Path|pathlib\.Path)"
)


def strings(statement: ast.stmt) -> set[str]:
    """Return the strings in a definition, and those that `/` puts together."""
    found = set()
    for node in walk(statement):
        parts: list[str] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            if not (isinstance(node.right, ast.Constant) and isinstance(node.right.value, str)):
                break
            parts.insert(0, node.right.value)
            node = node.left
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts.insert(0, node.value)
        found.add("/".join(parts))
    return found - {""}


def may_change(statement: ast.stmt) -> bool:
    """Return whether a definition makes something that can be changed, or that can be compared."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
    kinds = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return any(
        isinstance(node, kinds | ast.GeneratorExp)
        or (isinstance(node, ast.Call) and not CONSTANT_TYPES.fullmatch(ast.unparse(node.func)))
        for node in walk(statement)
    )
