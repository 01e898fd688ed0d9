"""The command on run records: record."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path

from respike.commands.parsing import add, load_config
from respike.runs import sources
from respike.runs.surroundings import given


def add_to(commands) -> None:
    """Add the command to the parser's."""
    one = add(
        commands, "record", _record, "keep finished results as records in reports/records", True
    )
    one.add_argument("--source", help="only the results of this source")
    one.add_argument(
        "--experiment", help="only these experiments: a name, or a pattern as 'sweep_*'"
    )
    one.add_argument("--seed", type=int, help="only this seed")
    one.add_argument(
        "--withdraw",
        type=given,
        metavar="FOLDER",
        help="instead: mark one record as not to be used",
    )
    one.add_argument("--reason", default="", help="why it is withdrawn")
    one.add_argument(
        "--restore",
        action="store_true",
        help="instead: take the recorded parts of long jobs back, so that none is made again",
    )


def say_remarks(results: Collection[dict]) -> None:
    """Print what must be said of results that are current, each remark once."""
    from respike.runs import provenance

    for text in provenance.remarks_of(results):
        print(f"  remark: {text}")


def _record(options: argparse.Namespace) -> int:
    from fnmatch import fnmatchcase

    from respike.runs import records
    from respike.workflow import dag

    if options.withdraw:
        records.withdraw(options.withdraw, options.reason)
        print(f"withdrawn: {options.withdraw}")
        return 0
    config = load_config(options.scale)
    if options.source and options.source not in config["sources"]:
        raise dag.UnknownName(f"no source {options.source!r}: {', '.join(config['sources'])}")
    if options.restore:
        _restore(config["scale"], options.source)
        return 0
    asked = [
        Path(path)
        for path, run in dag.wanted(config).items()
        if options.source in (None, run["source"])
        and options.seed in (None, run["seed"])
        and fnmatchcase(run["experiment"], options.experiment or "*")
    ]
    finished = [path for path in asked if path.exists()]
    print(f"{len(finished)} of {len(asked)} results at scale {config['scale']} are finished")
    new, problems = [], []
    for path in finished:
        try:
            if records.add(path):
                new.append(json.loads(path.read_text(encoding="utf-8")))
        except records.RecordError as error:
            problems.append(str(error))
    print(f"{len(new)} new records, {len(finished) - len(new) - len(problems)} were there already")
    say_remarks(new)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems or not finished else 0


def _restore(scale: str, source: str | None) -> None:
    """Let each source, or one, take parts of its jobs out of the records (its `restore.py`)."""
    from respike.runs import records

    kept = records.load()
    for name in sources.with_file("restore.py"):
        if source in (None, name):
            parts = Path("results", scale, name, "parts")
            new, there = sources.load(name, "restore").restore(kept, scale, parts)
            print(f"{new} recorded parts put into {parts}, {there} were there already")
