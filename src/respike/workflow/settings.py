"""Settings of experiments as typed classes, and the checks that follow from them.

A source declares each setting once, in its settings.py: a frozen dataclass per experiment whose
annotations say type and bounds. `schema` makes the JSON schema that the configuration is held
against before anything runs.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from respike.runs.result import SettingsError
from respike.runs.strict_yaml import dotted
from respike.workflow.schema_check import problems


@dataclass(frozen=True)
class Range:
    """Least and largest value, both allowed; of a tuple with `each`, of its members."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Above:
    """A bound that is itself not allowed, and a largest value that is."""

    low: float
    high: float | None = None


@dataclass(frozen=True)
class Items:
    """Least number of members of a tuple; `unique`: none of them twice."""

    least: int = 1
    unique: bool = False


Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]  # a whole number from 0 on
Positive = Annotated[float, Above(0)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]

PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}


def class_of(source: str, module: str) -> type:
    """Return the settings class of a module of a source: FullPass in settings.py for full_pass.

    Raises
    ------
    AttributeError, ImportError
        There is none; the message names the module.
    """
    name = "".join(part.capitalize() for part in module.split("_"))
    return getattr(importlib.import_module(f"respike.sources.{source}.settings"), name)


def read(text: str, cls: type):
    """Return the frozen settings of an experiment from JSON; raise SettingsError.

    Every field must be given, no other may be, and each must be as its class declares it: a
    setting that is not read can then not be set.
    """
    given = json.loads(text)
    if found := sorted({*problems(given, schema(cls))}, key=str):
        raise SettingsError("; ".join(f"{dotted(k)}: {text}" if k else text for k, text in found))
    return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in given.items()})


@functools.cache
def schema(cls: type) -> dict:
    """Return the JSON schema of one settings class: every field is required, no other allowed."""
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [item.name for item in dataclasses.fields(cls)]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": names,
        "properties": {name: part(hints[name]) for name in names},
    }


def part(kind: Any) -> dict:
    """Return the JSON schema of one annotation; raise TypeError for one that it cannot say."""
    origin = typing.get_origin(kind)
    if origin is Annotated:
        inner, *marks = typing.get_args(kind)
        return functools.reduce(_bounded, marks, part(inner))
    if origin is Literal:
        return {"enum": list(typing.get_args(kind))}
    if origin in (typing.Union, types.UnionType):
        return _either([part(one) for one in typing.get_args(kind)])
    if origin is tuple:
        member, *rest = typing.get_args(kind)
        if rest != [...]:
            raise TypeError(f"{kind}: a tuple of settings has members of one type and any length")
        return {"type": "array", "items": part(member)}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    raise TypeError(f"{kind}: no type of a setting")


def _bounded(found: dict, mark: Any) -> dict:
    match mark:
        case Range(low, high):
            bounds = {"minimum": low, "maximum": high}
        case Above(low, high):
            bounds = {"exclusiveMinimum": low, "maximum": high}
        case Items(least, unique):
            bounds = {"minItems": least, "uniqueItems": unique or None}
        case _:
            raise TypeError(f"{mark!r}: no bound of a setting")
    return found | {key: bound for key, bound in bounds.items() if bound is not None}


def _either(parts: list[dict]) -> dict:
    """Return the schema of one type or null: a list of types, so that messages name both."""
    kinds = [found for found in parts if found != {"type": "null"}]
    if len(kinds) != 1 or len(kinds) == len(parts):
        raise TypeError("a setting is of one type, or of one type or null")
    if "enum" in kinds[0]:
        return {"enum": [*kinds[0]["enum"], None]}
    return kinds[0] | {"type": [kinds[0]["type"], "null"]}
