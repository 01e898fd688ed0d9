"""A job that runs other code than its files hold says so and writes nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = "respike.sources.toy.train"
SETTINGS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Train:
    n: int
"""
TOY = """
import numpy as np
from respike.runs.result import Result
from respike.sources.toy.settings import Train as Settings
from respike.spiking.numba_cache import njit

FACTOR = 1

@njit(cache=True)
def double(x):
    return 2 * x

def run(settings, data, seed, progress):
    HOOK
    from respike.sources.toy.parts import part  # imported late
    return Result({"value": float(double(settings.n)) * FACTOR + part()})
"""
PART = "def part():\n    return 0.5\n"


@pytest.fixture
def project(tmp_path, small_mnist_folder):
    """Return a function that runs the experiment of a toy source, in a checkout of its own."""
    root = tmp_path / "checkout"
    shutil.copytree(
        ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    source = root / "src" / "respike" / "sources" / "toy"
    source.mkdir()
    toy, part = source / "train.py", source / "parts.py"
    contents = {"__init__.py": "", "settings.py": SETTINGS, "parts.py": PART}
    contents |= {"config.yaml": "train: {job: {}}\n", "claims.yaml": ""}
    for name, text in contents.items():
        (source / name).write_text(text)
    out = root / "results" / "smoke" / "toy" / "train" / "seed=0"

    def run(hook="pass", status=0, start=""):
        if hook:
            toy.write_text(TOY.replace("HOOK", hook))
        shutil.rmtree(out, ignore_errors=True)
        arguments = [
            "--data", str(small_mnist_folder / "manifest.json"), "--settings", '{"n": 3}',
            "--source", "toy", "--root", "train", "--experiment", "train", "--scale", "smoke",
            "--seed", "0",
            "--metrics", str(out / "metrics.json"), "--arrays", str(out / "arrays.npz"),
        ]  # fmt: skip
        program = f"import sys\n{start}\nfrom respike.workflow import run_experiment\n"
        program += f"sys.exit(run_experiment.main({arguments!r}))"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=root, capture_output=True, text=True,
            env={
                **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
                "PYTHONPATH": str(root / "src"),
            },
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert (out / "metrics.json").exists() == (status == 0)
        if status:
            assert "Traceback" not in done.stderr and "Nothing was written" in done.stderr
            return done.stderr
        return json.loads((out / "metrics.json").read_text())["metrics"]["value"]

    run.toy, run.part = toy, part
    return run


def test_a_job_runs_what_its_files_say(project):
    assert project() == 6.5
    assert project() == 6.5


@pytest.mark.parametrize("edit", ["2 * x:3 * x", "FACTOR = 1:FACTOR = 7"])
def test_a_stale_pyc_is_refused(project, edit):
    """Another content of the same size and time: Python takes the old .pyc."""
    assert project() == 6.5
    found = os.stat(project.toy)
    old, new = edit.split(":")
    project.toy.write_text(project.toy.read_text().replace(old, new))
    os.utime(project.toy, ns=(found.st_atime_ns, found.st_mtime_ns))
    said = project(hook=None, status=1)
    assert "train.py" in said
    (pyc,) = project.toy.parent.glob("__pycache__/train.*.pyc")
    assert str(pyc) in said and "remove it" in said
    pyc.unlink()
    assert project(hook=None) in (9.5, 42.5)


def test_a_module_that_is_edited_before_its_late_import_is_refused(project):
    hook = f"open({str(project.part)!r}, 'w').write('def part():\\n    return 1.5\\n')"
    assert "parts.py: part" in project(hook=hook, status=1)
    assert project() == 7.5


def test_an_edit_of_what_was_loaded_before_does_no_harm(project):
    hook = f"open({str(project.toy)!r}, 'a').write('\\ndef more():\\n    return 1\\n')"
    assert project(hook=hook) == 6.5


def test_a_function_that_is_edited_between_its_import_and_the_digest_is_refused(project):
    project()
    start = (
        f"import {MODULE}, pathlib, respike.spiking.events\n"
        "file = pathlib.Path(respike.spiking.events.__file__)\n"
        "file.write_text(file.read_text().replace('base[:] = bias', 'base[:] = bias * 2'))\n"
    )
    project.toy.write_text(TOY.replace("HOOK", "import respike.spiking.events"))
    said = project(hook=None, status=1, start=start)
    assert "events.py" in said and "edited" in said


def test_a_module_of_another_checkout_is_refused(project, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(PART)
    start = (
        "import importlib.util as u\n"
        f"spec = u.spec_from_file_location('respike.sources.toy.parts', {str(other)!r})\n"
        "sys.modules['respike.sources.toy.parts'] = module = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
    )
    assert "respike.sources.toy.parts was loaded from" in project(status=1, start=start)


def test_parameters_that_are_edited_during_the_run_are_refused(project):
    parameters = project.part.with_suffix(".json")
    parameters.write_text("0.5")
    read = 'float(Path(__file__).with_suffix(".json").read_text())'
    project.part.write_text(f"from pathlib import Path\n\n{PART.replace('0.5', read)}")
    assert project() == 6.5
    assert "parts.json" in project(hook=f"open({str(parameters)!r}, 'w').write('1.5')", status=1)
    assert project() == 7.5


def test_a_kernel_of_triton_is_held_against_its_file():
    from respike.runs import loaded
    from respike.spiking import lif_gpu

    file = Path(lif_gpu.__file__)
    content = file.read_bytes()
    assert not [*loaded.problems({"respike.spiking.lif_gpu": content})]
    changed = content.replace(b"m = beta * m + c - s * v_thresh", b"m = beta * m + c")
    assert changed != content
    assert "_forward" in "".join(loaded.problems({"respike.spiking.lif_gpu": changed}))
