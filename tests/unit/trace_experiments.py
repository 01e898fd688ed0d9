"""Run experiments and say which functions of ours ran: python trace_experiments.py CONFIG OUT.

CONFIG is a configuration as JSON; results go below the current folder. OUT gets a JSON object:
"source experiment" -> list of [file, line] of every function of ours that was called after the
imports, or that compiled code can call. Each experiment runs in a process of its own, forked from
one that has loaded the packages.
"""

import argparse
import gc
import importlib
import itertools
import json
import os
import sys
import threading
import traceback
import types
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from respike.runs import closure, provenance, sources
from respike.workflow import dag, run_experiment

SRC = str(closure.SRC / closure.PACKAGE) + os.sep


class Trace:
    """The functions that are called from now on, in this process and in what it forks."""

    def __init__(self):
        self.codes: dict[int, types.CodeType] = {}  # kept: the number of one that is gone is reused
        self.spawned: list[str] = []
        sys.addaudithook(self.audit)
        self.leave_out(Dispatcher, "compile")
        threading.settrace(self)
        sys.settrace(self)

    def __call__(self, frame, event, argument):
        """Note a call; return None: no line of it is traced."""
        code = frame.f_code
        if id(code) not in self.codes and not (is_ours(code) and self.importing(frame)):
            self.codes[id(code)] = code

    def leave_out(self, cls, name):
        """Do not trace what a method does: Numba compiling takes long and calls none of ours."""
        method = getattr(cls, name)

        def untraced(*arguments, **options):
            sys.settrace(None)
            try:
                return method(*arguments, **options)
            finally:
                sys.settrace(self)

        setattr(cls, name, untraced)

    def importing(self, frame) -> bool:
        """Return whether a frame runs for the import of a module of ours."""
        while frame := frame.f_back:
            if frame.f_code.co_name == "<module>" and is_ours(frame.f_code):
                return True
        return False

    def audit(self, event, arguments):
        """Note Python processes that are started: they are not traced."""
        if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork"):
            if event == "os.fork" or "python" in str(arguments[0]):
                self.spawned.append(event)

    def found(self) -> set[tuple[str, int]]:
        """Return (file, line) of each function of ours that ran."""
        sys.settrace(None)
        codes = {code for code in self.codes.values() if is_ours(code)}
        codes = {c for c in codes if c.co_name != "<module>" and c.co_flags & 1}  # no class bodies
        return {(c.co_filename, c.co_firstlineno) for c in codes | compiled()}


def is_ours(code: types.CodeType) -> bool:
    return code.co_filename.startswith(SRC)


def compiled() -> set[types.CodeType]:
    """Return the functions of ours of which there is machine code, and all that they may call.

    Of what one function calls within machine code only the names in it tell.
    """
    todo = [d for d in gc.get_objects() if isinstance(d, Dispatcher) and d.overloads]
    seen = set()
    while todo:
        function = todo.pop().py_func
        if function.__code__ in seen or not is_ours(function.__code__):
            continue
        seen.add(function.__code__)
        codes = [function.__code__]
        for code in codes:
            codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        names = {name for code in codes for name in code.co_names}
        values = [function.__globals__.get(name) for name in names]
        values += [cell.cell_contents for cell in function.__closure__ or ()]
        for value in list(values):
            if isinstance(value, types.ModuleType):
                values += [getattr(value, name, None) for name in names]
        todo += [value for value in values if isinstance(value, Dispatcher)]
    return seen


def run(config: dict, one: dag.Experiment) -> dict:
    """Run one experiment with its first seed; return what ran."""
    seed, job = one.seeds[0], config["sources"][one.source][one.root].get("job", {})
    metrics = Path(dag.result_path(config, one.source, one.name, seed))
    metrics.parent.mkdir(parents=True)
    data = job.get("data", ["mnist"])
    if "searches" in data:
        manifests = dag.searched(config, one.source, one.name, seed)
    else:
        manifests = [dag.manifest(config, name) for name in data]
    trace = Trace()
    run_experiment._run_and_write(
        importlib.import_module(sources.module_of(one.source, one.root)),
        argparse.Namespace(
            source=one.source, root=one.root, experiment=one.name, data=manifests,
            settings=dag.settings_json(config, one.source, one.name), protocol=one.protocol,
            scale=one.scale, seed=seed, device="cpu", threads=1, metrics=metrics,
            arrays=metrics.with_name("arrays.npz"),
        ),
        one.name,
    )  # fmt: skip
    return {"ran": sorted(trace.found()), "spawned": trace.spawned}


def in_a_fork(config: dict, one: dag.Experiment, out: Path) -> None:
    """Run one experiment in a child process, which writes what ran."""
    if pid := os.fork():
        if os.waitpid(pid, 0)[1]:
            raise SystemExit(f"{one.source} {one.name} failed")
        return
    try:
        out.write_text(json.dumps(run(config, one)))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def order(config: dict, one: dag.Experiment) -> bool:
    """Return whether an experiment reads results of others, and so comes after them."""
    return "searches" in config["sources"][one.source][one.root].get("job", {}).get("data", [])


def main(config_file: str, out: str) -> None:
    config = json.loads(Path(config_file).read_text())
    chosen = [
        one for source in config["sources"] for one in dag.experiments(config, source).values()
    ]
    packages = set()
    for one in chosen:
        packages |= set(provenance.third_party(sources.module_of(one.source, one.root)))
    for name in packages:
        importlib.import_module(name)
    found, count = {}, itertools.count()
    for one in sorted(chosen, key=lambda one: order(config, one)):
        import time

        t = time.time(), os.times()
        file = Path(f"{next(count)}.json")
        in_a_fork(config, one, file)
        t2 = os.times()
        print(
            one.source,
            one.name,
            round(time.time() - t[0], 1),
            round(sum(t2[2:4]) - sum(t[1][2:4]), 1),
            flush=True,
        )
        found[f"{one.source} {one.name}"] = json.loads(file.read_text()) | {"root": one.root}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
