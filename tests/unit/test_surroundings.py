"""The same checkout gives the same bits, whatever the user's shell and settings are."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from respike.data import mnist
from respike.data.emulator import camera
from respike.data.nmnist import event_table
from respike.runs import provenance, sources, surroundings
from respike.runs.surroundings import ROOT, SRC, clean
from respike.workflow import config, dag, jobs

LOCK = "numpy==2.0.0 \\\n    --hash=sha256:aa\ntorch==2.15.0 ; sys_platform == 'linux' \\\n"


# ------------------------------------------------------------------------------ the environment


def test_what_is_dropped_kept_and_set():
    theirs = {
        "HOME": "/h", "TZ": "Asia/Kathmandu", "TMPDIR": "/t", "REQUESTS_CA_BUNDLE": "/ca",
        "HTTPS_PROXY": "http://proxy", "CUDA_VISIBLE_DEVICES": "1", "ATEN_CPU_CAPABILITY": "avx2",
        "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CPU_NAME": "generic", "GLIBC_TUNABLES": "a=1",
    }  # fmt: skip
    leaks = (
        "GIT_DIR GIT_INDEX_FILE PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE PYTHONHASHSEED "
        "PYTHONWARNINGS PYTHONIOENCODING BASH_ENV ENV SHELLOPTS BASH_FUNC_python%% LC_ALL LANG "
        "OMP_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_MAX_THREADS NUMBA_DISABLE_JIT "
        "NVIDIA_TF32_OVERRIDE TORCH_ALLOW_TF32_CUBLAS_OVERRIDE TRITON_INTERPRET"
    ).split()
    env = clean(theirs | dict.fromkeys(leaks, "x") | {"PATH": "/usr/bin", "PYTHONPATH": "/other"})
    assert {name: env[name] for name in theirs} == theirs
    assert not set(leaks) & set(env)
    assert env["PYTHONPATH"] == str(SRC) and env["MPLBACKEND"] == "agg"
    assert env["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/usr/bin"
    assert clean(env) == env
    assert surroundings.recorded(theirs) == {
        "ATEN_CPU_CAPABILITY": "avx2", "NUMBA_CPU_NAME": "generic",
    }  # fmt: skip


def test_it_supports_the_pythons_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (low, high) = surroundings.PYTHONS
    assert project["requires-python"] == f">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"


# One result of each family, all in one process to save imports. A file of this name without an
# ending is a command of ours: `prepare` may start it again.
RUN_ALL = """
import json, os, sys
from respike.runs import surroundings
surroundings.prepare()
assert "PYTHONOPTIMIZE" not in os.environ and not sys.flags.optimize
from respike.workflow import run_experiment
for name, words in json.loads(open(sys.argv[1]).read()).items():
    assert run_experiment.main(words) == 0, name
