"""Reads config.yaml and those of the sources, and says all that is wrong, one line per problem.

A line names the file and line, the key, what was found and what is allowed. What holds for every
source stands in workflow/schemas/config.schema.yaml; what an experiment can be set to, in the typed
class in settings.py of its source; what neither can say (`extends`, `vary`) is checked here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from respike.runs import foreign, sources, strict_yaml
from respike.runs.sources import UnknownName
from respike.runs.strict_yaml import Key, dotted
from respike.workflow import dag, schema_check, settings
from respike.workflow.schema_check import suggestion

SCHEMA = Path(__file__).resolve().parents[3] / "workflow" / "schemas" / "config.schema.yaml"
PROBLEMS = 100  # that are shown
COMMAND_LINE = "command line (--config or --configfile)"


class ConfigError(Exception):
    """Everything that is wrong with a configuration, one line per problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


# ------------------------------------------------------------------------------------ reading


class Places:
    """Where each key of a configuration was given: command line, config.yaml, a source's file."""

    def __init__(self, path: Path, lines: dict[Key, int], overrides: dict):
        self.path, self.lines, self.overrides = path, lines, overrides

    def of(self, key: Key) -> str:
        """Return the place of a key, or of the section that it belongs in, as file:line."""
        if self._on_command_line(key):
            return COMMAND_LINE
        if len(key) > 1 and key[0] == "sources" and key not in self.lines:
            with contextlib.suppress(UnknownName):
                _, lines = sources.entries(str(key[1]))
                file = sources.file_of(str(key[1]), sources.CONFIG)
                return _at(file, lines, key[2:])
        return _at(self.path, self.lines, key)

    def _on_command_line(self, key: Key) -> bool:
        given: Any = self.overrides
        for part in key:
            if not isinstance(given, dict):  # a list or a value that was given as a whole
                break
            if part not in given:
                return False
            given = given[part]
        return bool(key)

    def order(self, key: Key) -> tuple[str, int]:
        """Return what problems are sorted by: file, then line."""
        place, _, line = self.of(key).rpartition(":")
        return (place, int(line)) if line.isdigit() else (line, 0)


def _at(file: Path, lines: dict[Key, int], key: Key) -> str:
    # A missing key has no line: take that of the section it belongs in.
    line = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), None)
    return f"{file}:{line}" if line else str(file)


def load(
    path: str | Path = "config.yaml", overrides: dict | None = None, everything: bool = False
) -> dict:
    """Return the checked configuration of a file, with `overrides` merged over it.

    Experiments whose data this machine lacks are left out, but not with `everything`.
    """
    config, places = load_with_places(path, overrides)
    _raise(_settle_paths(config, must_exist=not everything), places)
    return config if everything else dag.available(config)


def load_with_places(
    path: str | Path = "config.yaml", overrides: dict | None = None
) -> tuple[dict, Places]:
    """Return the checked configuration, of all experiments, and where each key was given."""
    path, overrides = Path(path), _typed(overrides or {})
    try:
        given, lines = strict_yaml.load(path)
        given = _merged(given, overrides)
        places = Places(path, lines, overrides)
        found = schema_check.problems(given, strict_yaml.load(SCHEMA)[0])
        _raise([*itertools.islice(found, PROBLEMS), *_unknown_sources(given)], places)
        config = given | {"sources": dict(_sources(given["sources"]))}
    except strict_yaml.YamlError as error:
        raise ConfigError(str(error).splitlines()) from None
    check(config, places)
    return config, places


def _unknown_sources(given: dict) -> Iterator[tuple[Key, str]]:
    wanted, known = given.get("sources"), sources.found()
    for name, changes in wanted.items() if isinstance(wanted, dict) else ():
        if name not in known:
            yield ("sources", name), "no such source" + suggestion(name, known)
        elif changes is True:
            yield ("sources", name), "found true, allowed is false or a section of entries"


