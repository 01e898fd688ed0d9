"""What the rules of experiments and figures ask: one rule per source and root entry.

The entry's `job` in the config.yaml of its source says what runs it (`module`, by default of its
own name), what it reads (`data`), what it needs (`memory_mb`, at the first attempt, one number or
one per scale; `runtime`; `gpu`) and when it comes (`priority`: the longest first).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from respike.runs import sources, strict_yaml
from respike.runs.provenance import code_digest, pins_digest
from respike.workflow import dag

MEMORY_MB = 3000
RUNTIME = "2h"


@dataclass(frozen=True)
class Job:
    """The jobs of one root entry at the scale of a configuration."""

    config: dict
    source: str
    root: str

    @property
    def rule(self) -> str:
        """Return the name of the rule."""
        return f"{self.source}_{self.root}"

    @property
    def says(self) -> dict:
        """Return the entry's `job`."""
        return self.config["sources"][self.source][self.root].get("job", {})

    @property
    def pattern(self) -> str:
        """Return the regular expression of the experiments that go back to the root."""
        found = dag.experiments(self.config, self.source).values()
        names = [re.escape(one.name) for one in found if one.root == self.root]
        return "|".join(names) or r"(?!)"  # nothing at this scale: matches no name

    @property
    def data(self) -> list[str]:
        """Return the names of the data sets that the jobs read."""
        return self.says.get("data", ["mnist"])

    @property
    def inputs(self) -> list[str] | Callable:
        """Return the manifests that the jobs read; of a table the searches that it is made of."""
        if "searches" in self.data:
            return lambda wildcards: dag.searched(
                self.config, self.source, wildcards.experiment, wildcards.seed
            )
        return [manifest for name in self.data if (manifest := dag.manifest(self.config, name))]

    @property
    def memory_mb(self) -> int:
        """Return the memory that a job is given at its first attempt."""
        found = self.says.get("memory_mb", MEMORY_MB)
        if isinstance(found, dict):
            return found.get(self.config["scale"], found["default"])
        return found

    @property
    def runtime(self) -> str:
        """Return the time that a job is given at its first attempt, as 2h."""
        return self.says.get("runtime", RUNTIME)

    @property
    def priority(self) -> int:
        """Return the rank of the jobs among all; 0 is last."""
        return self.says.get("priority", 0)

    @property
    def gpus(self) -> int:
        """Return how many GPUs a job asks for."""
        return dag.gpus(self.config) if self.says.get("gpu") else 0

    @property
    def title(self) -> str:
        """Return what the jobs do, in a few words."""
        return self.says.get("title", self.root)

    @property
    def params(self) -> dict[str, Any]:
        """Return what a result depends on; the functions take the wildcards of a job."""
        module = sources.module_of(self.source, self.root)
        config, source = self.config, self.source
        device = "cuda" if self.gpus else "cpu"
        return {
            "root": self.root,
            "scale": config["scale"],
            "settings": lambda wildcards: dag.settings_json(config, source, wildcards.experiment),
            "protocol": lambda wc: dag.experiment(config, source, wc.experiment).protocol,
            "code": code_digest(module, device=device),
            "pins": pins_digest(module, device=device),
            "device": config["device"] if self.says.get("gpu") else "cpu",
        }


def of(config: dict) -> list[Job]:
    """Return the jobs of every root entry of every source in the configuration."""
    return [
        Job(config, source, entry)
        for source, entries in config["sources"].items()
        for entry, body in entries.items()
        if "extends" not in body
    ]


def bibliographies(config: dict) -> list[str]:
    """Return the files with what the report cites: the common one, then those of the sources."""
    own = [
        source for source in sources.with_file(sources.BIBLIOGRAPHY) if source in config["sources"]
    ]
    return [sources.BIBLIOGRAPHY, *(str(sources.file_of(s, sources.BIBLIOGRAPHY)) for s in own)]


def report_code(module: str) -> str:
    """Return the code digest of a module of the report, with those of the `costs.py` of sources.

    The report looks for these files: no import leads to them.
    """
    brought = [f"respike.sources.{source}.costs" for source in sources.with_file("costs.py")]
    return " ".join(map(code_digest, (module, *brought)))


# -------------------------------------------------------------------------------------- figures


def ledger_of(source: str) -> Path:
    """Return the file with the claims of a source, relative to the root."""
    return sources.file_of(source, sources.LEDGER)


@functools.cache
def _ledger(source: str) -> dict:
    # Asked for once per figure while the DAG is built; one build sees one state of the file.
    return strict_yaml.load(sources.FOLDER / source / sources.LEDGER)[0]


def figures(config: dict, source: str) -> dict[str, list[str]]:
    """Return figure id -> results that it is drawn from (metrics and arrays), from the ledger.

    A figure none of whose experiments exist at this scale is left out.
    """
    found = {}
    for figure in _ledger(source).get("figures", []):
        metrics = [
            dag.result_path(config, source, one.name, seed)
            for one in dag.experiments(config, source).values()
            if any(fnmatchcase(one.name, pattern) for pattern in figure["experiments"])
            for seed in one.seeds
        ]
        if metrics:
            arrays = [str(Path(path).with_name("arrays.npz")) for path in metrics]
            found[figure["id"]] = metrics + arrays
    return found


def figure_inputs(config: dict, source: str) -> Callable:
    """Return the function of a figure's wildcards that gives what it is drawn from."""
    return lambda wildcards: figures(config, source)[wildcards.figure]


def published_json(source: str) -> str:
    """Return claim id -> published value or range as JSON: what figures mark."""
    keys = ("value", "low", "high")
    return dag.canonical_json(
        {
            claim["id"]: {key: claim["published"][key] for key in keys if key in claim["published"]}
            for claim in _ledger(source)["claims"]
            if "published" in claim
        }
    )


def figures_module(source: str) -> str:
    """Return the module that draws the figures of a source."""
    return f"respike.sources.{source}.figures"


def figure_params(source: str) -> dict[str, str]:
    """Return `params` of the rule that draws the figures of a source."""
    module = figures_module(source)
    return {
        "module": module,
        "published": published_json(source),
        "code": code_digest(module),
        "pins": pins_digest(module),
    }