"""
CELLS = [
    "t_window=10000 beta=0.9 n_hidden=8 ratio=0.8/0.2 batch_size=16",
    "t_window=10000 beta=0.7 n_hidden=8 ratio=0.95/0.05 batch_size=16",
]
# Source -> (root entry, settings of its first experiment at scale smoke that are made smaller).
FAMILIES = {
    "poisson_mlp": ("forward", {"n_test": 40}),
    "snn_mnist": (
        "train",
        {"n_train": 60, "n_test": 40, "num_steps": 5, "num_steps_test": [5], "epochs": 1},
    ),
    "nmnist_grid": (
        "search_1",
        {"cells": CELLS, "n_recordings": 40, "n_test": 10, "n_folds": 2, "epochs": 2},
    ),
    "nmnist_emulator": (
        "transfer", {"n_train": 20, "n_unseen": 10, "n_hidden": 10, "batch_size": 10, "epochs": 1},
    ),
    "kulkarni_forward": (
        "readout",
        {"num_steps": 300, "n_train_filters": 80, "n_train": 30, "n_val": 20, "n_test": 40,
         "batch_size": 20, "bits": [3]},
    ),
    "stdp_tables": (
        "cell",
        {"n_neurons": 20, "num_steps": 40, "batch_size": 8, "n_train": 48, "n_test": 20,
         "assign_images": 16},
    ),
}  # fmt: skip
FAMILIES = {source: FAMILIES[source] for source in sources.found() if source in FAMILIES}


def job_of(source):
    """Return what is run of a source: its root entry, settings and the data sets that it reads."""
    root, sizes = FAMILIES[source]
    loaded = config.load(ROOT / "config.yaml", {"scale": "smoke"}, everything=True)
    first = next(one for one in dag.experiments(loaded, source).values() if one.root == root)
    assert sizes.keys() <= first.settings.keys()
    data = jobs.Job(loaded, source, root).says.get("data", ["mnist"])
    return root, first.settings | sizes, data


@pytest.fixture(scope="module")
def recordings(small_mnist_folder, tmp_path_factory):
    """Return a folder with a table of emulated recordings, and one that is called local."""
    folder, data = tmp_path_factory.mktemp("recordings"), mnist.load(small_mnist_folder)
    index = np.arange(50)
    events, counts = camera.emulate(data.train_images[index], index, 5)
    cut = counts[:40].sum()
    halves = {"train": (events[:cut], index[:40]), "test": (events[cut:], index[40:])}
    for kind, splits in (("emulated", halves), ("local", {"train": halves["train"]})):
        with event_table.TableWriter(folder / kind, kind, "A test.", {}) as table:
            for split, (part, own) in splits.items():
                table.add(split, part, counts[own], data.train_labels[own], own)
    return folder


def hostile(folder):
    """Return an environment and the folders of a user who has set everything that can be set."""
    modules, home = folder / "modules", folder / "home"
    (modules / "numpy").mkdir(parents=True)
    (modules / "numpy" / "__init__.py").write_text("raise SystemExit('the wrong numpy')\n")
    (modules / "sitecustomize.py").write_text("import random; random.seed(1)\n")
    styles = home / "stylelib"
    styles.mkdir(parents=True)
    (home / "matplotlibrc").write_text("figure.dpi: 33\nlines.linewidth: 9\ntext.usetex: True\n")
    (styles / "seaborn-v0_8-ticks.mplstyle").write_text("axes.facecolor: red\n")
    (folder / "shell").write_text("echo wrong shell; exit 3\n")
    (folder / "gitconfig").write_text(
        "[status]\n\tshowUntrackedFiles = no\n[core]\n\tbare = true\n"
    )
    return {
        "PATH": "/usr/bin:/bin", "HOME": str(home), "MPLCONFIGDIR": str(home),
        "PYTHONPATH": os.pathsep.join((str(SRC), str(modules))), "PYTHONOPTIMIZE": "2",
        "PYTHONHASHSEED": "77", "PYTHONWARNINGS": "ignore", "PYTHONSTARTUP": str(folder / "shell"),
        "PYTHONIOENCODING": "ascii", "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(home / "matplotlibrc"), "BASH_ENV": str(folder / "shell"),
        "ENV": str(folder / "shell"), "GIT_DIR": str(folder), "GIT_WORK_TREE": str(folder),
        "GIT_INDEX_FILE": str(folder / "index"), "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "LC_ALL": "C", "LANG": "de_DE.ISO-8859-1", "LC_NUMERIC": "de_DE.UTF-8",
        "TZ": "Asia/Kathmandu", "TMPDIR": str(folder / "gone"), "OMP_NUM_THREADS": "7",
        "MKL_NUM_THREADS": "5", "OPENBLAS_NUM_THREADS": "3", "OMP_DYNAMIC": "true",
        "NUMBA_NUM_THREADS": "1", "NUMBA_DISABLE_JIT": "1", "NUMBA_OPT": "0",
        "NPY_PROMOTION_STATE": "legacy", "SCIPY_ARRAY_API": "1", "PYTORCH_JIT": "0",
        "NVIDIA_TF32_OVERRIDE": "1", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
        "TRITON_INTERPRET": "1", "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    }  # fmt: skip


def run_all(env, folder, data, recordings):
    """Run a result of each family as a job does; return source -> its folder."""
    calls, outs = {}, {}
    places = {
        "mnist": data, "nmnist": recordings / "emulated", "nmnist_real": recordings / "local",
    }  # fmt: skip
    for source in FAMILIES:
        root, settings, names = job_of(source)
        out = outs[source] = folder / "results" / "smoke" / source / root / "seed=0"
        words = ["--data", *(places[name] / "manifest.json" for name in names)]
        words += ["--settings", json.dumps(settings), "--source", source, "--root", root]
        words += ["--experiment", root, "--scale", "smoke", "--seed", 0, "--device", "cpu"]
        words += ["--metrics", out / "metrics.json", "--arrays", out / "arrays.npz"]
        calls[source] = list(map(str, words))
    folder.mkdir(exist_ok=True)
    (folder / "respike").write_text(RUN_ALL)
    (folder / "calls.json").write_text(json.dumps(calls))
    call = [sys.executable, folder / "respike", folder / "calls.json"]
    done = subprocess.run(call, env=env, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr[-3000:]
    return outs


def test_every_family_gives_the_same_bits_in_hostile_surroundings(
    tmp_path, small_mnist_folder, recordings
):
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(SRC)}
    theirs = hostile(tmp_path)
    assert len(theirs.keys() - plain.keys()) >= 20
    a = run_all(plain, tmp_path / "plain", small_mnist_folder, recordings)
    b = run_all(theirs, tmp_path / "hostile", small_mnist_folder, recordings)
    for name in FAMILIES:
        results = [json.loads((o[name] / "metrics.json").read_text()) for o in (a, b)]
        numbers = [without_times(r["metrics"] | r["series"]) for r in results]
        assert numbers[0] and numbers[0] == numbers[1], name
        same = "code pins versions commit dirty surroundings threads device data_sha256".split()
        assert [results[0][key] for key in same] == [results[1][key] for key in same], name
        with np.load(a[name] / "arrays.npz") as x, np.load(b[name] / "arrays.npz") as y:
            assert x.files == y.files
            for key in x.files:
                assert re.search("cpu|_s$", key) or x[key].tobytes() == y[key].tobytes(), key


def without_times(numbers):
    return {k: v for k, v in numbers.items() if not re.search("cpu|^train_s|speed_up|time_r", k)}


FIGURE = """
import matplotlib
from respike.figures import draw
draw.theme()
import matplotlib.pyplot as plt
figure, ax = plt.subplots()
ax.plot([1, 2], label="a")
ax.legend()
figure.savefig("out.png")
print(matplotlib.get_backend())
"""


def test_a_figure_is_the_same_whatever_matplotlib_is_told(tmp_path):
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(SRC)}
    names = ("HOME", "MPLBACKEND", "MATPLOTLIBRC", "MPLCONFIGDIR")
    theirs = {name: v for name, v in hostile(tmp_path).items() if name in names}
    pictures = []
    for folder, env in (("plain", plain), ("theirs", plain | theirs)):
        place = tmp_path / folder
        place.mkdir()
        if folder == "theirs":
            (place / "matplotlibrc").write_text("axes.xmargin: 0.4\n")  # of the working directory
        script = place / "figure.py"
        script.write_text("import respike.figures\n" + FIGURE)
        done = subprocess.run(
            [sys.executable, script], cwd=place, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().lower() == "agg"
        pictures.append((place / "out.png").read_bytes())
    assert pictures[0] == pictures[1]


# ---------------------------------------------------------------------------------- git, places


@pytest.fixture
def repository(tmp_path):
    """Return the folder of a repository with one commit, and that commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "file").write_text("1")
    name = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "one"]):
        surroundings.git(folder, *words)
    return folder, surroundings.git(folder, "rev-parse", "HEAD").strip()


