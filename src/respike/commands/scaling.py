"""Cost of the experiments against their size: `respike scaling` writes reports/scaling.csv.

The cases of a document stand in `scaling.yaml` of its folder. Each sets one size (`axis`) of an
experiment, whose name it gives with the settings to change, to each of `sizes` in turn. Its module
is run itself with what it reads; time is its CPU time of training, or with `metric_ms` a metric of
it, in ms per unit. A case without experiment names a function of `scaling.py` in the same folder:
given MNIST, it returns a function from a size to CPU seconds. Dry runs of the workflow are added.

All run on one core, each case in a process of its own. A first run at the smallest size compiles
and is not counted; then the sizes are taken in turn, up and down, round after round, so that a
machine that slows down slows all of them. Times are without imports, compilation and tests.

The exponent is the slope of log time against log size over the medians of the sizes, with a 95 %
interval from Student's t (sizes - 2 degrees of freedom): it holds noise and curvature. A cost with
a part that does not grow has too small an exponent and goes on too flat; a straight line through
the two largest sizes goes on right then. The table holds both.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import inspect
import itertools
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from respike.commands import benchmark
from respike.runs import (
    command,
    files,
    owned,
    provenance,
    sources,
    strict_yaml,
    surroundings,
)
from respike.runs.surroundings import given

CASES = "scaling.yaml"
WORKFLOW = {  # sizes are seeds; the table shows the jobs that they make
    "case": "the workflow, dry run", "axis": "seeds", "unit": "jobs", "sizes": [1, 30, 100, 300],
}  # fmt: skip
TIMES = 10  # how much larger the study is whose cost is extrapolated
COLUMNS = (
    "case", "axis", "unit", "sizes", "cpu_s", "exponent", "exponent_half", "cpu_s_ten_times",
    "ten_times_low", "ten_times_high", "ten_times_straight", "peak_mb", "rounds", "settings",
    "machine", "commit", "date",
)  # fmt: skip


def load_cases() -> list[dict]:
    """Return the cases of all sources and that of the workflow; see `cases_of` for errors."""
    own = [cases_of(name, sources.FOLDER / name / CASES) for name in sources.with_file(CASES)]
    return [*itertools.chain(*own), WORKFLOW]


def cases_of(source: str, file: Path) -> list[dict]:
    """Return the cases of a source.

    Raises
    ------
    ValueError
        On a case that cannot be measured; the message names file and case.
    """
    cases = strict_yaml.load(file)[0]["cases"]
    for case in cases:
        where = f"{file}: {case.get('case')}, {case.get('axis')}"
        wanted = {"case", "axis", "unit", "sizes"}
        wanted |= {"function"} if "function" in case else {"experiment", "settings"}
        if set(case) - {"metric_ms"} != wanted:
            raise ValueError(f"{where}: keys are {sorted(case)}, allowed: {sorted(wanted)}")
        if len(case["sizes"]) < 3 or sorted(set(case["sizes"])) != case["sizes"]:
            raise ValueError(f"{where}: sizes {case['sizes']}: give three or more, rising")
    return [{**case, "case": f"{source}, {case['case']}", "source": source} for case in cases]


def fit(sizes: list[float], seconds: list[float]) -> tuple[float, float]:
    """Return the exponent of time against size and the half width of its 95 % interval."""
    from scipy import stats

    found = stats.linregress([math.log(x) for x in sizes], [math.log(s) for s in seconds])
    return found.slope, stats.t.ppf(0.975, len(sizes) - 2) * found.stderr


def row(case: dict, rounds: list[list[float]], sizes: list[float], peaks: list[float]) -> dict:
    """Return one line of the table.

    `rounds` are CPU seconds (rounds, sizes). The cost of a ten times larger study goes on from the
    largest size with the exponent and both ends of its interval, and along a straight line.
    """
    seconds = [statistics.median(column) for column in zip(*rounds, strict=True)]
    exponent, half = fit(sizes, seconds)
    ten = [seconds[-1] * TIMES**power for power in (exponent, exponent - half, exponent + half)]
    rise = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    ten.append(seconds[-1] + rise * (TIMES - 1) * sizes[-1])

    def text(values) -> str:
        return " ".join(f"{value:.4g}" if isinstance(value, float) else str(value)
                        for value in values)  # fmt: skip

    return {
        **{key: case[key] for key in ("case", "axis", "unit")},
        "sizes": text(sizes),
        "cpu_s": text(seconds),
        "exponent": f"{exponent:.3f}",
        "exponent_half": f"{half:.3f}",
        **dict(zip(
            ("cpu_s_ten_times", "ten_times_low", "ten_times_high", "ten_times_straight"),
            (f"{value:.4g}" for value in ten), strict=True,
        )),
        "peak_mb": text(peaks),
        "rounds": len(rounds),
        "settings": json.dumps(case.get("settings", {})),
    }  # fmt: skip


def measure(run: Callable[[int], float], sizes: list[int], rounds: int) -> tuple[list, list]:
    """Return CPU seconds (rounds, sizes) and the peak memory of the process at each size, MB.

    `run(size)` returns CPU seconds. The memory is that of the first round, which goes up.
    """
    run(sizes[0])  # compiles
    times, peaks = [], []
    for number in range(rounds):
        found = {}
        for size in sizes[:: 1 if number % 2 == 0 else -1]:
            forget_peak()
            found[size] = run(size)
            if number == 0:
                peaks.append(peak_mb())
        times.append([found[size] for size in sizes])
    return times, peaks


def forget_peak() -> None:
    """Let the peak memory of this process count from now on, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def peak_mb() -> float:
    """Return the peak memory of this process, MB; imports are part of it."""
    try:
        kb = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    except (OSError, TypeError):
        kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(int(kb) / 1024)


