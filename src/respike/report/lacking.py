"""What the records of a scale lack, and what it would cost to run it on one core.

Costs are estimates from records: of a run, the median time of the same experiment with other seeds.
Where runs are made of parts that are kept one by one, the source brings a `costs.py` that knows
what each costs: a class `Costs(results)` with `unit`, `parts(run)` and `of(run)`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from respike.runs import sources
from respike.runs.records import Record, choose
from respike.workflow import dag


class Lacking(NamedTuple):
    """What runs without record lack; a run that is not made of parts is one."""

    parts: int
    unknown: int  # of these, parts whose time no record tells
    seconds: float  # of the others, one core


class Costs:
    """Times of the runs of one scale that are recorded."""

    def __init__(self, records: Iterable[Record], scale: str):
        results = [
            record.result
            for record in records
            if not record.withdrawn and not record.why_stale and record.result["scale"] == scale
        ]
        self._runs: dict[tuple, list[float]] = defaultdict(list)
        for result in results:
            if result["device"] == "cpu":  # other times are not those of a core
                self._runs[result["source"], result["experiment"]].append(result["wall_s"])
        self._brought = {
            source: sources.load(source, "costs").Costs(
                [result for result in results if result["source"] == source]
            )
            for source in sources.with_file("costs.py")
        }

    def parts(self, run: dict) -> tuple[int, str]:
        """Return how many parts a wanted run is made of, and what these are."""
        brought = self._brought.get(run["source"])
        parts = brought.parts(run) if brought else None
        return (1, "runs") if parts is None else (parts, brought.unit)

    def of(self, run: dict) -> Lacking:
        """Return what lacks of a wanted run that has no record."""
        brought = self._brought.get(run["source"])
        if brought and brought.parts(run) is not None:
            return _sum(brought.of(run))
        times = self._runs.get((run["source"], run["experiment"]))
        return _sum([median(times) if times else None])


def _sum(seconds: list[float | None]) -> Lacking:
    known = [one for one in seconds if one is not None]
    return Lacking(len(seconds), len(seconds) - len(known), sum(known))


def _all(found: Iterable[Lacking]) -> Lacking:
    return Lacking(*map(sum, zip(Lacking(0, 0, 0.0), *found, strict=True)))


def table(config: dict, source: str, wanted: dict, recorded: Iterable, costs: Costs) -> list[dict]:
    """Return one row for each entry of a source some of whose runs are not recorded.

    `recorded` are the paths of `wanted` that have a current record. A row holds the entry, what
    `Lacking` says of it, how many parts it has (`of`) and what these are (`unit`).
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
            parts = [costs.parts(wanted[path]) for path in paths]
            rows.append(
                {
                    "entry": entry,
                    **lacking._asdict(),
                    "of": sum(n for n, _ in parts),
                    "unit": parts[0][1],
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
