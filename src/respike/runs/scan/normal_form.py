"""The parts of a syntax tree whose shape differs between Python versions, in one form."""

from __future__ import annotations

import ast
from collections.abc import Callable


def is_absent(value: object) -> bool:
    """Return whether a field of a syntax tree says that a part is not there."""
    # An empty format (`f"{x:}"`) is written differently by Python 3.11 and 3.12.
    return (
        value is None
        or value == []
        or (isinstance(value, ast.JoinedStr) and not text_pieces(value, lambda part: part))
    )


def text_pieces(node: ast.JoinedStr, form: Callable[[ast.AST], object]) -> list:
    """Return the parts of an f-string; versions differ in where they cut the constant text."""
    pieces: list = []
    for part in node.values:
        if not isinstance(part, ast.Constant):
            pieces.append(form(part))
        elif pieces and isinstance(pieces[-1], str):
            pieces[-1] += part.value
        elif part.value:
            pieces.append(part.value)
    return pieces


def is_docstring(node: object) -> bool:
    """Return whether a statement is only a string: it does nothing."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