def _no_progress(*_, **__) -> None:
    pass


def experiment_runner(case: dict, mnist_folder: Path, scratch: Path) -> Callable[[int], float]:
    """Return a function that runs the case's experiment at a size; it returns CPU seconds."""
    from respike.data import mnist
    from respike.data.nmnist import recordings
    from respike.workflow import config, dag, jobs
    from respike.workflow import settings as typed

    at_default = config.load("config.yaml", {"scale": "default"})
    found = dag.experiment(at_default, case["source"], case["experiment"])
    base = {**found.settings, **case["settings"]}
    module = importlib.import_module(sources.module_of(found.source, found.root))
    manifests = []
    for name in jobs.Job(at_default, found.source, found.root).data:
        if name == "mnist":
            manifests.append(mnist_folder / "manifest.json")
        elif name == "nmnist":
            most = max(case["sizes"]) if case["axis"] == "n_train" else base["n_train"]
            sizes = {"train": most, "test": base["n_test"]}
            recordings.emulated(scratch, mnist.load(mnist_folder), sizes, seed=0, device="cpu")
            manifests.append(scratch / "manifest.json")
        else:
            raise ValueError(f"{case['case']}: its experiment reads {name}: mnist and nmnist only")
    data = getattr(module, "load", mnist.load)(*map(str, manifests))
    device = {"device": "cpu"} if "device" in inspect.signature(module.run).parameters else {}

    def timed(size: int) -> float:
        value = [size] if isinstance(base[case["axis"]], list | tuple) else size
        settings = typed.read(json.dumps({**base, case["axis"]: value}), module.Settings)
        result = module.run(settings, data, 0, _no_progress, **device)
        if "metric_ms" in case:
            return result.metrics[case["metric_ms"]] / 1000 * size
        return result.network.train_s

    return timed


def function_runner(case: dict, mnist_folder: Path) -> Callable[[int], float]:
    """Return the function that the case's own makes of MNIST; it returns CPU seconds."""
    from respike.data import mnist

    return getattr(sources.load(case["source"], "scaling"), case["function"])(
        mnist.load(mnist_folder)
    )


