"""Run one experiment of a source for one seed: what the rule of every experiment calls.

A module of an experiment defines `run(settings, data, seed, progress)`, which returns a Result, and
its `Settings`. What else it needs shows in its signature: `device` (cpu or cuda) and `kept`
(`respike.runs.checkpoints.Kept`, finished parts of a long job). Its `load` makes `data` of the
manifests of the data sets, with the fields `sha256` and `kind`; one without it is given MNIST.
"""

import argparse
import dataclasses
import datetime
import hashlib
import importlib
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from respike.data import mnist
from respike.runs import (
    checkpoints,
    command,
    devices,
    files,
    loaded,
    owned,
    provenance,
    sources,
    surroundings,
)
from respike.runs.progress import Progress
from respike.runs.result import SettingsError
from respike.workflow import settings


def main(argv: list[str] | None = None) -> int:
    """Run the experiment that --source and --root name; return the exit status."""
    surroundings.prepare()
    parser = argparse.ArgumentParser(
        prog="python -m respike.workflow.run_experiment", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--source", required=True, help="the document: a folder of src/respike/sources"
    )
    parser.add_argument("--root", required=True, help="entry whose module runs the experiment")
    parser.add_argument("--experiment", required=True, help="its name, as in paths")
    parser.add_argument("--data", required=True, nargs="+", help="manifest.json of each data set")
    parser.add_argument("--settings", required=True, help="settings as JSON")
    parser.add_argument("--protocol", default="as_documented")
    parser.add_argument("--scale", required=True)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", default=1, type=int)
    parser.add_argument("--metrics", required=True, type=Path, help="where metrics.json goes")
    parser.add_argument("--arrays", required=True, type=Path, help="where arrays.npz goes")
    args = parser.parse_args(argv)
    label = f"{args.source} {args.experiment} seed {args.seed}"

    def checked() -> None:
        surroundings.check()
        module = importlib.import_module(sources.module_of(args.source, args.root))
        _run_and_write(module, args, label)

    return command.run(label, checked)


def _run_and_write(module: ModuleType, args: argparse.Namespace, label: str) -> None:
    owned.check_new(args.metrics, args.arrays)
    devices.set_threads(args.threads)
    own = settings.read(args.settings, module.Settings)
    takes = inspect.signature(module.run).parameters
    device = devices.device_name(args.device) if "device" in takes else "cpu"
    data = _loaded(getattr(module, "load", None) or mnist.load, args.data)
    # Before the run: an edit during it must show.
    made_from = provenance.record(args.source, args.root, device)
    code = loaded.Sources(module.__name__, device)
    code.check()
    started = datetime.datetime.now(datetime.UTC)
    start, started_cpu_s = time.perf_counter(), time.process_time()
    extra = {"device": device} if "device" in takes else {}
    if "kept" in takes:
        parts = args.metrics.parents[2] / "parts"
        extra["kept"] = checkpoints.of_job(parts, made_from, data.sha256, device)
    result = module.run(own, data, args.seed, Progress(label), **extra)
    wall_s = time.perf_counter() - start
    code.check()
    files.write_npz(args.arrays, result.arrays)
    written = files.plain(
        {
            **made_from,
            "experiment": args.experiment,
            "protocol": args.protocol,
            "scale": args.scale,
            "seed": args.seed,
            "settings": dataclasses.asdict(own),
            "data_sha256": data.sha256,
            "data_kind": result.data_kind or data.kind,
            "device": devices.label(device),
            "threads": args.threads,
            "started": started.isoformat(timespec="seconds"),
            "wall_s": round(wall_s, 3),
            "metrics": result.metrics,
            "series": result.series,
            **({"network": dataclasses.asdict(result.network)} if result.network else {}),
            "arrays_sha256": hashlib.sha256(args.arrays.read_bytes()).hexdigest(),
        }
    )
    files.write_json(args.metrics, {**written, "seal": provenance.seal(written)})
    # Start-up is imports, data and digests: what many small jobs pay again and again.
    print(
        f"{label}: done in {wall_s:.0f} s, {time.process_time():.1f} CPU s, "
        f"of which start-up {started_cpu_s:.1f}",
        file=sys.stderr,
    )


def _loaded(load: Callable, manifests: list[str]):
    """Return the data of some manifests; whatever their readers raise is a fault of the files."""
    try:
        return load(*manifests)
    except Exception as error:
        if said := command.expected(error):
            raise SettingsError(said) from error
        raise SettingsError(
            f"{', '.join(manifests)}: damaged, or no data of Respike ({type(error).__name__}: "
            f"{error}). Remove it and run again: what is missing is made anew"
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
