"""What is wrong with a value by a JSON schema, in words: key, what was found, what is allowed."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Iterable, Iterator
from typing import Any

from respike.runs.strict_yaml import Key


def problems(value: Any, schema: dict) -> Iterator[tuple[Key, str]]:
    """Yield (key, text) for each departure of a value from a schema.

    Stricter than the standard, which takes 300.0 as a whole number and NaN as a number.
    """
    for error in _validator(schema).iter_errors(value):
        yield from _explained(error)


def _validator(schema: dict):
    import jsonschema

    base = jsonschema.Draft202012Validator
    strict = base.TYPE_CHECKER.redefine_many(
        {
            # The standard takes 300.0 as an integer and NaN as a number.
            "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
            "number": lambda _, value: (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and math.isfinite(value)
            ),
        }
    )
    return jsonschema.validators.extend(base, type_checker=strict)(schema)


def _explained(error: Any) -> Iterator[tuple[Key, str]]:
    """Turn one error of jsonschema into the keys and texts of ours."""
    key, found, limit = tuple(error.absolute_path), error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            allowed = sorted(error.schema.get("properties", {}))
            for name in found:
                if name not in allowed:
                    yield (*key, name), "unknown key" + suggestion(name, allowed)
        case "required":
            yield key, f"lacks {', '.join(name for name in limit if name not in found)}"
        case "type":
            yield (
                key,
                f"found {_shown(found)}, allowed is {_types(limit)}{_number_hint(found, limit)}",
            )
        case "enum":
            yield key, f"found {_shown(found)}" + suggestion(found, limit)
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            yield key, f"found {_shown(found)}, allowed is {_range(error.schema)}"
        case "minItems":
            yield key, f"found an empty list, allowed are {limit} or more values"
        case "uniqueItems":
            twice = [v for i, v in enumerate(found) if v in found[:i]]
            yield key, f"{', '.join(map(_shown, twice))} is given twice in {found}"
        case "minProperties" | "maxProperties":
            yield key, f"found {len(found)} settings, allowed is one"
        case "pattern":
            yield key, f"found {_shown(found)}, allowed are lower-case letters, digits and _"
        case _:
            yield key, f"found {_shown(found)}: {error.message}"


def suggestion(name: object, allowed: Iterable[object]) -> str:
    """Return the end of an error line: the nearest allowed name and all of them."""
    names = [str(a) for a in allowed]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.7)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"{guess} (allowed: {', '.join(names) or 'none'})"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (yes/no)"
    return f"{value!r} (text)" if isinstance(value, str) else repr(value)


TYPE_NAMES = {
    "integer": "a whole number",
    "number": "a finite number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a section of key: value lines",
}


def _types(types: str | list[str]) -> str:
    return " or ".join(TYPE_NAMES[t] for t in ([types] if isinstance(types, str) else types))


def _number_hint(found: object, types: str | list[str]) -> str:
    # YAML 1.1 reads 2e-3 as text.
    if isinstance(found, str) and {"number", "integer"} & set(
        [types] if types == str(types) else types
    ):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return f" (write {kind(found)!r} without quotes)"
    return ""


def _range(schema: dict) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(f"{word} {schema[key]}" for key, word in words.items() if key in schema)
