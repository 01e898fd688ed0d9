"""From the configuration to experiments, seeds and paths: what the rules ask when the DAG is built.

Imports little (a dry run must be quick). The configuration is one that
`respike.workflow.config.check` has accepted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from respike.runs import files, foreign
from respike.runs.sources import UnknownName
from respike.workflow import limits

SCALES = ("smoke", "default", "paper")

# glibc's malloc for all jobs: huge pages, and small arrays that were freed are kept, since those of
# a batch are made anew thousands of times; no number changes. Arrays from 4 MiB on go back at once:
# kept, a small result that outlives its batch can sit in the hole that a large array left, so that
# the next one needs new memory, batch after batch. A job of the grid search at full budget grew to
# 22 GB that way. Keeping all took 7 to 39 % less CPU time than glibc's defaults on a job alone, and
# no less than this on grids and deep networks, on a busy machine.
MALLOC = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4194304"
    ":glibc.malloc.trim_threshold=268435456"
)


# Real recordings that stand beside the checkout where the project is developed; few have them.
SAMPLE = Path("..", "shared", "data", "nmnist-real-sample.zip")


@dataclass(frozen=True)
class Experiment:
    """One experiment at one scale: its settings, and the seeds to run it with."""

    source: str
    name: str  # as in paths: the entry's name, and the value if the entry varies a setting
    entry: str  # key in the config.yaml of the source
    root: str  # the entry at the end of the chain of `extends`; the entry itself without one
    scale: str
    protocol: str  # as_documented, as_coded or corrected
    settings: dict[str, Any]
    seeds: list[int]


def chain(entries: dict[str, dict], entry: str) -> list[str]:
    """Return the entry and those that it extends, nearest first; raise UnknownName, ValueError."""
    names = [entry]
    while (base := entries[names[-1]].get("extends")) is not None:
        if base not in entries:
            raise UnknownName(base)
        if base in names:
            raise ValueError(" -> ".join([*names, base]))
        names.append(base)
    return names


def resolved_settings(entries: dict[str, dict], entry: str, scale: str) -> dict[str, Any]:
    """Return the settings of an entry at a scale: its base's, then its own, then the scale's."""
    settings: dict[str, Any] = {}
    for name in reversed(chain(entries, entry)):
        settings |= entries[name].get("settings", {})
        settings |= entries[name].get("scales", {}).get(scale, {})
    return settings


def experiments(config: dict, source: str) -> dict[str, Experiment]:
    """Return the experiments of a source at the scale of `config`, in the order of the file."""
    if source not in config["sources"]:
        raise UnknownName(f"no source {source!r} in the configuration")
    entries, scale = config["sources"][source], config["scale"]
    found: dict[str, Experiment] = {}
    for entry, body in entries.items():
        if scale not in body.get("only", SCALES):
            continue
        settings = resolved_settings(entries, entry, scale)
        names = chain(entries, entry)
        given = (entries[name].get("seeds", {}).get(scale) for name in names)
        seeds = next(filter(None, given), config["seeds"][scale])
        protocol = next((p for n in names if (p := entries[n].get("protocol"))), "as_documented")
        variants = {entry: settings}
        if "grid" in body or "cells" in body:
            variants = {
                name: {**settings, "cells": part}
                for name, part in jobs_of_cells(
                    entry, cells_at(body, scale), cells_per_job(config, body)
                )
            }
        for key, values in body.get("vary", {}).items():  # one axis at most
            variants = {
                variant_name(entry, value): {**settings, key: value}
                for value in values.get(scale, [])
            }
        for name, own in variants.items():
            if name in found:
                raise ValueError(f"{entry} and {found[name].entry} both make {name}")
            found[name] = Experiment(
                source, name, entry, names[-1], scale, protocol, own, list(seeds)
            )
    return found


def cells_at(body: dict, scale: str) -> list[str]:
    """Return the cells of an entry at a scale: those listed, then those of its grid."""
    return [
        *body.get("cells", {}).get(scale, []),
        *product(body.get("grid", {}).get(scale, {})),
    ]


def cells_per_job(config: dict, body: dict) -> int:
    """Return how many cells of a search a job trains at most: one number for all, or its own."""
    return config.get("cells_per_job") or body["cells_per_job"]


def product(axes: dict[str, list]) -> list[str]:
    """Return the cells of a grid, each a text as `t_window=2000 beta=0.9`; last axis first."""
    return [
        " ".join(f"{name}={value}" for name, value in zip(axes, values, strict=True))
        for values in (itertools.product(*axes.values()) if axes else ())
    ]


def jobs_of_cells(entry: str, cells: list[str], cells_per_job: int) -> list[tuple[str, list[str]]]:
    """Return (name, cells) for each job: cells of one first axis, at most `cells_per_job` of them.

    A value added at the end of an axis adds jobs, or cells to the last job of its group; cells
    that were trained before are not trained again (`respike.runs.checkpoints`).
    """
    groups: dict[str, list[str]] = {}
    for cell in cells:
        groups.setdefault(cell.split()[0].replace("=", "_"), []).append(cell)
    return [
        (f"{entry}_{group}_part_{number}", own[at : at + cells_per_job])
        for group, own in groups.items()
        for number, at in enumerate(range(0, len(own), cells_per_job), 1)
    ]


def searched(config: dict, source: str, name: str, seed: int) -> list[str]:
    """Return the results that a table is made of: all jobs of one run of its searches.

    The table's settings name them: `search`, and `whole_search` where a subset is held against
    the whole. Raises UnknownName for a search that does not exist or lacks this run.
    """
    settings = experiment(config, source, name).settings
    entries = [settings[key] for key in ("search", "whole_search") if settings.get(key)]
    paths = []
    for entry in entries:
        found = [e for e in experiments(config, source).values() if e.entry == entry]
        if not any(int(seed) in e.seeds for e in found):
            raise UnknownName(
                f"{name} of {source} needs run {seed} of {entry}: set the same seeds in config.yaml"
            )
        paths += [result_path(config, source, e.name, int(seed)) for e in found]
    return paths


def searches(config: dict, source: str) -> list[str]:
    """Return the results of all jobs of all searches of a source."""
    return [
        result_path(config, source, found.name, seed)
        for found in experiments(config, source).values()
        if "cells" in found.settings
        for seed in found.seeds
    ]


def available(config: dict) -> dict:
    """Return the configuration without the entries whose data this machine lacks.

    Their claims are then not run, and the report says so.
    """
    missing = set() if real_recordings(config) else {REAL_RECORDINGS}
    kept = {
        source: {
            entry: body
            for entry, body in entries.items()
            if missing.isdisjoint(entries[chain(entries, entry)[-1]].get("job", {}).get("data", ()))
        }
        for source, entries in config["sources"].items()
    }
    return {**config, "sources": kept}


REAL_RECORDINGS = "nmnist_real"


def manifest(config: dict, name: str) -> str | None:
    """Return the manifest of a data set as a rule makes it; None if this machine cannot have it.

    `mnist`; `nmnist`, the recordings in use; `nmnist_real`, real ones. Raises UnknownName.
    """
    folder = config["data"]["folder"]
    if name == "mnist":
        return f"{folder}/mnist/manifest.json"
    if name == "nmnist":
        return f"{folder}/nmnist_{config['scale']}/manifest.json"
    if name == REAL_RECORDINGS:
        return real_recordings(config)
    raise UnknownName(f"no data set {name!r}")


def real_recordings(config: dict) -> str | None:
    """Return the manifest of real N-MNIST recordings that a rule makes; None if there are none."""
    data = config["data"]
    if data.get("nmnist_real"):  # `respike.workflow.config` has seen that it is there
        return f"{data['folder']}/nmnist_real/manifest.json"
    return official_recordings(config) if data.get("nmnist") == "official" else None


def official_recordings(config: dict) -> str:
    """Return the manifest of the official N-MNIST recordings, whether it is there or not."""
    return f"{config['data']['folder']}/nmnist_official/manifest.json"


def given_recordings(config: dict) -> list[str]:
    """Return the manifest that the recordings in use are taken from; none if they are emulated.

    With `auto` the official ones are tried, but not for a smoke run (1.1 GB to download): that
    takes a sample of real ones where there is one.
    """
    wanted, real = config["data"]["nmnist"], real_recordings(config)
    if wanted == "official" or (wanted == "auto" and config["scale"] != "smoke"):
        return [official_recordings(config)]
    if wanted == "auto" and real:
        return [real]
    if wanted == "local":
        if real is None:
            raise UnknownName(
                "data.nmnist in config.yaml is local: set data.nmnist_real to the archive or "
                "folder of recordings (now null)"
            )
        return [real]
    return []


def at_scale(config: dict) -> dict:
    """Return the part of the configuration that says which results are wanted at its scale.

    A setting of another scale, the device and the folders are left out: they change no verdict.
    """
    scale = config["scale"]

    def cut(body: dict) -> dict:
        kept = {
            key: body[key] for key in ("extends", "protocol", "only", "settings") if key in body
        }
        for key in ("scales", "seeds"):
            if scale in body.get(key, {}):
                kept[key] = {scale: body[key][scale]}
        if "vary" in body:
            kept["vary"] = {
                setting: {scale: values[scale]} if scale in values else {}
                for setting, values in body["vary"].items()
            }
        if "grid" in body or "cells" in body:
            # As a list: JSON with sorted keys would lose the order of the axes, which names jobs.
            kept["cells"] = {scale: cells_at(body, scale)}
            kept["cells_per_job"] = cells_per_job(config, body)
        return kept

    return {
        "scale": scale,
        "seeds": {scale: config["seeds"][scale]},
        "sources": {
            source: {entry: cut(body) for entry, body in entries.items()}
            for source, entries in config["sources"].items()
        },
    }


def variant_name(entry: str, value: Any) -> str:
    """Return the name of one value of a varied entry, as sweep_v_thresh_0.5."""
    return f"{entry}_{value if isinstance(value, str) else json.dumps(value)}"


def experiment(config: dict, source: str, name: str) -> Experiment:
    """Return one experiment; the error of a wrong name says at which scale it was looked for."""
    found = experiments(config, source)
    if name not in found:
        raise UnknownName(f"no experiment {name!r} of {source} at scale {config['scale']}")
    return found[name]


def settings_json(config: dict, source: str, name: str) -> str:
    """Return the settings as one compact JSON text, keys sorted.

    Snakemake compares the values of `params` without their names: as one text, two values that
    change places count.
    """
    return canonical_json(experiment(config, source, name).settings)


def gpus(config: dict) -> int:
    """Return how many GPUs a job that can use one asks for: 1 or 0.

    `cuda` asks for one, whether this machine has it or not: on a cluster the machine that submits
    often has none. `auto` asks for one if CUDA gives one to a program here. profiles/default limits
    the sum to 1. Without a GPU the same jobs run side by side on cores.
    """
    if config["device"] == "auto":
        return int(limits.cuda_devices() > 0)
    return int(config["device"] == "cuda")


def grow(base: int | str) -> Callable[..., int | str]:
    """Return a resource that asks for `base` at the first attempt, twice that at the second, ...

    For `mem_mb` (a number) and `runtime` (a number and its unit, as "2h"): what was too little once
    is enough the next time. How often a job is tried is set in the profile. Raises ValueError.
    """
    if isinstance(base, int):
        return lambda wildcards, attempt: base * attempt
    parts = re.fullmatch(r"(\d+)([mhd])", base)
    if parts is None:
        raise ValueError(f"not a number with m, h or d behind it: {base!r}")
    number, unit = parts.groups()
    return lambda wildcards, attempt: f"{int(number) * attempt}{unit}"


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces; refuses NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def result_path(config: dict, source: str, name: str, seed: int) -> str:
    """Return where the result of one run is written, relative to the root."""
    return f"results/{config['scale']}/{source}/{name}/seed={seed}/metrics.json"


def result_paths(config: dict, source: str, entries: list[str] | None = None) -> list[str]:
    """Return the result files of a source, or of some of its entries, in the order of the file."""
    return [
        result_path(config, source, found.name, seed)
        for found in experiments(config, source).values()
        if entries is None or found.entry in entries
        for seed in found.seeds
    ]


def wanted(config: dict) -> dict[str, dict]:
    """Return result file -> what must stand in it, for every run of every source.

    The summary reads exactly these files, so it neither misses a run nor takes up an old one.
    """
    return {
        result_path(config, source, found.name, seed): {
            "source": source,
            "experiment": found.name,
            "seed": seed,
            "settings": found.settings,
            "rule": f"{source}_{found.root}",
        }
        for source in config["sources"]
        for found in experiments(config, source).values()
        for seed in found.seeds
    }


RECORDS = Path("reports", "records")


def record_files(config: dict) -> list[str]:
    """Return the files of the run records that the report shows; none in a smoke run."""
    if config["scale"] == "smoke":
        return []
    return sorted(str(p) for p in RECORDS.glob("*/*/seed=*/*/*") if p.suffix in (".json", ".npz"))


def kept_json(config: dict) -> str:
    """Return the configuration at each scale of which there can be records, as a JSON list."""
    scales = ("default", "paper") if record_files(config) else ()
    return canonical_json([at_scale({**config, "scale": scale}) for scale in scales])


def file_digest(path: str | Path) -> str:
    """Return 16 hex digits over the content of a file, for `params`: times do not count."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def folder_digest(path: str | Path) -> str:
    """Return 16 hex digits over the names and contents of the files in a folder."""
    files = sorted(file for file in Path(path).iterdir() if file.is_file())
    text = "\n".join(f"{file.name} {file_digest(file)}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recordings_digest(path: str | Path) -> str:
    """Return 16 hex digits for the recordings in a folder or archive, without reading them all.

    Of a folder the names, sizes and times of its files count, of a zip archive the names, sizes and
    checksums in its list of files: seconds for 70,000 recordings. Snakemake alone compares the time
    of the folder, or of the archive.
    """
    path, rows = Path(path), []
    for name, stat in files.tree(path) if path.is_dir() else [("", path.stat())]:
        below = path / name if name else path
        if below.suffix.lower() == ".bin":
            rows.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
        elif below.suffix.lower() == ".zip" or not path.is_dir():
            rows.append(f"{name} {stat.st_size} {_list_digest(below, stat.st_mtime_ns)}")
    return hashlib.sha256("\n".join(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()[
        :16
    ]


def _list_digest(archive: Path, time_ns: int) -> str:
    """Return a digest of a zip archive's list of files; of a file that is none, its time."""
    try:
        opened = foreign.open_zip(archive)
    except foreign.ReadError:
        return str(time_ns)  # its reader says what is wrong
    try:
        rows = [f"{info.orig_filename} {info.file_size} {info.CRC}" for info in opened.infolist()]
    finally:
        foreign.close_zip(opened)
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def existing(path: str | Path) -> list[str]:
    """Return the path in a list, or nothing if there is no such file: an optional input."""
    return [str(path)] if Path(path).exists() else []
