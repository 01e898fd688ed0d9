"""Cells that run records hold, put among the kept parts of their search.

A search in a fresh clone, or on another machine, then trains only the cells that no record holds.
A cell is taken up only by a job with the code, pins, data and settings that it was recorded with.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from respike.runs import checkpoints, provenance
from respike.runs.records import Record
from respike.sources.nmnist_grid import search
from respike.workflow import settings


def restore(records: Iterable[Record], scale: str, parts: Path) -> tuple[int, int]:
    """Put the cells of the current records of a scale into `parts`.

    Records of searches whose folds depend on one another are passed over: they hold the mean of
    the folds, not each.

    Returns
    -------
    tuple of int
        Cells that were put there, and cells that were there already.
    """
    new, there = 0, 0
    for record in records:
        result = record.result
        if (
            result["scale"] != scale
            or record.withdrawn
            or record.why_stale
            or provenance.origin(result)[1] != search.__name__
        ):
            continue
        own = settings.read(json.dumps(result["settings"]), search.Settings)
        if own.keep_optimiser:
            continue
        device = "cpu" if result["device"] == "cpu" else "cuda"
        held = checkpoints.of_job(parts, result, result["data_sha256"], device)
        common = {key: value for key, value in asdict(own).items() if key != "cells"}
        split, fold = divmod(result["seed"], own.n_folds)
        for cell in own.cells:
            # As respike.sources.nmnist_grid.search names it; a test holds the two together.
            name = json.dumps([cell, split, fold, common])
            if held.get(name) is not None:
                there += 1
                continue
            numbers = {kind: [result["metrics"][f"{kind} {cell}"]] for kind in ("training", "test")}
            numbers["held_out"] = result["series"][f"held_out {cell}"]
            numbers["train_s_per_epoch"] = result["metrics"][f"train_s_per_epoch {cell}"]
            held.put(name, numbers | {"record": str(record.folder)})
            new += 1
    return new, there
