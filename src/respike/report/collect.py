"""Read every wanted result, refuse what is not current, judge every claim, write verdicts.json.

The wanted results come from the DAG as one JSON file, so that the report can neither miss a run
nor pick one up that an earlier configuration left behind.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from respike.report import judge, lacking, ledger, networks
from respike.runs import command, files, foreign, owned, provenance, records
from respike.runs.sources import found as source_ids
from respike.workflow import dag

SAME = ("source", "experiment", "seed", "settings")  # what a result must share with the DAG
COLUMNS = (
    "source experiment seed scale metric value wall_s device code pins commit dirty remarks path"
)


class RefusedError(RuntimeError):
    """Results that are missing, broken or not current, and the command that remakes them."""


def remake_command(paths: list[str], scale: str) -> str:
    """Return the one command that makes the files anew, whatever Snakemake remembers of them."""
    command = ["snakemake", "--cores", "2", *paths, "--force"]
    return shlex.join(command + (["--config", f"scale={scale}"] if scale != "default" else []))


def read_runs(wanted: dict[str, dict], scale: str, folder: Path) -> dict[str, dict]:
    """Return every wanted result by path; raise one `RefusedError` that lists every bad file."""
    runs, bad = {}, {}
    for path, expected in sorted(wanted.items()):
        try:
            result = foreign.read_json(folder / path)
            wrong = ["the file holds no JSON object"]
            if isinstance(result, dict):
                wrong = _differences(result, expected, scale) + provenance.problems(result)
                wrong += [] if wrong else _arrays(folder / path, result)
        except FileNotFoundError:
            result, wrong = None, ["the file is missing"]
        except (OSError, ValueError) as error:
            result, wrong = None, [f"the file cannot be read: {error}"]
        runs[path] = result
        if wrong:
            bad[path] = wrong
    if not bad:
        for path, why in mixed_data(runs).items():
            bad[path] = [why]
    if bad:
        lines = [f"{path}: {'; '.join(wrong)}" for path, wrong in bad.items()]
        command = remake_command(list(bad), scale)
        raise RefusedError(
            f"{len(bad)} of {len(wanted)} results are refused:\n"
            + "\n".join(f"  {line}" for line in lines)
            + f"\nRemake them with:\n  {command}"
        )
    return runs


def _differences(result: dict, expected: dict, scale: str) -> list[str]:
    """Return how a result differs from what the DAG wants at this path."""
    lines = []
    for key, want in {**{key: expected[key] for key in SAME}, "scale": scale}.items():
        have = result.get(key)
        if key == "settings" and isinstance(have, dict):
            names = sorted(
                name
                for name in {*have, *want}
                if name not in have or name not in want or have[name] != want[name]
            )
            lines += [
                f"setting {name} is {_said(have, name)}, wanted {_said(want, name)}"
                for name in names
            ]
        elif have != want:
            lines.append(f"{key} is {have!r}, wanted {want!r}")
    return lines


def _arrays(path: Path, result: dict) -> list[str]:
    """Return what is wrong with the arrays beside a result."""
    file = path.with_name("arrays.npz")
    with open(file, "rb") as stream:
        same = hashlib.file_digest(stream, "sha256").hexdigest() == result["arrays_sha256"]
    return [] if same else [f"{file.name} beside it was edited or belongs to another run"]


def _said(settings: dict, name: str) -> str:
    return repr(settings[name]) if name in settings else "absent"


def sound_runs(wanted: dict[str, dict], scale: str, folder: Path) -> dict[str, dict]:
    """Return those of the wanted results that are there and current, by path; others are left."""
    found = {}
    for path, expected in sorted(wanted.items()):
        if (folder / path).exists():
            try:
                found |= read_runs({path: expected}, scale, folder)
            except RefusedError:
                continue  # a report from records only shows beside them what is sound
    return found


def mixed_data(runs: dict[str, dict]) -> dict[str, str]:
    """Return the runs whose data differ from what most runs have under the same name."""
    seen: dict[str, Counter] = {}
    for run in runs.values():
        for name, sha in run["data_sha256"].items():
            seen.setdefault(name, Counter())[sha] += 1
    usual = {name: counts.most_common(1)[0][0] for name, counts in seen.items()}
    return {
        path: f"data file {name} differs from that of the other runs"
        for path, run in runs.items()
        for name, sha in run["data_sha256"].items()
        if sha != usual[name]
    }


@dataclass(frozen=True)
class Beside:
    """Runs that are shown beside the ones that are judged: records, or another machine's."""

    label: str  # record, stale record or this machine
    scale: str
    runs: dict[str, dict]  # by the file that holds them
    why_stale: dict[str, list[str]] = field(default_factory=dict)  # by the same files