def measure_workflow(seeds: list[int], rounds: int) -> tuple[list, list, list]:
    """Return times and memory of dry runs of the whole workflow, and how many jobs they plan.

    More seeds for every experiment that sets none of its own make more jobs. The start of Snakemake
    is part of the time.
    """
    jobs: dict[int, int] = {}
    peaks: dict[int, float] = {}

    def dry_run(count: int) -> float:
        call = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--cores", "1"]
        with tempfile.NamedTemporaryFile("w+", suffix=".json") as chosen, \
                tempfile.TemporaryFile("w+") as said:  # fmt: skip
            json.dump({"scale": "default", "seeds": {"default": list(range(count))}}, chosen)
            chosen.flush()
            call += ["--quiet", "rules", "--configfile", chosen.name]
            process = subprocess.Popen(call, stdout=said, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            found = re.search(r"^total +(\d+)$", text := said.read(), re.M)
        if process.returncode or not found:
            raise RuntimeError(f"the dry run failed: {text.strip()[-500:]}")
        jobs[count], peaks[count] = int(found[1]), round(usage.ru_maxrss / 1024)
        return usage.ru_utime + usage.ru_stime

    times, _ = measure(dry_run, seeds, rounds)
    return times, [peaks[count] for count in seeds], [jobs[count] for count in seeds]


def one(case: dict, rounds: int) -> dict:
    """Measure one case in this process; return its line of the table."""
    from respike.runs.devices import set_threads

    folder = Path("data", "mnist")
    sizes = case["sizes"]
    if "source" not in case:
        times, peaks, sizes = measure_workflow(sizes, rounds)
        return row(case, times, sizes, peaks)
    with tempfile.TemporaryDirectory() as scratch:
        if "experiment" in case:
            run = experiment_runner(case, folder, Path(scratch))
        else:
            run = function_runner(case, folder)
        set_threads(1)
        times, peaks = measure(run, sizes, rounds)
    return row(case, times, sizes, peaks)


def shown(found: dict) -> str:
    """Return one line for the terminal."""
    return (
        f"{found['case']:38} {found['unit']:11} {found['sizes']}: {found['cpu_s']} s, exponent "
        f"{found['exponent']} ± {found['exponent_half']}, ten times: {found['cpu_s_ten_times']} s"
    )


@command.ends("respike scaling")
def main(argv: list[str] | None = None) -> int:
    """Measure every case, each in a process of its own, and write the table; return the status."""
    parser = argparse.ArgumentParser(
        prog="respike scaling",
        description="Measure what experiments cost against their size, and fit an exponent. About "
        "eight minutes on one core, on which nothing else should run.",
    )
    parser.add_argument(
        "--out", type=given, help="default: reports/scaling.csv, with --quick nothing is written"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--case", default="", help="only cases whose name holds this text")
    parser.add_argument(
        "--quick", action="store_true", help="one round at small sizes, as a check of the code"
    )
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # its place in load_cases()
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.one is None:  # else a call of ours, with an environment that is prepared
        surroundings.enter()
    rounds = 1 if options.quick else options.rounds
    if options.out:
        owned.check_new(options.out)  # before minutes of work
    cases = load_cases()
    if options.quick:
        cases = [{**case, "sizes": small(case["sizes"])} for case in cases]
    if options.one is not None:
        print(json.dumps(one(cases[options.one], rounds)))
        return 0
    places = [k for k, case in enumerate(cases) if options.case in case["case"]]
    if not places:
        names = ", ".join(dict.fromkeys(case["case"] for case in cases))
        raise ValueError(f"no case holds {options.case!r}; there are {names}")
    made_from, rows = _made_from(), []
    for place in places:
        rows.append(_in_a_process(cases[place], place, rounds, options.quick) | made_from)
        print(shown(rows[-1]), flush=True)
    out = options.out or (None if options.quick else provenance.ROOT / "reports" / "scaling.csv")
    if out:
        files.write_text(out, benchmark.as_csv(rows, COLUMNS))
        print(out)
    return 0


def small(sizes: list[int]) -> list[int]:
    """Return sizes for a check that the code runs: less than a second in all, no measurement."""
    most = sizes[0]
    return [max(1, most // 4), max(2, most // 2), max(3, most)]


def _in_a_process(case: dict, place: int, rounds: int, quick: bool) -> dict:
    call = [
        sys.executable,
        "-m",
        "respike.commands.scaling",
        "--one",
        str(place),
        "--rounds",
        str(rounds),
    ]
    call += ["--quick"] if quick else []
    # One core: BLAS, OpenMP and numba read these when they are loaded.
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(names, "1")}
    done = subprocess.run(
        call, cwd=provenance.ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{case['case']}, {case['axis']}: failed, see above")
    return json.loads(done.stdout.splitlines()[-1])


def _made_from() -> dict[str, str]:
    made = provenance.where_made()
    return {
        "machine": made["machine"],
        "commit": f"{made['commit']}{' with changes' if made['dirty'] else ''}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
