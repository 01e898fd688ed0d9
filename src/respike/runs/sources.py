"""The documents that are replicated: every folder of src/respike/sources that holds a ledger.

A folder holds all that only its document needs. Nothing else names it: put one there and it takes
part, remove it and it does not.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from types import ModuleType

from respike.runs import strict_yaml
from respike.runs.closure import SRC
from respike.runs.strict_yaml import Key

FOLDER = SRC / "respike" / "sources"
LEDGER, CONFIG, BIBLIOGRAPHY, RULES = "claims.yaml", "config.yaml", "references.bib", "rules.smk"


class UnknownName(LookupError):
    """A source, experiment or entry that does not exist."""


def found() -> list[str]:
    """Return the ids of all sources: the names of their folders, sorted."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{LEDGER}"))


def file_of(source: str, name: str) -> Path:
    """Return the place of a file of a source, relative to the checkout, whether it is there."""
    return (FOLDER / source / name).relative_to(SRC.parent)


def with_file(name: str) -> list[str]:
    """Return the sources that have a file of this name, sorted."""
    return [source for source in found() if (FOLDER / source / name).is_file()]


def load(source: str, name: str) -> ModuleType:
    """Return a module that a source brings along, as `load("poisson_mlp", "benchmarks")`."""
    return importlib.import_module(f"respike.sources.{source}.{name}")


def rule_files(config: dict) -> list[str]:
    """Return the rule files that sources of the configuration bring along."""
    own = [source for source in with_file(RULES) if source in config["sources"]]
    return [str(FOLDER / source / RULES) for source in own]


def entries(source: str) -> tuple[dict[str, dict], dict[Key, int]]:
    """Return the experiments of a source as its config.yaml has them, and the line of each key.

    Raises
    ------
    UnknownName
        There is no such source.
    strict_yaml.YamlError
        Its file is no YAML, or gives a key twice.
    """
    file = FOLDER / source / CONFIG
    if not file.is_file():
        raise UnknownName(f"no source {source!r}; there are {', '.join(found())}")
    return _entries(file, file.stat().st_mtime_ns)


@functools.cache
def _entries(file: Path, changed: int) -> tuple[dict[str, dict], dict[Key, int]]:
    return strict_yaml.load(file)


def module_of(source: str, root: str) -> str:
    """Return the module that runs the experiments of a root entry, as a dotted name.

    A root extends no other entry; its `job` names the module, by default that of its own name.
    Raises UnknownName where the source has no such entry.
    """
    body = entries(source)[0].get(root)
    if body is None or "extends" in body:
        raise UnknownName(f"{file_of(source, CONFIG)} has no experiment {root}")
    return f"respike.sources.{source}.{body.get('job', {}).get('module', root)}"
