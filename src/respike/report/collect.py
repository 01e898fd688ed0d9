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
import sys
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from respike import dag, files, provenance
from respike.report import judge, ledger

SAME = ("source", "experiment", "seed", "settings")  # what a result must share with the DAG
COLUMNS = "source experiment seed scale metric value wall_s device code pins commit dirty path"


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
            result = json.loads((folder / path).read_text(encoding="utf-8"))
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
        for path, why in _mixed_data(runs).items():
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


def _mixed_data(runs: dict[str, dict]) -> dict[str, str]:
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


def judge_source(book: ledger.Ledger, runs: dict[str, dict], wanted: dict, scale: str) -> dict:
    """Return one source's part of verdicts.json: its ledger, measurements and verdicts."""
    results = wanted["results"]
    source = book.source["id"]
    own = {path: run for path, run in runs.items() if run["source"] == source}
    paths = {(run["experiment"], run["seed"]): path for path, run in own.items()}
    claims = []
    for claim in book.claims:
        measured = judge.measure(claim, own.values()) if "measure" in claim else None
        verdict = judge.judge(claim, measured, scale)
        used = [paths[key] for key in measured.used] if measured else []
        claims.append(
            {
                **claim,
                "source": source,
                "verdict": {"status": verdict.status, "reason": verdict.reason},
                "measured": _measured(claim, measured) if used else None,
                "files": used,
                "rules": sorted({results[path].get("rule", "") for path in used} - {""}),
                "modules": sorted({runs[path]["module"] for path in used}),
                "data": sorted({runs[path]["data_kind"] for path in used}),
                "remake": remake_command(used, scale) if used else None,
            }
        )
    return {
        **book.source,
        "ledger": str(book.path),
        "counts": _counts(claims),
        "claims": claims,
        "figures": [_figure(figure, claims, paths, scale) for figure in book.figures],
        "deviations": book.deviations,
        "unstated": book.unstated,
        "errata": book.errata,
        "runs": len(own),
        "wall_s": sum(run["wall_s"] for run in own.values()),
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


def _counts(claims: list[dict]) -> dict[str, int]:
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
        "started": [min(distinct("started"), default=None), max(distinct("started"), default=None)],
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
        "data_kinds": distinct("data_kind"),
        "data_sha256": dict(sorted(data.items())),
    }


def collect(wanted: dict, ledgers: list[str | Path], scale: str, folder: Path) -> tuple[dict, str]:
    """Return (verdicts, runs.csv as text); raises `RefusedError` or `ledger.LedgerError`."""
    books, errors = [], []
    for path in ledgers:
        try:
            books.append(ledger.load(path))
        except ledger.LedgerError as error:
            errors.append(str(error))
    if errors:
        raise ledger.LedgerError("\n".join(errors))
    runs = read_runs(wanted["results"], scale, folder)
    sources = [judge_source(book, runs, wanted, scale) for book in books]
    verdicts = {
        "schema": 1,
        "scale": scale,
        "counts": _counts([claim for source in sources for claim in source["claims"]]),
        "sources": sources,
        "provenance": summarise(runs, scale),
    }
    return verdicts, _table(runs)


def _table(runs: dict[str, dict]) -> str:
    """Return one line per run and metric."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS.split(), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for path, run in runs.items():
        for metric, value in sorted(run["metrics"].items()):
            writer.writerow({**run, "metric": metric, "value": value, "path": path})
    return stream.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Judge every claim; return 1 after one clear message if something is refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", required=True)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--wanted", help="JSON file: {results: {path: ...}, figures: {id: paths}}")
    asked.add_argument("--config", help="the resolved configuration as JSON, in place of --wanted")
    parser.add_argument("--ledgers", required=True, nargs="+")
    parser.add_argument("--out", required=True, type=Path, help="verdicts.json")
    parser.add_argument("--runs", required=True, type=Path, help="runs.csv")
    args = parser.parse_args(argv)
    try:
        if args.config:
            wanted = {"results": dag.wanted(json.loads(args.config))}
        else:
            wanted = json.loads(Path(args.wanted).read_text(encoding="utf-8"))
        verdicts, table = collect(wanted, args.ledgers, args.scale, Path.cwd())
    except (RefusedError, ledger.LedgerError) as error:
        print(error, file=sys.stderr)
        return 1
    files.write_json(args.out, verdicts)
    files.write_text(args.runs, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
