"""Reads YAML without its traps: a key given twice is an error, and each key keeps its line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import yaml

from respike.runs import foreign

# The safe loader, written in C where that is there (ten times quicker).
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

BYTES = 500_000  # ten times the longest file of the project
VALUES = 50_000  # with those that aliases stand for
ITEMS = 2_000  # of one list
TOO_LONG = f"too long: at most {VALUES:,} values in all and {ITEMS:,} in a list"

Key = tuple[str | int, ...]


class YamlError(ValueError):
    """A file that cannot be read as YAML; one line per problem, each with file and line."""


def load(path: Path) -> tuple[dict, dict[Key, int]]:
    """Return the content of a YAML file and the line of each key; a repeated key is an error."""
    try:
        text = foreign.read_bytes(path, BYTES).decode()
    except FileNotFoundError:
        raise YamlError(f"{path}: no such file (looked in {Path.cwd()})") from None
    except foreign.ReadError as error:
        raise YamlError(str(error)) from None
    except (OSError, UnicodeError) as error:
        raise YamlError(f"{path}: cannot be read: {error}") from None
    lines: dict[Key, int] = {}
    try:
        _check_size(text)
        loader = LOADER(text)
        tree = loader.get_single_node()
        # Before the data are built: that writes merged keys (<<) into the tree, where they would
        # look like repetitions of the keys that replace them.
        repeated = list(_mark_lines(tree, (), lines, itertools.count())) if tree else []
        data = loader.construct_document(tree) if tree else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        what = getattr(error, "problem", None) or (str(error).splitlines() or ["no reason"])[0]
        raise YamlError(f"{where}: not valid YAML: {what}") from None
    except Exception as error:
        # A tag or a date that its value does not fit (`!!int x`, 2001-99-99): the loader lets
        # through whatever Python says then.
        raise YamlError(f"{path}: not valid YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(data, dict):
        raise YamlError(f"{path}: holds no `key: value` lines")
    if repeated:
        raise YamlError("\n".join(f"{path}:{text}" for text in repeated))
    return data, lines


def _check_size(text: str) -> None:
    """Raise YAMLError on too many values or too deep ones, before the loader's C code overflows."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=LOADER)):
        if number > 2 * VALUES:
            raise _at(event, TOO_LONG)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > foreign.DEPTH:
            raise _at(event, f"values within values, more than {foreign.DEPTH} deep")


def _at(place: yaml.Node | yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _mark_lines(
    node: yaml.Node, at: Key, lines: dict[Key, int], counter: Iterator[int]
) -> Iterator[str]:
    """Fill in the line of each key and yield a text for each repeated one.

    An alias (*name) counts with all that it stands for: a few of aliases of aliases would fill
    any memory.
    """
    if len(at) > foreign.DEPTH:
        raise _at(node, f"values within values, more than {foreign.DEPTH} deep")
    if next(counter) > VALUES or (isinstance(node, yaml.SequenceNode) and len(node.value) > ITEMS):
        raise _at(node, TOO_LONG)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _at(key_node, "a key must be plain text")
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in first:
                yield f"{line}: {dotted((*at, key))}: given twice, first in line {first[key]}"
            first[key] = lines[(*at, key)] = line
            yield from _mark_lines(value_node, (*at, key), lines, counter)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            yield from _mark_lines(item, (*at, index), lines, counter)


def scalar(text: str) -> object:
    """Return what a plain word stands for in YAML: a number, true or false, null, or the text."""
    loader = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, yaml.YAMLError):  # as 2001-99-99
        return text
    finally:
        loader.dispose()


def dotted(key: Key) -> str:
    """Return a key as it is written in messages: seeds.smoke[1]."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
