"""Run one claim again from nothing, in a folder of its own, and compare.

`respike reproduce CLAIM` copies the project without results, settings of Snakemake or caches, runs
the experiments that the claim rests on, and sets every number beside the one that was there before:
this checkout's results, or the run records. Promised on a CPU: the same processor model, packages,
seed and threads give the same numbers bit for bit. Only times differ; they are no part of it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from respike.commands import answers
from respike.report import collect, judge, ledger, wording
from respike.runs import files, owned, records
from respike.runs.provenance import ROOT, remarks, version_remarks
from respike.runs.surroundings import git
from respike.workflow import dag, jobs, run_lock

FOLDER = Path("build", "reproduce")
# Metrics that are times of the machine; they differ from run to run.
TIMES = re.compile(r"(^|_)(cpu_(s|ms)|speed_up)(_|$)|^train_s_per_epoch|^first_layer_time_ratio$")


class ReproduceError(RuntimeError):
    """There is nothing to run, or it failed; the message says what to do."""


@dataclass(frozen=True)
class Before:
    """What the new runs are compared with: runs by result path, and where they come from."""

    runs: dict[str, dict]
    label: str
    places: dict[str, Path]  # the folder of each, with its arrays.npz


def claim_of(config: dict, name: str) -> dict:
    """Return the claim of the ledgers; raise ask.AskError where there is none of that name."""
    books = collect.books_of(map(jobs.ledger_of, config["sources"]))
    sources = [{"claims": book.claims} for book in books]
    return answers.find({"sources": sources}, name)[1]


def results_of(claim: dict, config: dict) -> dict[str, dict]:
    """Return result path -> what must stand there, of every run that the claim rests on.

    Raises
    ------
    ReproduceError
        The claim rests on no run at this scale.
    """
    source, patterns = claim["id"].split(".")[0], ledger.experiments(claim)
    found = {
        path: run
        for path, run in dag.wanted(config).items()
        if run["source"] == source and any(fnmatchcase(run["experiment"], p) for p in patterns)
    }
    if not found:
        raise ReproduceError(
            f"{claim['id']} rests on no run at scale {config['scale']}; "
            f"`respike verdict {claim['id']}` says why, --scale chooses another"
        )
    return found


def before(wanted: dict[str, dict], scale: str, folder: Path = ROOT) -> Before:
    """Return the current results of this checkout, else its current records."""
    if runs := collect.sound_runs(wanted, scale, folder):
        places = {path: (folder / path).parent for path in runs}
        return Before(runs, "results of this checkout", places)
    kept = records.choose(wanted, records.load(folder / records.FOLDER), scale).current
    runs = {path: record.result for path, record in kept.items()}
    return Before(runs, "run records", {path: record.folder for path, record in kept.items()})


def copy_project(into: Path, folder: Path = ROOT) -> None:
    """Copy the files that git knows or would add, without run records."""
    names = git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, names.split("\0")):
        if (folder / name).is_file() and not name.startswith("reports/records/"):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, into / name)


def command(paths: list[str], config: dict, cores: int) -> list[str]:
    """Return the Snakemake call, with the places of data made absolute."""
    places = {}
    folder = ROOT / config["data"]["folder"] / "mnist"
    if config["data"]["mnist_folder"]:
        places["mnist_folder"] = str((ROOT / config["data"]["mnist_folder"]).resolve())
    elif (folder / "manifest.json").is_file():
        places["mnist_folder"] = str(folder)
    if config["data"]["nmnist_real"]:
        places["nmnist_real"] = str((ROOT / config["data"]["nmnist_real"]).resolve())
    options = [f"scale={config['scale']}", f"data={json.dumps(places)}"]
    return ["snakemake", "--cores", str(cores), *paths, "--config", *options]


def run(paths: list[str], config: dict, into: Path, cores: int) -> None:
    """Make the results anew in `into`, which must be empty or of an earlier call.

    Raises
    ------
    ReproduceError
        The run failed, or another is at work in `into`.
    owned.NotOwned
        `into` holds anything that is not provably of an earlier call; nothing is touched.
    """
    if run_lock.living(into):
        raise ReproduceError(f"a run is at work in {into}: wait for it, or name another folder")
    owned.make_empty(into)
    copy_project(into)
    archives = Path(config["data"]["folder"], "nmnist_official", "archives")
    if (ROOT / archives).is_dir():
        (into / archives).parent.mkdir(parents=True, exist_ok=True)
        # A download that is not done is left out: going on with it would write into the original.
        shutil.copytree(
            ROOT / archives, into / archives, copy_function=files.link_or_copy,
            ignore=shutil.ignore_patterns("*.part"),
        )  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(into / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    called = command(paths, config, cores)
    print(f"in {into}: {shlex.join(called)}", file=sys.stderr, flush=True)
    if subprocess.run(called, cwd=into, env=environment).returncode:
        raise ReproduceError(f"the run failed; its logs are in {into / 'logs'}")


def compare(
    claim: dict, was: Before, now: dict[str, dict], into: Path, scale: str
) -> Iterator[tuple[str, bool]]:
    """Yield (line, whether it is as before): each run, then the claim's value and verdict."""
    for path, run in now.items():
        if path not in was.runs:
            yield f"  {path}: nothing to compare with", True
            continue
        different = differences(was.runs[path], run)
        different += arrays_that_differ(was.places[path], (into / path).parent)
        where = " and ".join(other_machine(was.runs[path], run))
        said = "the same numbers, bit for bit"
        if different:
            said = f"{len(different)} numbers differ{f', on another {where}' if where else ''}: "
            said += "; ".join(different[:4]) + ("; ..." if len(different) > 4 else "")
        said += "".join(f"; {remark}" for remark in remarks(run))
        yield f"  {path}: {said}", not different or bool(where)
    statuses = []
    for label, runs in (("before", was.runs), ("now", now)):
        if not runs:
            continue
        measured = judge.measure(claim, runs.values())
        verdict = judge.judge(claim, measured, scale)
        text = wording.interval(measured.mean, measured.half, wording.unit_of(claim))
        statuses.append(verdict.status)
        yield f"  {label:7}{text} (n = {measured.n}): {verdict.status.replace('_', ' ')}", True
    same = len(set(statuses)) == 1
    if not same:
        yield "  the verdict is another one", False


