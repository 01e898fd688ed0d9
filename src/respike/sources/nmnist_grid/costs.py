"""What cells of a search that no record holds would cost: `respike.report.lacking` asks for it.

A cell costs its time of training per recording, tests left out, times the recordings that it would
be shown. A whole recording costs more than its first 100 ms: where a cell was recorded with one of
the two only, the other is estimated by the ratio of the cells that have both.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from statistics import median


class Costs:
    """Times of cells by recorded runs, and which cells those hold.

    `results` are current, all of one scale. Those of a GPU tell which cells are held, not times.
    """

    unit = "cells"

    def __init__(self, results: Iterable[dict]):
        self._cells: dict[tuple, list[float]] = defaultdict(list)
        self._held: dict[tuple, set[str]] = defaultdict(set)
        for result in results:
            settings, metrics = result["settings"], result["metrics"]
            cells = settings.get("cells", ())
            self._held[_search(result)].update(cells)
            if result["device"] != "cpu":
                continue  # its times are not those of a core
            for cell in cells:
                per_recording = metrics[f"train_s_per_epoch {cell}"] / _shown(settings)
                self._cells[_frames(cell, settings), settings["whole"]].append(per_recording)
        both = [cell for cell, whole in self._cells if whole and (cell, False) in self._cells]
        ratios = [self._median(cell, True) / self._median(cell, False) for cell in both]
        self._whole_ratio = median(ratios) if ratios else None

    def parts(self, run: dict) -> int | None:
        """Return how many cells a wanted run is made of; None if it is no part of a search."""
        cells = run["settings"].get("cells")
        return None if cells is None else len(cells)

    def of(self, run: dict) -> list[float | None]:
        """Return the seconds on one core of each cell that no record holds; None: not known."""
        held = self._held[_search(run)]
        cells = [cell for cell in run["settings"]["cells"] if cell not in held]
        return [self._cell(cell, run["settings"]) for cell in cells]

    def _median(self, cell: str, whole: bool) -> float:
        return median(self._cells[cell, whole])

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
