"""The console command `respike`: everything that is not a run of the workflow.

The commands stand by subject in modules of their own, those on one document in `commands.py` of its
folder. Imports are inside the commands, so that `--help` is quick and a broken module breaks one
command.
"""

from __future__ import annotations

import argparse
import sys

from respike.commands import claims, data, experiments, parsing, records
from respike.runs import command, sources, surroundings

EPILOG = """\
The workflow itself is run by Snakemake:
  make report [SCALE=smoke]          everything, then the report (smoke: a few samples, a check)
  snakemake --cores 2 <result file>  one result
  snakemake -n --quiet host          what would run, and why
Exit status: 0 well, 1 a check found something, 2 wrong use or unreadable files, 70 our fault (log).
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; see EPILOG and `respike.runs.command`."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] in (["bench"], ["scaling"]):  # their options are their own; argparse cannot pass
        from respike.commands import benchmark, scaling

        try:
            return {"bench": benchmark, "scaling": scaling}[argv[0]].main(argv[1:])
        except surroundings.SurroundingsError as error:
            print(f"respike {argv[0]}: {error}", file=sys.stderr)
            return 2
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0

    def run() -> int | None:
        surroundings.enter()
        return options.run(options)

    return command.run(f"respike {options.command}", run, failed=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="respike",
        description="Replication of published results on spiking neural networks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for subject in (experiments, claims, records, data):
        subject.add_to(commands)
    for source in sources.with_file("commands.py"):
        try:
            sources.load(source, "commands").add_to(commands)
        except Exception as error:  # whatever it is, the other commands work
            said = f"{type(error).__name__}: {error}"
            print(f"respike: the commands of {source} are left out ({said})", file=sys.stderr)
    parsing.add(commands, "bench", None, "time our code beside its peers: reports/benchmarks.csv")
    parsing.add(commands, "scaling", None, "measure cost against size: reports/scaling.csv")
    return parser


class _Version(argparse.Action):
    # The version is looked up only when asked for: that costs as much as all of --help.
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from importlib import metadata

        try:
            print(f"respike {metadata.version('respike')}")
        except metadata.PackageNotFoundError:
            print("respike (not installed: run `make setup`)")
        parser.exit()