def differences(was: dict, now: dict) -> list[str]:
    """Return which metrics and series differ, with both values; times are left out."""
    lines = []
    for part in ("metrics", "series"):
        for name in sorted({*was[part], *now[part]}):
            pair = was[part].get(name), now[part].get(name)
            if pair[0] != pair[1] and not TIMES.search(name.split()[0]):
                lines.append(f"{name} was {pair[0]}, is {pair[1]}" if part == "metrics" else name)
    return lines


def arrays_that_differ(was: Path, now: Path) -> list[str]:
    """Return the arrays of two results that differ in a bit; a record may lack some of them."""
    with np.load(was / "arrays.npz") as a, np.load(now / "arrays.npz") as b:
        kept = (was / "record.json").exists()
        names = set(a.files) & set(b.files) if kept else {*a.files, *b.files}
        names = {name for name in names if not TIMES.search(name)}
        return [f"array {name}" for name in sorted(names) if _bits(a, name) != _bits(b, name)]


def _bits(archive: Mapping[str, np.ndarray], name: str) -> tuple | None:
    if name not in archive:
        return None
    return archive[name].dtype, archive[name].shape, archive[name].tobytes()


def other_machine(was: dict, now: dict) -> Iterator[str]:
    """Yield what of the surroundings differs, of what may change the last digits."""
    for key, name in (("device", "device"), ("machine", "processor"), ("threads", "thread count")):
        if was[key] != now[key]:
            yield name
    if version_remarks(was) != version_remarks(now):
        yield "version of a package"
    if was.get("surroundings", {}) != now.get("surroundings", {}):
        yield "setting of the processor's features"
    if was["device"] == now["device"] != "cpu":
        yield "run on a GPU, where sums have no fixed order"


def main(name: str, config: dict, into: Path | None, cores: int) -> int:
    """Reproduce a claim and print the comparison; return 0 if it came out as before."""
    claim = claim_of(config, name)
    wanted = results_of(claim, config)
    into = (into or ROOT / FOLDER / claim["id"]).resolve()
    was = before(wanted, config["scale"])
    run(list(wanted), config, into, cores)
    now = collect.read_runs(wanted, config["scale"], into)
    print(f"{claim['id']}: {claim['says']}")
    print(f"  {len(now)} runs from nothing, beside {len(was.runs)} ({was.label})")
    lines = list(compare(claim, was, now, into, config["scale"]))
    for line, _ in lines:
        print(line)
    return 0 if all(same for _, same in lines) else 1
