"""What every experiment module does at its end: read the command line, run, write the result.

Plumbing: nothing here changes a number, so it is part of no code digest.
"""

import argparse
import dataclasses
import datetime
import errno
import hashlib
import json
import os
import socket
import sys
import time
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from respike.runs import command, surroundings

RULES = (  # how weights are learned, as the report names it
    "back-propagation",  # of an ANN
    "surrogate gradients through time",
    "local surrogate gradients",  # of each step alone
    "NormAD",
    "STDP",
    "back-propagation on spike counts",  # of a linear layer that reads fixed spiking layers
)
DATA_SETS = ("mnist", "nmnist")


@dataclass(frozen=True)
class Network:
    """A trained network and what one inference costs: how the report sets networks side by side.

    An experiment that trains a classifier on MNIST or N-MNIST returns one in its `Result`, and
    keeps two arrays: `predictions` and `labels`, uint8 (n_test,), of the test images in their
    order. The accuracy is not declared, it follows from these. Costs are means over the same
    images, for all time steps of one image.

    Raises
    ------
    ValueError
        On an unknown learning rule or data set, or a negative or infinite number.
    """

    name: str  # size and what sets it apart, as "784-250-10, T = 50"
    data_set: str  # one of DATA_SETS
    rule: str  # one of RULES
    n_neurons: int  # without the inputs
    n_parameters: int  # weights, biases, thresholds that inference needs, trained or fixed
    n_state: int  # numbers kept from step to step: potentials, traces, currents; an ANN's outputs
    num_steps: int  # of one image in the test; 0 for an ANN
    spikes: float | None  # of inputs and neurons, per image; None for an ANN
    synaptic_operations: float | None  # accumulates that these spikes cause; None for an ANN
    macs: int  # multiply-accumulates of an ANN with the same connections; of an ANN its own
    n_train: int  # different training images
    presentations: int  # training images shown, all epochs
    train_s: float  # of training, tests left out: CPU time of the process, on a GPU wall time

    def __post_init__(self):
        for name, value, allowed in (
            ("rule", self.rule, RULES),
            ("data_set", self.data_set, DATA_SETS),
        ):
            if value not in allowed:
                raise ValueError(f"network {name}: found {value!r}, allowed: {', '.join(allowed)}")
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, str | None) and not 0 <= value < float("inf"):
                raise ValueError(f"network {item.name}: found {value!r}, allowed: 0 or more")


@dataclass
class Result:
    """What an experiment returns."""

    metrics: dict[str, float]  # one number per name; fractions, not per cent
    series: dict[str, list[float]] = field(default_factory=dict)  # curves
    arrays: dict[str, object] = field(default_factory=dict)  # per-image predictions, pictures
    data_kind: str = ""  # where it is not that of the data set, as when the run makes its own
    network: Network | None = None  # the trained network; needs `predictions` and `labels`

    def __post_init__(self):
        if self.network:
            found = [self.arrays.get(name) for name in ("predictions", "labels")]
            kinds = [(str(getattr(a, "dtype", None)), getattr(a, "shape", ())) for a in found]
            if kinds[0] != kinds[1] or kinds[0][0] != "uint8" or len(kinds[0][1]) != 1:
                raise ValueError(
                    "a Result with a network needs the arrays predictions and labels, both uint8 "
                    f"(n_test,): found {kinds[0]} and {kinds[1]}"
                )


class SettingsError(ValueError):
    """The settings do not fit the experiment; the message names the key."""


