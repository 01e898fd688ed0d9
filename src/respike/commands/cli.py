"""The console command `respike`: everything that is not a run of the workflow.

Imports are inside the commands, so that `--help` is quick and a broken module breaks one command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from respike.runs import command, foreign, surroundings
from respike.runs.surroundings import given

if TYPE_CHECKING:
    from respike.report import ledger

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

    def add(name: str, run, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(run=run)
        return added

    scaled = []
    one = add("config", _config, "list the experiments, or show the settings of one")
    one.add_argument("source", nargs="?", help="id of a source, as poisson_mlp")
    one.add_argument("experiment", nargs="?", help="name of an experiment, as train")
    scaled.append(one)
    one = add("check", _check, "check config, ledgers, records and every result")
    scaled.append(one)
    one = add("claims", _claims, "list every claim with its verdict, if it has one")
    one.add_argument("--source", help="only the claims of this source")
    scaled.append(one)
    for name, run, text in (
        ("verdict", _verdict, "show a claim with its numbers and its verdict"),
        ("why", _why, "follow a verdict to its runs, code and command"),
        ("remake", _remake, "show the command that makes the runs of a claim anew"),
    ):
        one = add(name, run, text)
        one.add_argument("claim", help="as poisson_mlp.accuracy; the part after the dot may do")
        if name == "remake":
            one.add_argument(
                "--run", dest="at_once", action="store_true", help="run it, do not only show it"
            )
        scaled.append(one)
    one = add("reproduce", _reproduce, "run a claim again from nothing and compare")
    one.add_argument("claim", help="as poisson_mlp.accuracy; the part after the dot may do")
    one.add_argument("--into", type=given, help="scratch folder; default: build/reproduce/CLAIM")
    one.add_argument("--cores", type=int, default=2, help="default: 2")
    scaled.append(one)
    one = add("report", _report, "say where the report is and count its verdicts")
    scaled.append(one)
    one = add("status", _status, "tell what runs, how far it is, the time left, what failed")
    one.add_argument("--watch", action="store_true", help="show it again every few seconds")
    one.add_argument("--json", action="store_true", help="for programs")
    one = add("record", _record, "keep finished results as records in reports/records")
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
        help="instead: take recorded cells of grid searches back, so that none is trained again",
    )
    scaled.append(one)
    for one in scaled:
        one.add_argument(
            "--scale",
            choices=("smoke", "default", "paper"),
            help="instead of the one in config.yaml",
        )
    one = add("digest", _digest, "show the digests of a module and what they cover")
    one.add_argument("module", help="as respike.sources.poisson_mlp.train")
    one = add("fetch", _fetch, "download and verify a data set")
    one.add_argument("dataset", help="name in workflow/datasets.yaml, as mnist")
    one.set_defaults(scale=None)
    one = add(
        "emulate-nmnist", _emulate, "write emulated N-MNIST recordings in the official layout"
    )
    one.add_argument(
        "--images", required=True, type=given, help="IDX file, as train-images-idx3-ubyte[.gz]"
    )
    one.add_argument(
        "--labels", required=True, type=given, help="IDX file, as train-labels-idx1-ubyte[.gz]"
    )
    one.add_argument(
        "--indices", default=":", metavar="FIRST:END", help="which images, from 0; default: all"
    )
    one.add_argument(
        "--seed", type=int, default=0, help="with the index it fixes all chance; default 0"
    )
    one.add_argument(
        "--split", choices=("train", "test"), default="train", help="folder Train or Test"
    )
    one.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto (default) takes a GPU if there is one",
    )
    one.add_argument(
        "--out",
        required=True,
        type=given,
        metavar="DIR",
        help="files go to DIR/NMNIST/Train/<digit>/<index + 1, five digits>.bin",
    )
    one = add("stdp-evaluate", _stdp_evaluate, "judge an STDP network trained anywhere")
    one.add_argument(
        "--weights",
        required=True,
        type=given,
        metavar="FILE.npz",
        help="w (784, n) and, for diehl_cook, theta (n,)",
    )
    one.add_argument("--encoder", required=True, choices=("poisson", "bernoulli", "rank_order"))
    one.add_argument("--neuron", required=True, choices=("if", "lif", "srm0", "diehl_cook"))
    one.add_argument("--label-images", type=int, default=6400, help="training images; default 6400")
    one.add_argument("--test-images", type=int, default=10000, help="default 10000")
    one.add_argument("--num-steps", type=int, default=100, help="ms of a presentation; default 100")
    one.add_argument("--intensity", type=float, default=128.0, help="Hz of a white pixel; 128")
    one.add_argument("--seed", type=int, default=0, help="of the input spikes; default 0")
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another constant of the network, as tc_decay_ms=10; may be repeated",
    )
    one.add_argument("--data", type=given, default=Path("data/mnist"), help="default data/mnist")
    one.set_defaults(scale=None)
    one = add("stdp-table", _stdp_table, "make the STDP tables in one go, and time them")
    one.add_argument("--seeds", type=int, default=1, help="networks per cell; default 1")
    one.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto (default) takes a GPU if there is one",
    )
    one.add_argument(
        "--engine", choices=("fast", "batched"), help="default: batched on a GPU, else fast"
    )
    one.add_argument(
        "--encoders",
        nargs="+",
        choices=("poisson", "bernoulli", "rank_order"),
        default=["poisson", "bernoulli", "rank_order"],
        help="default: all three",
    )
    for name in ("n-train", "n-test", "assign-images"):
        one.add_argument(f"--{name}", type=int, help="default: the document's")
    one.add_argument("--out", type=given, metavar="FILE.json", help="default: print")
    one.add_argument("--data", type=given, default=Path("data/mnist"), help="default data/mnist")
    one.set_defaults(scale="paper")
    one = add("new-source", _new_source, "begin the folder of another document, with an example")
    one.add_argument("name", metavar="NAME", help="its id, as my_paper")
    add("bench", None, "time our code beside its peers: reports/benchmarks.csv")
    add("scaling", None, "measure cost against size: reports/scaling.csv")
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


def _load(options: argparse.Namespace) -> dict:
    from respike.workflow import config

    return config.load("config.yaml", {"scale": options.scale} if options.scale else None)


def _config(options: argparse.Namespace) -> None:
    from respike.workflow import config as configuration
    from respike.workflow import dag

    overrides = {"scale": options.scale} if options.scale else None
    config, places = configuration.load_with_places("config.yaml", overrides)
    if options.experiment:
        found = dag.experiment(config, options.source, options.experiment)
        print(f"{found.source} {found.name} at scale {found.scale}, seeds {found.seeds}")
        origins = configuration.origins(found, config, places)
        values = {key: json.dumps(value) for key, value in sorted(found.settings.items())}
        width = min(max(map(len, values.values()), default=0), 40)
        for key, value in values.items():
            print(f"  {key:20} {value:{width}}  {origins[key]}")
        return
    config = dag.available(config)
    for source in [options.source] if options.source else config["sources"]:
        for found in dag.experiments(config, source).values():
            print(f"{source:16} {found.name:32} {len(found.seeds):3} seeds")


def _check(options: argparse.Namespace) -> int:
    from respike.report import collect
    from respike.workflow import dag

    config = _load(options)
    print("config.yaml: valid")
    for path, book in _ledgers():
        print(f"{path}: valid, {len(book.claims)} claims")
    wanted = dag.wanted(config)
    present = {path: expected for path, expected in wanted.items() if Path(path).exists()}
    made = {str(p) for p in Path("results", config["scale"]).glob("*/*/seed=*/metrics.json")}
    print(
        f"results at scale {config['scale']}: {len(present)} of {len(wanted)} present, "
        f"{len(made - wanted.keys())} left over from another configuration"
    )
    try:
        runs = collect.read_runs(present, config["scale"], Path.cwd())
    except collect.RefusedError as error:
        print(error)
        return 1
    print("every result that is present is current")
    _say_remarks(runs.values())
    from respike.runs import records

    try:
        kept = records.load()
    except records.RecordError as error:
        print(error)
        return 1
    stale = sum(bool(record.why_stale) for record in kept)
    withdrawn = sum(bool(record.withdrawn) for record in kept)
    print(f"{len(kept)} run records, none edited; {stale} stale, {withdrawn} withdrawn")
    for row in collect.of_unknown_sources(kept):
        print(f"  {row['records']} of {row['source']}, a source that is not here: shown as such")
    _say_remarks([record.result for record in kept])
    return 0


def _say_remarks(results: Collection[dict]) -> None:
    from respike.runs import provenance

    for text in provenance.remarks_of(results):
        print(f"  remark: {text}")


def _ledgers() -> Iterator[tuple[Path, ledger.Ledger]]:
    from respike.report import ledger
    from respike.runs import sources

    for source in sources.found():
        path = sources.file_of(source, sources.LEDGER)
        yield path, ledger.load(path)


def _verdicts(config: dict) -> dict[str, dict] | None:
    path = Path("results", config["scale"], "verdicts.json")
    if not path.exists():
        return None
    sources = foreign.read_json(path)["sources"]
    return {claim["id"]: claim for source in sources for claim in source["claims"]}


def _claims(options: argparse.Namespace) -> None:
    from respike.workflow import dag

    config = _load(options)
    if options.source and options.source not in config["sources"]:
        raise dag.UnknownName(f"no source {options.source!r}: {', '.join(config['sources'])}")
    verdicts = _verdicts(config) or {}
    for path, book in _ledgers():
        if options.source in (None, path.parent.name):
            for claim in book.claims:
                status = (
                    verdicts[claim["id"]]["verdict"]["status"] if claim["id"] in verdicts else "-"
                )
                print(f"{status:15} {claim['id']:40} {claim['says']}")


def _asked(options: argparse.Namespace) -> tuple[dict, dict]:
    from respike.commands import answers

    return answers.find(answers.load(_load(options)["scale"]), options.claim)


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

    return reproduce.main(options.claim, _load(options), options.into, options.cores)


def _report(options: argparse.Namespace) -> int:
    config = _load(options)
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
    _say_remarks(runs.values())
    print(page.resolve())
    return 0


def _status(options: argparse.Namespace) -> int:
    from respike.commands import status
    from respike.workflow import config

    def load(scale: str) -> dict:
        return config.load("config.yaml", {"scale": scale})

    if options.watch and not options.json and sys.stdout.isatty():
        found = status.watch(load)
    elif options.watch:
        raise ValueError("--watch needs a terminal, and no --json; call it again instead")
    else:
        found = status.look(load)
        print(json.dumps(found, indent=1) if options.json else status.shown(found))
    return int(found is None or found["state"] in status.BAD or bool(found["failed"]))


def _record(options: argparse.Namespace) -> int:
    from fnmatch import fnmatchcase

    from respike.runs import records
    from respike.workflow import dag

    if options.withdraw:
        records.withdraw(options.withdraw, options.reason)
        print(f"withdrawn: {options.withdraw}")
        return 0
    config = _load(options)
    if options.restore:
        from respike.sources.nmnist_grid import restore

        parts = Path("results", config["scale"], "nmnist_grid", "parts")
        new, there = restore.restore(records.load(), config["scale"], parts)
        print(f"{new} recorded cells put into {parts}, {there} were there already")
        return 0
    if options.source and options.source not in config["sources"]:
        raise dag.UnknownName(f"no source {options.source!r}: {', '.join(config['sources'])}")
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
    _say_remarks(new)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems or not finished else 0


def _digest(options: argparse.Namespace) -> None:
    from respike.runs import closure, provenance

    locked = provenance.locked_versions()
    print(f"code {provenance.code_digest(options.module)}, from")
    for name in closure.closure(provenance.roots_of(options.module)).definitions.values():
        print(f"  {name}")
    print(f"pins {provenance.pins_digest(options.module)}, from")
    for name in provenance.third_party(options.module):
        print(f"  {name}=={locked[name]}")


def _new_source(options: argparse.Namespace) -> None:
    from respike.commands import new_source

    new_source.main(options.name)


def _emulate(options: argparse.Namespace) -> None:
    from respike.commands import emulate

    emulate.run(options)


def _stdp_evaluate(options: argparse.Namespace) -> None:
    from respike.sources.stdp_tables import evaluate
    from respike.workflow import dag

    settings = dag.experiment(_load(options), "stdp_tables", "poisson_diehl_cook").settings
    evaluate.run(options, settings)


def _stdp_table(options: argparse.Namespace) -> None:
    from respike.sources.stdp_tables import all_networks
    from respike.workflow import dag

    all_networks.main(
        options, dag.experiment(_load(options), "stdp_tables", "poisson_diehl_cook").settings
    )


def _fetch(options: argparse.Namespace) -> int:
    from respike.data import fetch

    data = _load(options)["data"]
    folder = data.get(f"{options.dataset}_folder")
    return fetch.main(
        [options.dataset, "--out", f"{data['folder']}/{options.dataset}", "--local", folder or ""]
    )
