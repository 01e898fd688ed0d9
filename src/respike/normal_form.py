"""The logic of Python source as plain lists, the same under every supported Python version."""

from __future__ import annotations

import ast

# `ctx` follows from the place of a name; `kind` is the u of u"text", which has no effect.
SKIPPED_FIELDS = frozenset({"ctx", "kind"})


def normal_form(node: object) -> object:
    """Return a syntax tree as nested lists that are equal under every supported Python version.

    Not `ast.dump`: its text and the set of fields change from version to version. Positions,
    docstrings (every statement that is only a string) and absent parts are left out.
    """
    if isinstance(node, ast.JoinedStr):
        return ["JoinedStr", _text_pieces(node)]
    if isinstance(node, ast.AST):
        fields = []
        for name in node._fields:
            value = getattr(node, name, None)
            # A constant None is a value; everywhere else None says that a part is absent.
            is_value = isinstance(node, ast.Constant) and name == "value"
            if name in SKIPPED_FIELDS or (not is_value and _is_absent(value)):
                continue
            fields.append([name, normal_form(value)])
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [normal_form(item) for item in node if not _is_docstring(item)]
    # The type keeps 1, 1.0, True and "1" apart. ascii, not repr: which characters repr shows
    # as they are depends on the Unicode tables of the Python version.
    return [type(node).__name__, ascii(node)]


def _is_absent(value: object) -> bool:
    # An empty format (`f"{x:}"`) is written differently by Python 3.11 and 3.12.
    return (
        value is None
        or value == []
        or (isinstance(value, ast.JoinedStr) and not _text_pieces(value))
    )


def _text_pieces(node: ast.JoinedStr) -> list:
    """Return the parts of an f-string; versions differ in where they cut the constant text."""
    pieces: list = []
    for part in node.values:
        if not isinstance(part, ast.Constant):
            pieces.append(normal_form(part))
        elif pieces and isinstance(pieces[-1], str):
            pieces[-1] += part.value
        elif part.value:
            pieces.append(part.value)
    return pieces


def _is_docstring(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