def read_settings(text: str, cls):
    """Return the frozen settings of an experiment from JSON; raise SettingsError.

    Every field must be given, no other may be, and each must have its declared type: a setting
    that is not read can then not be set.
    """
    given = json.loads(text)
    wanted = typing.get_type_hints(cls)
    problems = [f"{key}: not a setting of this experiment" for key in given.keys() - wanted]
    problems += [f"{key}: missing" for key in wanted.keys() - given]
    for key in sorted(given.keys() & wanted):
        if not _fits(given[key], wanted[key]):
            name = getattr(wanted[key], "__name__", None) or str(wanted[key])
            problems.append(f"{key}: found {given[key]!r}, allowed: {name}")
    if problems:
        raise SettingsError("; ".join(sorted(problems)))
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def _fits(value, kind) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(value, one) for one in kind.__args__)
    if typing.get_origin(kind) is tuple:
        return isinstance(value, list) and all(_fits(v, kind.__args__[0]) for v in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def device_name(wanted: str) -> str:
    """Return `cpu` or `cuda` for auto|cpu|cuda; raise SettingsError if there is no GPU.

    Of several GPUs one that no other job of this user has is made the current one.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    # Of several parts of a GPU (MIG) CUDA takes the first that is named, when it is first asked.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if len(visible) > 1 and visible[0].startswith("MIG-"):
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[free_gpu(visible)]
    if torch.cuda.is_available():
        if (count := torch.cuda.device_count()) > 1:
            uuids = [str(torch.cuda.get_device_properties(n).uuid) for n in range(count)]
            torch.cuda.set_device(free_gpu(uuids))
        return "cuda"
    if wanted == "cuda":
        raise SettingsError(
            "device: cuda was asked for and torch finds no GPU; set `device: auto` in config.yaml"
        )
    return "cpu"


_gpu_held = None  # until the process ends, however it ends


def free_gpu(names: Sequence[str]) -> int:
    """Return the place in `names` of a GPU that no other job holds, and hold it; else 0.

    Snakemake counts GPUs and names none: with `--resources gpu=2` two jobs would share the first.
    A GPU goes by a name that all jobs of the machine know it by, whichever GPUs each of them sees
    and whoever started it. What holds it is a socket of that name, which the kernel keeps and no
    file system has to: it needs no folder, no rights and no locks.
    """
    global _gpu_held
    for number, name in enumerate(names):
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0respike-gpu-{name}")
        except OSError as error:
            held.close()
            if error.errno == errno.EADDRINUSE:
                continue
            break  # it cannot be told which are free
        _gpu_held = held
        return number
    return 0


def main(
    run: Callable,
    settings_class: type,
    uses_device: bool = False,
    load: Callable | None = None,
    keeps_parts: bool = False,
) -> int:
    """Run one experiment for the seed given and write its result; return the exit status.

    `run(settings, data, seed, progress)` gives a Result; with `uses_device` it also takes
    `device`. `data` is what `load` makes of the manifests of --data (one for each argument), with
    the fields `sha256` and `kind`; it is MNIST where no `load` is given. With `keeps_parts` it
    takes `kept`, a respike.runs.checkpoints.Kept beside its results.
    """
    surroundings.prepare()
    parser = argparse.ArgumentParser(prog="python -m respike.workflow.run_experiment")
    parser.add_argument("--data", required=True, nargs="+", help="manifest.json of each data set")
    parser.add_argument("--settings", required=True, help="settings as JSON")
    parser.add_argument("--source", required=True)
    parser.add_argument("--root", required=True, help="entry whose module runs the experiment")
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--protocol", default="as_documented")
    parser.add_argument("--scale", required=True)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", default=1, type=int)
    parser.add_argument("--metrics", required=True, type=Path, help="where metrics.json goes")
    parser.add_argument("--arrays", required=True, type=Path, help="where arrays.npz goes")
    args = parser.parse_args()
    label = f"{args.source} {args.experiment} seed {args.seed}"
    given = (run, settings_class, uses_device, load, keeps_parts, args, label)

    def checked() -> None:
        surroundings.check()
        _run_and_write(*given)

    return command.run(label, checked)


def _run_and_write(run, settings_class, uses_device, load, keeps_parts, args, label) -> None:
    from respike.runs import checkpoints, files, loaded, owned, provenance
    from respike.runs.progress import Progress

    owned.check_new(args.metrics, args.arrays)
    set_threads(args.threads)
    settings = read_settings(args.settings, settings_class)
    device = device_name(args.device) if uses_device else "cpu"
    data = _loaded(load, args.data)
    # Before the run: an edit during it must show.
    made_from = provenance.record(args.source, args.root)
    code = loaded.Sources(provenance.origin(made_from)[1])
    code.check()
    started = datetime.datetime.now(datetime.UTC)
    start, started_cpu_s = time.perf_counter(), time.process_time()
    extra = {"device": device} if uses_device else {}
    if keeps_parts:
        parts = args.metrics.parents[2] / "parts"
        extra["kept"] = checkpoints.of_job(parts, made_from, data.sha256, device)
    result = run(settings, data, args.seed, Progress(label), **extra)
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
            "settings": dataclasses.asdict(settings),
            "data_sha256": data.sha256,
            "data_kind": result.data_kind or data.kind,
            "device": _device_label(device),
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


def _loaded(load: Callable | None, manifests: list[str]):
    """Return the data of some manifests; whatever their readers raise is a fault of the files."""
    from respike.data import mnist

    try:
        return (load or mnist.load)(*manifests)
    except Exception as error:
        if said := command.expected(error):
            raise SettingsError(said) from error
        raise SettingsError(
            f"{', '.join(manifests)}: damaged, or no data of Respike ({type(error).__name__}: "
            f"{error}). Remove it and run again: what is missing is made anew"
        ) from error


def _device_label(device: str) -> str:
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def set_threads(threads: int) -> None:
    """Limit numba, torch and the BLAS of NumPy to `threads`, loaded or not yet."""
    import threadpoolctl

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # for what is loaded from now on
    threadpoolctl.threadpool_limits(threads)
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
