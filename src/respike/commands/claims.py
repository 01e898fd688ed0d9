"""Commands on claims: claims, verdict, why, remake, reproduce, report."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from respike.commands.parsing import add, load_config
from respike.commands.records import say_remarks
from respike.runs import foreign
from respike.runs.surroundings import given

if TYPE_CHECKING:
    from respike.report import ledger

CLAIM = "as poisson_mlp.accuracy; the part after the dot may do"


def add_to(commands) -> None:
    """Add the commands to the parser's."""
    one = add(commands, "claims", _claims, "list every claim with its verdict, if it has one", True)
    one.add_argument("--source", help="only the claims of this source")
    for name, run, text in (
        ("verdict", _verdict, "show a claim with its numbers and its verdict"),
        ("why", _why, "follow a verdict to its runs, code and command"),
        ("remake", _remake, "show the command that makes the runs of a claim anew"),
        ("reproduce", _reproduce, "run a claim again from nothing and compare"),
    ):
        one = add(commands, name, run, text, True)
        one.add_argument("claim", help=CLAIM)
        if name == "remake":
            one.add_argument(
                "--run", dest="at_once", action="store_true", help="run it, do not only show it"
            )
        if name == "reproduce":
            one.add_argument(
                "--into", type=given, help="scratch folder; default: build/reproduce/CLAIM"
            )
            one.add_argument("--cores", type=int, default=2, help="default: 2")
    add(commands, "report", _report, "say where the report is and count its verdicts", True)


def ledgers() -> Iterator[tuple[Path, ledger.Ledger]]:
    """Yield the ledger of each source with its path, checked."""
    from respike.report import ledger
    from respike.runs import sources

    for source in sources.found():
        book = ledger.load(sources.FOLDER / source / sources.LEDGER)
        yield sources.file_of(source, sources.LEDGER), book


def _verdicts(config: dict) -> dict[str, dict] | None:
    path = Path("results", config["scale"], "verdicts.json")
    if not path.exists():
        return None
    found = foreign.read_json(path)["sources"]
    return {claim["id"]: claim for source in found for claim in source["claims"]}


def _claims(options: argparse.Namespace) -> None:
    from respike.workflow import dag

    config = load_config(options.scale)
    if options.source and options.source not in config["sources"]:
        raise dag.UnknownName(f"no source {options.source!r}: {', '.join(config['sources'])}")
    verdicts = _verdicts(config) or {}
    for path, book in ledgers():
        if options.source in (None, path.parent.name):
            for claim in book.claims:
                status = (
                    verdicts[claim["id"]]["verdict"]["status"] if claim["id"] in verdicts else "-"
                )
                print(f"{status:15} {claim['id']:40} {claim['says']}")


def _asked(options: argparse.Namespace) -> tuple[dict, dict]:
    from respike.commands import answers

    scale = load_config(options.scale)["scale"]
    return answers.find(answers.load(scale), options.claim)


def _verdict(options: argparse.Namespace) -> None:
    from respike.commands import answers

    print("\n".join(answers.verdict(*_asked(options))))


def _why(options: argparse.Namespace) -> None:
    from respike.commands import answers

    print("\n".join(answers.why(*_asked(options))))


def _remake(options: argparse.Namespace) -> int:
    _, claim = _asked(options)
    if not claim["remake"]:
        print(f"{claim['id']} rests on no run: {claim['verdict']['reason']}", file=sys.stderr)
        return 1
    print(claim["remake"])
    if not options.at_once:
        return 0
    import shlex
    import subprocess

    return subprocess.run(shlex.split(claim["remake"])).returncode


def _reproduce(options: argparse.Namespace) -> int:
    from respike.commands import reproduce

    config = load_config(options.scale)
    return reproduce.main(options.claim, config, options.into, options.cores)


def _report(options: argparse.Namespace) -> int:
    config = load_config(options.scale)
    folder = Path("reports", "smoke") if config["scale"] == "smoke" else Path("reports")
    page, verdicts = folder / "comparison.html", _verdicts(config)
    if not page.exists() or verdicts is None:
        print(f"no report at scale {config['scale']} yet: make report", file=sys.stderr)
        return 1
    # Snakemake judges by its own records, which a fresh clone with results carried over lacks.
    from respike.report import collect
    from respike.workflow import dag

    try:
        runs = collect.read_runs(dag.wanted(config), config["scale"], Path.cwd())
    except collect.RefusedError as error:
        print(f"{page} is older than its results:\n{error}", file=sys.stderr)
        return 1
    counts = Counter(row["verdict"]["status"] for row in verdicts.values())
    print(", ".join(f"{count} {status}" for status, count in counts.most_common()))
    say_remarks(runs.values())
    print(page.resolve())
    return 0