def kept_runs(wanted: dict[str, dict], scale: str, kept: list[records.Record]) -> list[Beside]:
    """Return the records of the wanted results of one scale: current ones, then stale ones."""
    chosen = records.choose(wanted, kept, scale)
    current = {str(r.folder / "record.json"): r.result for r in chosen.current.values()}
    stale = {str(r.folder / "record.json"): (r.result, why) for r, why in chosen.stale.values()}
    return [
        Beside("record", scale, current),
        Beside(
            "stale record",
            scale,
            {file: result for file, (result, _) in stale.items()},
            {file: why for file, (_, why) in stale.items()},
        ),
    ]


def of_unknown_sources(kept: Iterable[records.Record]) -> list[dict]:
    """Return what is recorded of sources whose folder is not here, one row for each source."""
    known, found = source_ids(), {}
    for record in kept:
        if record.result["source"] not in known and not record.withdrawn:
            found.setdefault(record.result["source"], []).append(record.result)
    return [
        {
            "source": source,
            "records": len(results),
            "experiments": sorted({result["experiment"] for result in results}),
            "scales": sorted({result["scale"] for result in results}),
            "started": [min(r["started"] for r in results), max(r["started"] for r in results)],
        }
        for source, results in sorted(found.items())
    ]


def _beside(claim: dict, others: list[Beside], judged: set[str]) -> list[dict]:
    """Return what other runs say about a claim; a stale record is told and not judged."""
    rows = []
    for other in others:
        measured = judge.measure(claim, other.runs.values())
        if not measured.used:
            continue
        files_of = {(run["experiment"], run["seed"]): f for f, run in other.runs.items()
                    if run["source"] == claim["id"].split(".")[0]}  # fmt: skip
        used = [files_of[key] for key in measured.used]
        if {other.runs[file]["seal"] for file in used} <= judged:
            continue  # records of the very runs that are judged
        verdict = judge.judge(claim, measured, other.scale)
        started = sorted(other.runs[file]["started"] for file in used)
        rows.append(
            {
                "label": other.label,
                "scale": other.scale,
                "status": "stale" if other.why_stale else verdict.status,
                "reason": "; ".join(sorted({w for f in used for w in other.why_stale.get(f, [])}))
                or verdict.reason,
                **{key: getattr(measured, key) for key in ("n", "mean", "half", "sd")},
                "remarks": provenance.remarks_of([other.runs[file] for file in used]),
                "machines": sorted({other.runs[file]["machine"] for file in used}),
                "devices": sorted({other.runs[file]["device"] for file in used}),
                "started": [started[0], started[-1]],
                "files": used,
            }
        )
    return rows


def judge_source(
    book: ledger.Ledger,
    runs: dict[str, dict],
    wanted: dict,
    scale: str,
    others: Sequence[Beside] = (),
    stand_in: Mapping[str, str] | None = None,
) -> dict:
    """Return one source's part of verdicts.json: its ledger, measurements and verdicts.

    `stand_in` gives the file that is named for a result where that is a record.
    """
    results = wanted["results"]
    source = book.source["id"]
    own = {path: run for path, run in runs.items() if run["source"] == source}
    paths = {(run["experiment"], run["seed"]): path for path, run in own.items()}
    claims = []
    for claim in book.claims:
        measured = judge.measure(claim, own.values()) if "measure" in claim else None
        verdict = judge.judge(claim, measured, scale)
        used = [paths[key] for key in measured.used] if measured else []
        seals = {own[path]["seal"] for path in used}
        claims.append(
            {
                **claim,
                "source": source,
                "verdict": {"status": verdict.status, "reason": verdict.reason},
                "remarks": provenance.remarks_of([own[path] for path in used]),
                "measured": _measured(claim, measured) if used else None,
                "files": [(stand_in or {}).get(path, path) for path in used],
                "beside": _beside(claim, list(others), seals) if "measure" in claim else [],
                "rules": sorted({results[path].get("rule", "") for path in used} - {""}),
                "modules": sorted({provenance.origin(runs[path])[1] for path in used}),
                "data": sorted({runs[path]["data_kind"] for path in used}),
                "remake": remake_command(used, scale) if used else None,
            }
        )
    return {
        **book.source,
        "ledger": str(book.path),
        "counts": counts(claims),
        "claims": claims,
        "figures": [_figure(figure, claims, paths, scale) for figure in book.figures],
        "deviations": book.deviations,
        "unstated": book.unstated,
        "errata": book.errata,
        **_cost(own.values()),
    }


