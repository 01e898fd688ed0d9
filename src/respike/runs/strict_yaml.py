"""Reads YAML without its traps: a key given twice is an error, and each key keeps its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

# The safe loader, written in C where that is there (ten times quicker).
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Key = tuple[str | int, ...]


class YamlError(ValueError):
    """A file that cannot be read as YAML; one line per problem, each with file and line."""


def load(path: Path) -> tuple[dict, dict[Key, int]]:
    """Return the content of a YAML file and the line of each key; a repeated key is an error."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise YamlError(f"{path}: no such file (looked in {Path.cwd()})") from None
    except (OSError, UnicodeError) as error:
        raise YamlError(f"{path}: cannot be read: {error}") from None
    loader = LOADER(text)
    lines: dict[Key, int] = {}
    try:
        tree = loader.get_single_node()
        # Before the data are built: that writes merged keys (<<) into the tree, where they would
        # look like repetitions of the keys that replace them.
        repeated = list(_mark_lines(tree, (), lines)) if tree else []
        data = loader.construct_document(tree) if tree else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YamlError(f"{where}: not valid YAML: {what}") from None
    if not isinstance(data, dict):
        raise YamlError(f"{path}: holds no `key: value` lines")
    if repeated:
        raise YamlError("\n".join(f"{path}:{text}" for text in repeated))
    return data, lines


def _mark_lines(node: yaml.Node, at: Key, lines: dict[Key, int]) -> Iterator[str]:
    """Fill in the line of each key and yield a text for each repeated one."""
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in first:
                yield f"{line}: {dotted((*at, key))}: given twice, first in line {first[key]}"
            first[key] = lines[(*at, key)] = line
            yield from _mark_lines(value_node, (*at, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            yield from _mark_lines(item, (*at, index), lines)


def dotted(key: Key) -> str:
    """Return a key as it is written in messages: seeds.smoke[1]."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
