"""What the records of a scale lack, and what it would cost to run it on one core.

Costs are estimates from records: of a run, the median time of the same experiment with other seeds;
of a cell of a grid search, the time of training per recording, tests left out, times the recordings
that it would be shown. A whole recording costs more than its first 100 ms: where a cell was
recorded with one of the two only, the other is estimated by the ratio of the cells that have both.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from respike.runs.records import Record, choose
from respike.workflow import dag


class Lacking(NamedTuple):
    """What runs without record lack; the parts of a search are its cells, another run is one."""

    parts: int
    unknown: int  # of these, parts whose time no record tells
    seconds: float  # of the others, one core


class Costs:
    """Times of the runs of one scale that are recorded, and which cells those hold."""

    def __init__(self, records: Iterable[Record], scale: str):
        self._runs: dict[tuple, list[float]] = defaultdict(list)
        self._cells: dict[tuple, list[float]] = defaultdict(list)
        self._held: dict[tuple, set[str]] = defaultdict(set)
        for record in records:
            result = record.result
            if record.withdrawn or record.why_stale or result["scale"] != scale:
                continue
            settings, metrics = result["settings"], result["metrics"]
            cells = settings.get("cells", ())
            self._held[_search(result)].update(cells)
            if result["device"] != "cpu":
                continue  # its times are not those of a core
            self._runs[result["source"], result["experiment"]].append(result["wall_s"])
            for cell in cells:
                per_recording = metrics[f"train_s_per_epoch {cell}"] / _shown(settings)
                self._cells[_frames(cell, settings), settings["whole"]].append(per_recording)
        both = [cell for cell, whole in self._cells if whole and (cell, False) in self._cells]
        ratios = [self._median(cell, True) / self._median(cell, False) for cell in both]
        self._whole_ratio = median(ratios) if ratios else None

    def _median(self, cell: str, whole: bool) -> float:
        return median(self._cells[cell, whole])

    def of(self, run: dict) -> Lacking:
        """Return what lacks of a wanted run that has no record."""
        if "cells" not in run["settings"]:
            times = self._runs.get((run["source"], run["experiment"]))
            return _sum([median(times) if times else None])
        held = self._held[_search(run)]
        cells = [cell for cell in run["settings"]["cells"] if cell not in held]
        return _sum([self._cell(cell, run["settings"]) for cell in cells])

    def _cell(self, cell: str, settings: dict) -> float | None:
        frames, whole = _frames(cell, settings), settings["whole"]
        folds = settings["n_folds"] if settings["keep_optimiser"] else 1
        shown = _shown(settings) * settings["epochs"] * folds
        if (frames, whole) in self._cells:
            return self._median(frames, whole) * shown
        if (frames, not whole) in self._cells and self._whole_ratio:
            factor = self._whole_ratio if whole else 1 / self._whole_ratio
            return self._median(frames, not whole) * factor * shown
        return None


def _search(run: dict) -> tuple:
    """Return what the cells of a run share: settings but for the cells themselves, and the seed."""
    common = {key: value for key, value in run["settings"].items() if key != "cells"}
    return json.dumps(common, sort_keys=True), run["seed"]


def _shown(settings: dict) -> float:
    """Return the recordings that a network is trained on in an epoch."""
    return settings["n_recordings"] * (1 - 1 / settings["n_folds"])


def _frames(cell: str, settings: dict) -> str:
    """Return the cell with the t_window of the frames that it reads."""
    first, rest = cell.split(" ", 1)
    cached = settings["cached_t_window"]
    return f"t_window={cached} {rest}" if cached else f"{first} {rest}"


def _sum(seconds: list[float | None]) -> Lacking:
    known = [one for one in seconds if one is not None]
    return Lacking(len(seconds), len(seconds) - len(known), sum(known))


def _all(found: Iterable[Lacking]) -> Lacking:
    return Lacking(*map(sum, zip(Lacking(0, 0, 0.0), *found, strict=True)))


def table(config: dict, source: str, wanted: dict, recorded: Iterable, costs: Costs) -> list[dict]:
    """Return one row for each entry of a source some of whose runs are not recorded.

    `recorded` are the paths of `wanted` that have a current record. A row holds entry, parts and
    of (cells of a search, else runs), unit, and what `Lacking` says of their cost.
    """
    groups = defaultdict(list)
    for found in dag.experiments(config, source).values():
        if "search" not in found.settings:  # a table costs nothing beside the search behind it
            groups[found.entry] += [
                dag.result_path(config, source, found.name, seed) for seed in found.seeds
            ]
    rows = []
    for entry, paths in groups.items():
        lacking = _all(costs.of(wanted[path]) for path in paths if path not in recorded)
        if lacking.parts:
            cells = [wanted[path]["settings"].get("cells") for path in paths]
            rows.append(
                {
                    "entry": entry,
                    **lacking._asdict(),
                    "of": sum(1 if own is None else len(own) for own in cells),
                    "unit": "runs" if cells[0] is None else "cells",
                }
            )
    return rows


def note(sources: list[dict], config: dict, kept: list[Record]) -> None:
    """Add to the sources of verdicts.json what the records lack at the scale of `config`."""
    wanted, scale = dag.wanted(config), config["scale"]
    recorded, costs = choose(wanted, kept, scale).current, Costs(kept, scale)
    for source in sources:
        rows = table(config, source["id"], wanted, recorded, costs)
        source["lacking"] = {"scale": scale, "rows": rows}


def of_runs(
    config: dict, paths: Iterable[str], wanted: dict, recorded: Iterable, costs: Costs
) -> Lacking:
    """Return what lacks of these runs, and of the searches behind those that are tables."""
    needed: dict[str, None] = {}
    for path in paths:
        run = wanted[path]
        if "search" in run["settings"]:
            name, seed = run["experiment"], run["seed"]
            needed |= dict.fromkeys(dag.searched(config, run["source"], name, seed))
        else:
            needed[path] = None
    return _all(costs.of(wanted[path]) for path in needed if path not in recorded)