def _cost(runs: Iterable[dict]) -> dict:
    """Return what the runs of a source took, without energy (it is not metered), and rest on."""
    runs = list(runs)
    return {
        "runs": len(runs),
        "wall_s": sum(run["wall_s"] for run in runs),
        "machines": sorted({run["machine"] for run in runs}),
        "devices": sorted({run["device"] for run in runs}),
        "commits": sorted({run["commit"] for run in runs} - {None}),
        "dirty_runs": sum(bool(run["dirty"]) for run in runs),
        "remarks": provenance.remarks_of(runs),
        "data_kinds": sorted({run["data_kind"] for run in runs}),
    }


def _measured(claim: dict, measurement: judge.Measurement) -> dict:
    """Return a measurement as JSON, with every seed's value and the region that is accepted."""
    published = claim.get("published", {}).get("value")
    known = measurement.mean is not None and published is not None
    low, high, text = judge.accepted(claim)
    return {
        "values": {str(seed): value for seed, value in measurement.values.items()},
        "n": measurement.n,
        "mean": measurement.mean,
        "sd": measurement.sd,
        "half": measurement.half,
        "gap": measurement.mean - published if known else None,
        "accepted": {"low": low, "high": high, "text": text},  # an open end becomes null
        "note": measurement.note,
        "ours": measurement.budget,
        "nearest": measurement.nearest,
        "rivals": {
            name: {"mean": gap.mean, "half": gap.half} for name, gap in measurement.rivals.items()
        },
    }


def counts(claims: list[dict]) -> dict[str, int]:
    """Return the number of claims per status, every status named, in the report's order."""
    found = Counter(claim["verdict"]["status"] for claim in claims)
    return {status: found[status] for status in judge.STATUSES}


def _figure(figure: dict, claims: list[dict], paths: dict, scale: str) -> dict:
    """Return a figure with its file, the claims that cite it and the results it is drawn from."""
    path = f"results/{scale}/figures/{figure['id']}.png"
    return {
        **figure,
        "file": path,
        "claims": [claim["id"] for claim in claims if figure["id"] in claim.get("figures", [])],
        "inputs": sorted(
            file
            for (experiment, _), file in paths.items()
            if any(fnmatchcase(experiment, pattern) for pattern in figure["experiments"])
        ),
        "remake": remake_command([path], scale),
    }


def summarise(runs: dict[str, dict], scale: str) -> dict:
    """Return where the numbers come from: every distinct value of what the runs recorded."""

    def distinct(key: str) -> list:
        return sorted({run[key] for run in runs.values()} - {None}, key=str)

    versions: dict[str, set] = {}
    data: dict[str, str] = {}
    for run in runs.values():
        data.update(run["data_sha256"])
        for name, version in run["versions"].items():
            versions.setdefault(name, set()).add(str(version))
    return {
        "scale": scale,
        "runs": len(runs),
        "wall_s": sum(run["wall_s"] for run in runs.values()),
        "seeds": distinct("seed"),
        "devices": distinct("device"),
        "threads": distinct("threads"),
        "machines": distinct("machine"),
        "commits": distinct("commit"),
        "dirty_runs": sum(bool(run["dirty"]) for run in runs.values()),
        "remarks": provenance.remarks_of(runs.values()),
        "started": [min(distinct("started"), default=None), max(distinct("started"), default=None)],
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
        "data_kinds": distinct("data_kind"),
        "data_sha256": dict(sorted(data.items())),
    }


