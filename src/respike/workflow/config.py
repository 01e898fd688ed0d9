"""Reads config.yaml and says everything that is wrong with it, one line per problem.

A line names the file and line, the key, what was found and what is allowed. The schema is
workflow/schemas/config.schema.yaml; what a schema cannot say (`extends`, `vary`) is checked here.
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from respike.workflow import dag, strict_yaml
from respike.workflow.strict_yaml import Key, dotted

SCHEMA = Path(__file__).resolve().parents[3] / "workflow" / "schemas" / "config.schema.yaml"
COMMAND_LINE = "command line (--config or --configfile)"


class ConfigError(Exception):
    """Everything that is wrong with a configuration, one line per problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


# ------------------------------------------------------------------------------------ reading


def load(
    path: str | Path = "config.yaml", overrides: dict | None = None, everything: bool = False
) -> dict:
    """Return the checked configuration of a file, with `overrides` merged over it.

    Experiments whose data this machine lacks are left out, but not with `everything`.
    """
    path = Path(path)
    try:
        config, lines = strict_yaml.load(path)
    except strict_yaml.YamlError as error:
        raise ConfigError(str(error).splitlines()) from None
    overrides = overrides or {}
    config = _merged(config, overrides)
    check(config, path, lines, overrides)
    return config if everything else dag.available(config)


def read(overrides: dict, path: str | Path = "config.yaml") -> dict:
    """Return the configuration, for the Snakefile: `config = read(config)`.

    `overrides` is Snakemake's own `config`, which holds what `--config` and `--configfile` give.
    Snakemake shows a WorkflowError as it is, and any other error with a traceback.
    """
    try:
        return load(path, overrides)
    except ConfigError as error:
        problems = error.problems
    if "snakemake" not in sys.modules:
        raise ConfigError(problems)
    from snakemake.exceptions import WorkflowError

    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the configuration:"
    raise WorkflowError("\n".join([count, *problems]))


def _merged(base: dict, over: dict) -> dict:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


# ----------------------------------------------------------------------------------- checking


def check(
    config: dict,
    path: str | Path = "config.yaml",
    lines: dict[Key, int] | None = None,
    overrides: dict | None = None,
) -> None:
    """Raise ConfigError with every problem of `config`.

    `lines` gives line numbers; a key found in `overrides` is said to be from the command line.
    """
    schema, _ = strict_yaml.load(SCHEMA)
    found = [*_schema_problems(config, schema), *_entry_problems(config, schema)]
    if not found:
        found = list(_name_problems(config))
    if found:
        lines = lines or {}
        found.sort(key=lambda problem: lines.get(problem[0], 0))
        texts = (f"{_place(key, path, lines, overrides or {})}: {text}" for key, text in found)
        raise ConfigError(list(dict.fromkeys(texts)))


def _place(key: Key, path: str | Path, lines: dict[Key, int], overrides: dict) -> str:
    given: Any = overrides
    for part in key:
        given = given.get(part) if isinstance(given, dict) else None
    from_command_line = key and given is not None
    where = COMMAND_LINE if from_command_line else str(path)
    if not from_command_line:
        # A missing key has no line: take that of the section it belongs in.
        line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), None)
        where += f":{line}" if line else ""
    return f"{where}: {dotted(key)}" if key else where


def _validator(schema: dict, part: dict | None = None):
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
    whole = {"$defs": schema["$defs"], **part} if part else schema
    return jsonschema.validators.extend(base, type_checker=strict)(whole)


def _schema_problems(config: dict, schema: dict) -> Iterator[tuple[Key, str]]:
    for error in _validator(schema).iter_errors(config):
        yield from _explained(error)


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


def _entry_problems(config: dict, schema: dict) -> Iterator[tuple[Key, str]]:
    """Yield what the schema cannot say: wrong chains of `extends`, wrong settings in `vary`."""
    sources = config.get("sources")
    for source, entries in sources.items() if isinstance(sources, dict) else ():
        if source not in schema["$defs"] or not isinstance(entries, dict):
            continue
        known = schema["$defs"][source]["properties"]
        # A misshapen entry has its own line from the schema already.
        entries = {name: body for name, body in entries.items() if isinstance(body, dict)}
        for entry, body in entries.items():
            at = ("sources", source, entry)
            try:
                settings = dag.resolved_settings(entries, entry, "paper")
            except dag.UnknownName as error:
                if body.get("extends") == error.args[0]:  # else it is its base's problem
                    yield (*at, "extends"), f"no such entry: {error}" + suggestion(error, entries)
                continue
            except ValueError as error:
                yield (*at, "extends"), f"leads back to itself: {error}"
                continue
            except (TypeError, AttributeError):
                continue
            vary = body.get("vary")
            for key, values in vary.items() if isinstance(vary, dict) else ():
                if key not in known:
                    yield (*at, "vary", key), "unknown setting" + suggestion(key, known)
                    continue
                if key not in settings:
                    yield (
                        (*at, "vary", key),
                        f"{entry} has no such setting" + suggestion(key, settings),
                    )
                part = {"additionalProperties": {"items": known[key]}}
                for error in _validator(schema, part).iter_errors(values):
                    for inner, text in _explained(error):
                        yield (*at, "vary", key, *inner), text


def _name_problems(config: dict) -> Iterator[tuple[Key, str]]:
    for source in config["sources"]:
        for scale in dag.SCALES:
            try:
                dag.experiments({**config, "scale": scale}, source)
            except ValueError as error:
                yield ("sources", source), f"two experiments of one name: {error}"


# ------------------------------------------------------------------------------------- wording


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
        try:
            return f" (write {float(found)!r} without quotes)"
        except ValueError:
            pass
    return ""


def _range(schema: dict) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(f"{word} {schema[key]}" for key, word in words.items() if key in schema)
