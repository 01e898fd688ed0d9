"""The registry of data sets, workflow/datasets.yaml: read, checked, digested.

Light on purpose: the rules import it while Snakemake builds its graph.
"""

import hashlib
import json
from pathlib import Path

from respike.runs import strict_yaml

ROOT = Path(__file__).resolve().parents[4]
REGISTRY = ROOT / "workflow" / "datasets.yaml"
SCHEMA = ROOT / "workflow" / "schemas" / "datasets.schema.yaml"


class RegistryError(ValueError):
    """The registry is missing, malformed or lacks the data set; the message says what to do."""


def load(path: Path | str = REGISTRY) -> dict[str, dict]:
    """Return the data sets of the registry by name, checked against the schema."""
    import jsonschema

    try:
        registry, _ = strict_yaml.load(Path(path))
        schema, _ = strict_yaml.load(SCHEMA)
    except strict_yaml.YamlError as error:
        raise RegistryError(f"{error}; run from a full checkout") from None
    validator = jsonschema.Draft202012Validator(schema)
    problem = jsonschema.exceptions.best_match(validator.iter_errors(registry))
    if problem:
        where = ".".join(str(part) for part in problem.absolute_path) or "top level"
        raise RegistryError(f"{path}: {where}: {problem.message}")
    return registry


def entry(name: str, path: Path | str = REGISTRY) -> dict:
    """Return the registry entry of one data set."""
    registry = load(path)
    if name not in registry:
        raise RegistryError(f"{path}: no data set {name!r}; known: {', '.join(sorted(registry))}")
    return registry[name]


def content_digest(name: str, path: Path | str = REGISTRY) -> str:
    """Return 16 hex digits for the content that a data set must have.

    A param of the download rule. It leaves the sources out: a new mirror must not run the
    download again, because Snakemake then runs all that depends on it, equal content or not.
    """
    files = json.dumps(entry(name, path)["files"], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(files.encode()).hexdigest()[:16]