def books_of(ledgers: Iterable[str | Path]) -> list[ledger.Ledger]:
    """Return the ledgers; raise one `ledger.LedgerError` with the errors of all."""
    books, errors = [], []
    for path in ledgers:
        try:
            books.append(ledger.load(path))
        except ledger.LedgerError as error:
            errors.append(str(error))
    if errors:
        raise ledger.LedgerError("\n".join(errors))
    return books


def collect(
    wanted: dict,
    ledgers: Iterable[str | Path],
    scale: str,
    folder: Path,
    others: Sequence[Beside] = (),
    kept: Sequence[records.Record] = (),
) -> tuple[dict, list[dict], str]:
    """Return (verdicts, groups of networks, runs.csv as text); `kept` are all records.

    Raises
    ------
    RefusedError, ledger.LedgerError, records.RecordError
        On results that are not current, and on broken ledgers and records.
    """
    books = books_of(ledgers)
    runs = read_runs(wanted["results"], scale, folder)
    sources = [judge_source(book, runs, wanted, scale, others) for book in books]
    groups = networks.compare(runs, lambda path: answers(folder / path))
    return verdicts_of(sources, runs, scale, kept), groups, table(runs)


def answers(path: Path) -> dict[str, np.ndarray]:
    """Return `predictions` and `labels`, uint8 (n_test,), kept beside a result or record."""
    arrays = foreign.read_npz(path.with_name("arrays.npz"), records.ALWAYS)
    return {name: arrays[name] for name in records.ALWAYS}


def verdicts_of(
    sources: list[dict], runs: dict[str, dict], scale: str, kept: Iterable[records.Record] = ()
) -> dict:
    """Return the content of verdicts.json; an infinite end of a region is null there."""
    return files.plain(
        {
            "schema": 1,
            "scale": scale,
            "from_records": False,
            "counts": counts([claim for source in sources for claim in source["claims"]]),
            "sources": sources,
            "unknown_sources": of_unknown_sources(kept),
            "provenance": summarise(runs, scale),
        }
    )


def table(runs: dict[str, dict]) -> str:
    """Return one line per run and metric."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS.split(), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for path, run in runs.items():
        shown = {**run, "path": path, "remarks": "; ".join(provenance.remarks(run))}
        for metric, value in sorted(run["metrics"].items()):
            writer.writerow({**shown, "metric": metric, "value": value})
    return stream.getvalue()


@command.ends("judge")
def main(argv: list[str] | None = None) -> int:
    """Judge every claim; return 1 after one clear message if something is refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", required=True)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--wanted", help="JSON file: {results: {path: ...}, figures: {id: paths}}")
    asked.add_argument("--config", help="the resolved configuration as JSON, in place of --wanted")
    parser.add_argument("--ledgers", required=True, nargs="*", help="none: no source takes part")
    parser.add_argument("--out", required=True, type=Path, help="verdicts.json")
    parser.add_argument("--runs", required=True, type=Path, help="runs.csv")
    parser.add_argument("--networks", required=True, type=Path, help="networks.json")
    parser.add_argument("--records", type=Path, help="folder of run records to show beside")
    parser.add_argument("--kept", default="[]", help="configurations of the records, JSON list")
    args = parser.parse_args(argv)
    owned.check_new(args.out, args.runs, args.networks)
    if args.config:
        wanted = {"results": dag.wanted(json.loads(args.config))}
    else:
        wanted = foreign.read_json(args.wanted)
    kept = records.load(args.records) if args.records else []
    scales = json.loads(args.kept)
    others = [
        beside
        for config in scales
        for beside in kept_runs(dag.wanted(config), config["scale"], kept)
    ]
    shown = kept if scales else []  # a smoke run shows no record
    verdicts, groups, runs = collect(wanted, args.ledgers, args.scale, Path.cwd(), others, shown)
    for config in (config for config in scales if config["scale"] == "paper"):
        lacking.note(verdicts["sources"], config, kept)
    files.write_json(args.out, verdicts)
    files.write_json(args.networks, groups)
    files.write_text(args.runs, runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