def test_the_commit_does_not_depend_on_settings_of_git(repository, tmp_path, monkeypatch):
    folder, commit = repository
    for name, value in hostile(tmp_path / "user").items():
        if name.startswith("GIT_") or name == "HOME":
            monkeypatch.setenv(name, value)
    ignore = tmp_path / "user" / "home" / ".config" / "git" / "ignore"
    ignore.parent.mkdir(parents=True)
    ignore.write_text("*\n")
    surroundings.git(folder, "config", "status.showUntrackedFiles", "no")
    surroundings.git(folder, "config", "core.fsmonitor", f"touch {tmp_path}/asked; false")
    assert provenance.checkout_state(folder) == (commit, False)
    (folder / "new").write_text("1")
    assert provenance.checkout_state(folder) == (commit, True)
    assert not (tmp_path / "asked").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_checkout_of_another_user_has_its_commit(repository):
    folder, commit = repository
    for path in (folder, folder / ".git"):
        os.chown(path, 65534, 65534)
    assert provenance.checkout_state(folder) == (commit, False)


def test_a_missing_commit_says_why_and_what_to_do(repository, tmp_path, monkeypatch):
    folder, _ = repository
    copy = tmp_path / "archive"
    copy.mkdir()
    with pytest.raises(surroundings.GitError, match="not a git repository.*`git clone`"):
        provenance.checkout_state(copy)
    (folder / "inner").mkdir()
    with pytest.raises(surroundings.GitError, match="a copy inside the repository"):
        provenance.checkout_state(folder / "inner")
    for name in ("pyproject.toml", "requirements.lock"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    [note] = [note for note in provenance.notes(copy) if "commit" in note]
    assert note.startswith("results will carry a remark: no commit will stand in the results: git")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(surroundings.GitError, match="install git"):
        provenance.checkout_state(folder)


def test_line_ends_are_those_of_unix_whatever_git_is_told(repository, tmp_path):
    folder, _ = repository
    for name in (".gitattributes", "Makefile", "workflow/setup.sh", "config.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    surroundings.git(folder, "add", ".")
    name = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    surroundings.git(folder, *name, "commit", "-qm", "two")
    surroundings.git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", folder, "clone")
    assert b"\r" not in (tmp_path / "clone" / "Makefile").read_bytes()
    assert b"\r" not in (tmp_path / "clone" / "workflow" / "setup.sh").read_bytes()
    assert provenance.checkout_state(tmp_path / "clone")[1] is False


@pytest.fixture
def other_checkout(tmp_path):
    folder = tmp_path / "other"
    (folder / "src" / "respike").mkdir(parents=True)
    (folder / "workflow").mkdir()
    (folder / "Snakefile").write_text("")
    return folder


def test_a_package_of_another_checkout_is_refused_with_the_cure(other_checkout, tmp_path):
    surroundings.check(tmp_path)
    surroundings.check(ROOT / "tests" / "unit")
    for folder in (other_checkout, other_checkout / "workflow"):
        with pytest.raises(surroundings.SurroundingsError) as error:
            surroundings.check(folder)
        said = str(error.value)
        assert f"package respike of {ROOT}" in said and f"the checkout {other_checkout}" in said
        assert f"PYTHONPATH={other_checkout}/src" in said and "\n" not in said


def test_one_folder_by_two_spellings_is_one(tmp_path):
    (tmp_path / "link").symlink_to(ROOT)
    surroundings.check(tmp_path / "link" / "tests")


def test_a_command_works_from_every_folder_of_its_checkout(other_checkout, tmp_path):
    call = [
        sys.executable,
        "-c",
        "import sys; from respike.commands import cli; sys.exit(cli.main())",
    ]
    call += ["record", "--withdraw", "no/record", "--reason", "x"]

    def run(folder, *words):
        env = os.environ | {"PYTHONPATH": str(SRC)}
        return subprocess.run(
            [*call[:3], *words], cwd=folder, env=env, capture_output=True, text=True
        )

    shown = [run(folder, "config").stdout for folder in (ROOT, ROOT / "tests" / "unit")]
    assert shown[0] == shown[1] and "poisson_mlp" in shown[0]
    done = run(ROOT / "tests", *call[3:])  # a path counts from where the user is
    assert done.returncode == 2 and f"{ROOT}/tests/no/record: no record.json" in done.stderr
    done = run(other_checkout, "config")
    assert done.returncode == 2 and done.stderr.startswith("respike config: error: Python finds")
    done = run(tmp_path, "config")
    assert done.returncode == 2 and "config.yaml: no such file" in done.stderr


# -------------------------------------------------------------------------------------- remarks


def made(versions, commit="c" * 40, **more):
    return {"versions": versions, "commit": commit, **more}


def test_a_result_of_other_versions_than_the_locked_carries_a_remark(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK)
    versions = {"python": "3.11.7", "numpy": "2.0.0", "torch": "2.11.0", "respike": "0.1.0"}
    sound = made(versions | {"torch": "2.15.0"})
    other = made(versions, surroundings={"MKL_CBWR": "AVX2"})
    remark = "made with torch 2.11.0, the lock says 2.15.0"
    assert provenance.version_remarks(other, lock) == [remark]
    assert provenance.version_remarks(made({"numpy": "2.0.0+local"}), lock) == [
        "made with numpy 2.0.0+local, the lock says 2.0.0"
    ]
    assert provenance.remarks(sound, lock) == []
    assert provenance.remarks(other, lock) == [remark, "made with MKL_CBWR=AVX2"]
    assert provenance.remarks(made({}, None), lock) == ["made without git: its commit is not known"]
    assert provenance.remarks_of([sound, other, other], lock)[0] == f"{remark} (2 of 3 runs)"
    assert provenance.remarks_of([other], lock)[0] == remark


def test_before_a_run_the_user_is_told_what_differs(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr(provenance, "_installed", lambda name: "0.1" if name == "torch" else "")
    said = " ".join(provenance.notes())
    locked = provenance.locked_versions()["torch"]
    assert f"torch 0.1 (the lock says {locked})" in said and "`make setup`" in said
    assert "OPENBLAS_CORETYPE=Haswell may change last digits" in said


def test_a_result_keeps_the_variables_that_may_change_digits(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    record = provenance.record("poisson_mlp", "encode", "cpu")
    assert record["surroundings"] == {"ATEN_CPU_CAPABILITY": "default"}
    assert provenance.remarks(record | {"commit": "c" * 40, "versions": {}}) == [
        "made with ATEN_CPU_CAPABILITY=default"
    ]
