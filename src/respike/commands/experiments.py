"""Commands on experiments and their results: config, check, status, digest."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from respike.commands.claims import ledgers
from respike.commands.parsing import add, load_config
from respike.commands.records import say_remarks


def add_to(commands) -> None:
    """Add the commands to the parser's."""
    one = add(
        commands, "config", _config, "list the experiments, or show the settings of one", True
    )
    one.add_argument("source", nargs="?", help="id of a source, as poisson_mlp")
    one.add_argument("experiment", nargs="?", help="name of an experiment, as train")
    add(commands, "check", _check, "check config, ledgers, records and every result", True)
    one = add(commands, "status", _status, "tell what runs, how far it is, time left, what failed")
    one.add_argument("--watch", action="store_true", help="show it again every few seconds")
    one.add_argument("--json", action="store_true", help="for programs")
    one = add(
        commands, "digest", _digest, "show the digests of an experiment and what they cover", True
    )
    one.add_argument("source", help="id of a source, as poisson_mlp")
    one.add_argument("experiment", help="name of an experiment, as train")
    one.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    one = add(commands, "new-source", _new_source, "begin the folder of another document")
    one.add_argument("name", metavar="NAME", help="its id: lower-case letters, digits and _")


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
    from respike.runs import records
    from respike.workflow import dag

    config = load_config(options.scale)
    print("config.yaml: valid")
    for path, book in ledgers():
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
    say_remarks(runs.values())
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
    say_remarks([record.result for record in kept])
    return 0


def _status(options: argparse.Namespace) -> int:
    from respike.commands import status

    if options.watch and not options.json and sys.stdout.isatty():
        found = status.watch(load_config)
    elif options.watch:
        raise ValueError("--watch needs a terminal, and no --json; call it again instead")
    else:
        found = status.look(load_config)
        print(json.dumps(found, indent=1) if options.json else status.shown(found))
    return int(found is None or found["state"] in status.BAD or bool(found["failed"]))


def _digest(options: argparse.Namespace) -> None:
    from respike.runs import closure, provenance, sources
    from respike.workflow import dag

    config = load_config(options.scale)
    found = dag.experiment(config, options.source, options.experiment)
    module, device = sources.module_of(found.source, found.root), options.device
    roots, locked = provenance.roots_of(module), provenance.locked_versions()
    print(f"code {provenance.code_digest(module, device=device)}, from")
    for name in closure.closure(roots, device=device).definitions.values():
        print(f"  {name}")
    print(f"pins {provenance.pins_digest(module, device=device)}, from")
    for name in provenance.third_party(module, device=device):
        print(f"  {name}=={locked[name]}")


def _new_source(options: argparse.Namespace) -> None:
    from respike.commands import new_source

    new_source.main(options.name)
