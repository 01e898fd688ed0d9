"""The report on a machine that ran nothing: verdicts, tables and figures from run records alone.

A claim is judged on the current records of one scale. Stale and missing records judge nothing, and
the claim says so; sound results of this machine, if there are any, are shown beside the records.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from respike.report import collect, judge, lacking, ledger, networks, render, wording
from respike.runs import command, files, owned, records
from respike.workflow import config as configuration
from respike.workflow import dag, jobs


def chosen_runs(chosen: records.Chosen) -> dict[str, dict]:
    """Return the results of the current records by path, without those of other data."""
    runs = {path: record.result for path, record in chosen.current.items()}
    for path, why in collect.mixed_data(runs).items():
        chosen.stale[path] = (chosen.current.pop(path), [why])
        del runs[path]
    return runs


def explain(
    claims: list[dict],
    config: dict,
    wanted: dict[str, dict],
    chosen: records.Chosen,
    costs: lacking.Costs,
) -> None:
    """Say of each claim that was not measured whether its records are stale, or what they cost."""
    for claim in claims:
        if claim["verdict"]["status"] != "not_run" or "measure" not in claim:
            continue
        patterns = ledger.experiments(claim)
        paths = [
            path
            for path, run in wanted.items()
            if run["source"] == claim["source"]
            and any(fnmatchcase(run["experiment"], pattern) for pattern in patterns)
        ]
        why = sorted({w for path in paths if path in chosen.stale for w in chosen.stale[path][1]})
        if why:
            claim["verdict"]["reason"] = f"Its records are stale and judge nothing: {why[0]}."
        elif paths:
            missing = sum(path in chosen.missing for path in paths)
            reason = f"No record of {missing} of its {len(paths)} runs."
            cost = lacking.of_runs(config, paths, wanted, chosen.current, costs)
            if cost.unknown < cost.parts:
                said = wording.cost(cost.seconds, cost.unknown, cost.parts)
                reason += f" Cost on one core, by the times of recorded runs: {said}."
            claim["verdict"]["reason"] = reason


def build(scale: str, folder: Path, out: Path, work: Path) -> dict:
    """Write the report of one scale from the records in `folder`; return its verdicts.

    `work` is where records are unpacked for the figures. Raises records.RecordError on a record
    that was tampered with, ledger.LedgerError, and owned.NotOwned where a user's file stands in the
    way.
    """
    written = [*render.FILES, "verdicts.json"]
    owned.check_new(*(out / name for name in written))
    config = configuration.load("config.yaml", {"scale": scale}, everything=True)
    wanted = dag.wanted(config)
    kept = records.load(folder)
    if not kept:
        raise records.RecordError(f"no records in {folder}: `respike record` makes them")
    chosen = records.choose(wanted, kept, scale)
    runs = chosen_runs(chosen)
    where = {path: str(record.folder / "record.json") for path, record in chosen.current.items()}
    others = [
        beside
        for other in ("default", "paper")
        for beside in collect.kept_runs(dag.wanted({**config, "scale": other}), other, kept)
    ]
    here = collect.sound_runs(wanted, scale, Path.cwd())
    others.append(collect.Beside("this machine", scale, here))
    sources, costs = [], lacking.Costs(kept, scale)
    for book in collect.books_of(jobs.ledger_of(source) for source in config["sources"]):
        source = collect.judge_source(book, runs, {"results": wanted}, scale, others, where)
        explain(source["claims"], config, wanted, chosen, costs)
        source["counts"] = collect.counts(source["claims"])
        sources.append(source)
    lacking.note(sources, config, kept)
    verdicts = collect.verdicts_of(sources, runs, scale, kept) | {"from_records": True}
    groups = networks.compare(runs, lambda path: collect.answers(Path(where[path])))
    figures, drawn_from = draw(config, chosen, work)
    for figure in (figure for source in verdicts["sources"] for figure in source["figures"]):
        figure["drawn_from"] = drawn_from.get(figure["id"])
    plot_networks(groups, work, figures)
    owned.claim(out, written)
    render.write(verdicts, groups, collect.table(runs), figures, out, [])
    files.write_json(out / "verdicts.json", verdicts)
    return verdicts


def draw(config: dict, chosen: records.Chosen, work: Path) -> tuple[Path, dict[str, list[int]]]:
    """Draw every figure of which runs are recorded whole, from those.

    Return the folder of figures, and figure -> [runs that it is drawn from, runs of the scale] for
    those that lack some.
    """
    owned.claim(work, ["figures", "results", "networks.json"])
    figures, drawn_from = work / "figures", {}
    for source in config["sources"]:
        for figure, inputs in jobs.figures(config, source).items():
            metrics = [path for path in inputs if path.endswith("metrics.json")]
            kept = {path: chosen.current[path] for path in metrics if path in chosen.current}
            unpacked = {work / path: record for path, record in kept.items() if record.complete}
            picture = figures / f"{figure}.png"
            owned.remove(picture)  # of an earlier call, from other runs
            if not unpacked:
                continue
            for path, record in unpacked.items():
                records.unpack(record, path)
            call = [sys.executable, "-m", f"respike.sources.{source}.figures", "--figure", figure]
            call += ["--published", jobs.published_json(source), "--out", picture]
            done = subprocess.run([*call, "--runs", *unpacked], capture_output=True, text=True)
            share = f"{len(unpacked)} of {len(metrics)} runs"
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                print(f"figure {figure} not drawn from {share}: {last}", file=sys.stderr)
            elif len(unpacked) < len(metrics):
                drawn_from[figure] = [len(unpacked), len(metrics)]
    return figures, drawn_from


def plot_networks(groups: list[dict], work: Path, figures: Path) -> None:
    """Draw the plots of all networks."""
    files.write_json(work / "networks.json", groups)
    for figure in render.NETWORK_FIGURES:
        call = [sys.executable, "-m", "respike.figures.networks", "--figure", figure["id"]]
        call += ["--networks", work / "networks.json", "--out", figures / f"{figure['id']}.png"]
        subprocess.run(call, check=True)


@command.ends("report from records")
def main(argv: list[str] | None = None) -> int:
    """Write the report from records; return 1 after one clear message if something is refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", required=True, choices=["default", "paper"])
    parser.add_argument("--records", type=Path, default=records.FOLDER)
    parser.add_argument("--work", required=True, type=Path, help="folder for unpacked records")
    parser.add_argument("--out", required=True, type=Path, help="folder of the report")
    args = parser.parse_args(argv)
    verdicts = build(args.scale, args.records, args.out, args.work)
    counts = verdicts["counts"]
    print(", ".join(f"{counts[s]} {s}" for s in judge.STATUSES if counts[s]))
    print(args.out / "comparison.html")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