def _sources(wanted: dict) -> Iterator[tuple[str, dict]]:
    """Yield each source that takes part, with its entries as the user changed them."""
    for source in sources.found():
        if (changes := wanted.get(source, {})) is not False:
            yield source, _changed(sources.entries(source)[0], changes or {})


def _changed(entries: dict[str, dict], changes: dict[str, dict]) -> dict[str, dict]:
    """Return the entries of a source with a user's changes over them.

    A setting that the user gives holds at every scale for which he does not give another.
    """
    found = dict(entries)
    for entry, change in changes.items():
        body = entries.get(entry, {})
        given = change.get("settings", {})
        scales = {
            scale: {key: value for key, value in own.items() if key not in given}
            for scale, own in body.get("scales", {}).items()
        }
        found[entry] = _merged(body | ({"scales": scales} if scales else {}), change)
    return found


def _typed(given: Any) -> Any:
    """Return what `--config` gave with each word read as YAML reads it.

    Snakemake leaves the words inside `--config 'seeds={"smoke": [0]}'` as text.
    """
    if isinstance(given, dict):
        return {key: _typed(value) for key, value in given.items()}
    if isinstance(given, list):
        return [_typed(value) for value in given]
    return strict_yaml.scalar(given) if isinstance(given, str) and given else given


def _settle_paths(config: dict, must_exist: bool) -> list[tuple[Key, str]]:
    """Expand `~` in the paths of `data` and look up real recordings; return what is wrong.

    `mnist_folder` need not be there: once the data are complete, nobody reads it.
    """
    data, problems = config["data"], []
    if data.get("nmnist_real") == "auto":
        sample = dag.SAMPLE if dag.SAMPLE.exists() else None
        data["nmnist_real"], must_exist = sample and str(sample), False
    for name in ("folder", "mnist_folder", "nmnist_real"):
        if not data.get(name):
            continue
        try:
            place = foreign.path(data[name])
        except foreign.ReadError as error:
            problems.append((("data", name), str(error)))
            continue
        data[name] = str(place)
        if name == "nmnist_real" and must_exist and not os.path.exists(place):
            text = (
                f"no such file or folder: {place} (auto: the sample, if there is one; null: none)"
            )
            problems.append((("data", name), text))
    return problems


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
    result = {
        key: _merged(value, {}) if isinstance(value, dict) else value for key, value in base.items()
    }
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def origins(found: dag.Experiment, config: dict, places: Places) -> dict[str, str]:
    """Return setting -> where its value was given, of one experiment of a configuration."""
    entries, result = config["sources"][found.source], {}
    for name in reversed(dag.chain(entries, found.entry)):
        at: Key = ("sources", found.source, name)
        for inner in (("settings",), ("scales", found.scale)):
            part = entries[name]
            for key in inner:
                part = part.get(key, {})
            result |= {key: places.of((*at, *inner, key)) for key in part}
    varied = entries[found.entry].get("vary", {})
    at = ("sources", found.source, found.entry, "vary")
    result |= {key: places.of((*at, key)) for key in varied}
    if "cells" in found.settings:
        result["cells"] = places.of(("sources", found.source, found.entry))
    return result


# ----------------------------------------------------------------------------------- checking


def check(config: dict, places: Places) -> None:
    """Raise ConfigError with every problem of the sources of `config`; the rest was checked."""
    schema, _ = strict_yaml.load(SCHEMA)
    # A file that is none at all has as many problems as lines.
    found = list(itertools.islice(_entry_problems(config, schema), PROBLEMS))
    if not found:
        found = [*_settings_problems(config), *_name_problems(config)]
    _raise(found, places)


def _raise(found: Iterable[tuple[Key, str]], places: Places) -> None:
    found = sorted(found, key=lambda problem: places.order(problem[0]))
    if found:
        texts = (
            f"{places.of(key)}: {dotted(key)}: {text}" if key else f"{places.of(key)}: {text}"
            for key, text in found
        )
        raise ConfigError(list(dict.fromkeys(texts)))


