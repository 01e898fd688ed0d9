"""Time our code beside its peers: `respike bench` or `make bench` writes reports/benchmarks.csv.

The cases of a document come from `cases(data, device, threads)` in `benchmarks.py` of its folder:
MNIST, cpu or cuda, and how many threads both sides may use. Ours, the peer and the floor (the least
that dense arithmetic needs) are timed in turn, round after round in one process, so that a machine
that slows down slows all of them; a ratio is taken within a round.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import datetime
import io
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from respike.runs import command, files, owned, provenance, sources, surroundings
from respike.runs.surroundings import given
from respike.workflow import limits

if TYPE_CHECKING:
    from respike.data.mnist import Mnist

COLUMNS = (
    "source", "case", "device", "threads", "ours", "peer", "unit", "ratio", "ratio_low",
    "ratio_high", "floor", "distance_to_floor", "note", "machine", "versions", "commit", "date",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One comparison. The functions do the same work and return when it is done."""

    name: str
    unit: str  # of the times in the table, as `ms per batch`
    ours: Callable[[], object]
    peer: Callable[[], object]
    floor: Callable[[], object] | None = None
    per_call: int = 1  # units of work in one call
    peer_per_call: int | None = None  # in one call of the peer, if other than ours
    device: str = "cpu"
    threads: int = 1
    note: str = ""
    source: str = ""  # filled in: whose folder it is from


def measure(case: Case, rounds: int, least_s: float, clock=time.perf_counter) -> dict:
    """Return medians over the rounds: times in ms per unit, ratio peer / ours with its quartiles.

    One timing repeats a function until about `least_s` seconds have passed.
    """
    sides = {"ours": case.ours, "peer": case.peer}
    if case.floor:
        sides["floor"] = case.floor
    repeats = {}
    for name, function in sides.items():
        function()  # compilation, memory, caches
        start = clock()
        function()
        repeats[name] = max(1, round(least_s / max(clock() - start, 1e-6)))
    units = dict.fromkeys(sides, case.per_call)
    units["peer"] = case.peer_per_call or case.per_call
    times = {name: [] for name in sides}
    for number in range(rounds):
        # Every second round runs backwards: nobody is always first.
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            start = clock()
            for _ in range(repeats[name]):
                sides[name]()
            times[name].append((clock() - start) / repeats[name] / units[name] * 1000)
    ratios = [peer / ours for ours, peer in zip(times["ours"], times["peer"], strict=True)]
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if rounds > 1 else ratios * 3
    )
    found = {name: statistics.median(values) for name, values in times.items()}
    found |= {"ratio": middle, "ratio_low": low, "ratio_high": high}
    if case.floor:
        found["distance_to_floor"] = statistics.median(
            ours / floor for ours, floor in zip(times["ours"], times["floor"], strict=True)
        )
    return found


def row(case: Case, found: dict, made_from: dict) -> dict[str, str]:
    """Return one line of the table."""
    numbers = {name: f"{value:.4g}" for name, value in found.items()}
    texts = {
        name: str(getattr(case, name)) for name in ("source", "device", "threads", "unit", "note")
    }
    return dict.fromkeys(COLUMNS, "") | {"case": case.name} | texts | numbers | made_from


def as_csv(rows: list[dict], columns: tuple[str, ...] = COLUMNS) -> str:
    """Return the table as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def shown(found: dict[str, str]) -> str:
    """Return one line for the terminal."""
    line = (
        f"{found['case']:38} {found['device']:5.5} ours {found['ours']:>7} peer {found['peer']:>7} "
        f"{found['unit']:13} {found['ratio']}x ({found['ratio_low']} to {found['ratio_high']})"
    )
    if found["floor"]:
        line += f", {found['distance_to_floor']} of the dense floor"
    return line


def load_cases(data: Mnist, device: str, threads: int, only: str | None = None) -> list[Case]:
    """Return the cases of all sources, or of one, by source."""
    return [
        dataclasses.replace(case, source=source)
        for source in sources.with_file("benchmarks.py")
        if only in (None, source)
        for case in sources.load(source, "benchmarks").cases(data, device, threads)
    ]


@command.ends("respike bench")
def main(argv: list[str] | None = None) -> int:
    """Run the cases and write the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="respike bench",
        description="Time our code beside its peers, in turn. Ratio is peer / ours, the median "
        "over the rounds with its quartiles; distance_to_floor is ours / the dense products alone "
        "(below 1: faster than they are). Nothing else should run at the same time.",
    )
    parser.add_argument(
        "--out", type=given, help="default: reports/benchmarks.csv, with --quick nothing is written"
    )
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    cores = limits.cores()
    parser.add_argument(
        "--threads", type=int, default=min(2, cores), help="of both sides; default: 2"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="auto: the CPU, and the GPU too if there is one",
    )  # fmt: skip
    parser.add_argument("--source", help="only cases of this source")
    parser.add_argument("--case", default="", help="only cases whose name holds this text")
    parser.add_argument("--quick", action="store_true", help="one short round each, as a check")
    options = parser.parse_args(argv)
    if options.rounds < 1 or not 1 <= options.threads <= cores:
        parser.error(f"--rounds must be at least 1 and --threads 1 to {cores}")
    surroundings.enter()
    if options.out:
        owned.check_new(options.out)  # before minutes of work
    # Numba and torch bring an OpenMP runtime each. By default the idle threads of one spin for
    # milliseconds on the cores that the other needs, and on a busy machine a step takes many times
    # as long, the peer's most of all. It must be set before either is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from respike.data import fetch, mnist
    from respike.runs.devices import device_name, set_threads

    best = device_name(options.device)
    folder = provenance.ROOT / "data" / "mnist"
    if not (folder / "manifest.json").exists() and fetch.main(["mnist", "--out", str(folder)]):
        return 1
    data = mnist.load(folder)
    devices = sorted({"cpu", best}) if options.device == "auto" else [best]
    rounds, least_s = (1, 0.0) if options.quick else (options.rounds, 0.25)
    made_from, rows = _made_from(), []
    for device in devices:
        for case in load_cases(data, device, options.threads, options.source):
            if options.case in case.name:
                set_threads(case.threads)
                rows.append(row(case, measure(case, rounds, least_s), made_from))
                print(shown(rows[-1]), flush=True)
    out = options.out or (None if options.quick else provenance.ROOT / "reports/benchmarks.csv")
    if out:
        files.write_text(out, as_csv(rows))
        print(out)
    return 0


def _made_from() -> dict[str, str]:
    made = provenance.where_made()
    names = ("numpy", "numba", "torch", "snntorch", "tonic", "bindsnet")
    commit = f"{made['commit']}{' with changes' if made['dirty'] else ''}"
    return {
        "machine": made["machine"],
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in names),
        "commit": commit,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