def _entry_problems(config: dict, schema: dict) -> Iterator[tuple[Key, str]]:
    """Yield what is wrong with entries, their settings left out."""
    shape = {"$defs": schema["$defs"], "additionalProperties": {"$ref": "#/$defs/entry"}}
    shape |= {"propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"}}
    for source, entries in config["sources"].items():
        for inner, text in schema_check.problems(entries, shape):
            yield ("sources", source, *inner), text
        # A misshapen entry has its own line already.
        known = {name: body for name, body in entries.items() if isinstance(body, dict)}
        for entry, body in known.items():
            at = ("sources", source, entry)
            try:
                root = dag.chain(known, entry)[-1]
            except UnknownName as error:
                if body.get("extends") == error.args[0]:  # else it is its base's problem
                    yield (*at, "extends"), f"no such entry: {error}" + suggestion(error, known)
                continue
            except ValueError as error:
                yield (*at, "extends"), f"leads back to itself: {error}"
                continue
            if root == entry and "job" not in body:
                yield at, "lacks job: what runs it, or extends: the entry that it starts from"
            if root != entry and "job" in body:
                yield (*at, "job"), f"is for an entry that extends no other; this one is of {root}"


def _settings_problems(config: dict) -> Iterator[tuple[Key, str]]:
    """Yield what is wrong with settings: of each experiment against its own typed class.

    One mistake is one problem: what an entry has wrong is not said again of those that extend it.
    """
    for source, entries in config["sources"].items():
        chains = {entry: dag.chain(entries, entry) for entry in entries}
        schemas = {}
        for root in (entry for entry in entries if chains[entry] == [entry]):
            module = entries[root]["job"].get("module", root)
            try:
                schemas[root] = settings.schema(settings.class_of(source, module))
            except (ImportError, AttributeError) as error:
                yield ("sources", source, root, "job"), f"{module}: no settings for it: {error}"
        known = {
            entry: schemas[names[-1]] for entry, names in chains.items() if names[-1] in schemas
        }
        wrong = set()
        for entry, schema in known.items():
            for key, text in _value_problems(entries[entry], schema):
                yield ("sources", source, entry, *key), text
                wrong.add(entry)
        for entry in sorted(known, key=lambda entry: len(chains[entry])):  # bases first
            if wrong.isdisjoint(chains[entry]) and (text := _lacks(entries, entry, known[entry])):
                yield ("sources", source, entry), text
                wrong.add(entry)


def _value_problems(body: dict, schema: dict) -> Iterator[tuple[Key, str]]:
    """Yield what is wrong with the values that an entry gives itself."""
    own = schema["properties"]
    partial = {key: value for key, value in schema.items() if key != "required"}
    parts = [(("settings",), body.get("settings", {}))]
    parts += [(("scales", scale), part) for scale, part in body.get("scales", {}).items()]
    for inner, part in parts:
        for key, text in schema_check.problems(part, partial):
            yield (*inner, *key), text
    for key, values in body.get("vary", {}).items():
        if key not in own:
            yield ("vary", key), "unknown setting" + suggestion(key, own)
            continue
        lists = {"additionalProperties": {"items": own[key]}}
        for inner, text in schema_check.problems(values, lists):
            yield ("vary", key, *inner), text


def _lacks(entries: dict, entry: str, schema: dict) -> str | None:
    """Return which settings an entry has no value for at the first scale where it lacks any."""
    body = entries[entry]
    given = {*body.get("vary", {}), *(["cells"] if {"grid", "cells"} & set(body) else [])}
    for scale in body.get("only", dag.SCALES):
        values = dag.resolved_settings(entries, entry, scale)
        lacks = [name for name in schema["required"] if name not in {*values, *given}]
        if lacks:
            return f"lacks the settings {', '.join(lacks)} at scale {scale}"
    return None


def _name_problems(config: dict) -> Iterator[tuple[Key, str]]:
    for source in config["sources"]:
        for scale in dag.SCALES:
            try:
                dag.experiments({**config, "scale": scale}, source)
            except ValueError as error:
                yield ("sources", source), f"two experiments of one name: {error}"
