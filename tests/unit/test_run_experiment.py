"""What an experiment does at its ends: settings in, one valid result out, errors in one line."""

import dataclasses
import errno
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import types
from unittest import mock

import machine
import numpy as np
import pytest

from respike.runs import devices, loaded, provenance, result, sources
from respike.sources.poisson_mlp import settings as of_source
from respike.workflow import run_experiment

ENCODE = {"n_images": 3, "num_steps": 4, "n_test": 10, "steps_curve": [1, 5]}
ANN = {
    "n_train": 40, "n_test": 20, "hidden": [8], "optimiser": "adam", "lr": 0.01, "batch_size": 10,
    "epochs": 1, "tests_per_epoch": 1,
}  # fmt: skip


@pytest.fixture
def start(tmp_path, small_mnist_folder, threads, no_gpu_code):
    """Return a function that runs one experiment of a source and gives its exit status."""

    def run(root, settings, *options, data=None, source="poisson_mlp"):
        arguments = {
            "data": data or small_mnist_folder / "manifest.json",
            "settings": json.dumps(settings),
            "source": source,
            "root": root,
            "experiment": "toy",
            "scale": "smoke",
            "seed": 3,
            "metrics": tmp_path / "out" / "metrics.json",
            "arrays": tmp_path / "out" / "arrays.npz",
        }
        words = [str(w) for k, v in arguments.items() for w in (f"--{k}", v)]
        return run_experiment.main([*words, *options])

    return run


@pytest.mark.parametrize(("root", "settings"), [("encode", ENCODE), ("ann", ANN)])
def test_a_result_is_valid_and_current(start, tmp_path, small_mnist_folder, capsys, root, settings):
    assert start(root, settings, "--device", "cpu", "--protocol", "as_coded") == 0
    said = capsys.readouterr().err.splitlines()[-1]  # `respike status` reads it
    assert re.search(r"done in \d+ s, [\d.]+ CPU s, of which start-up [\d.]+$", said)
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert provenance.problems(result) == []
    assert result["settings"] == settings and result["seed"] == 3
    assert [result[key] for key in ("source", "root", "experiment", "protocol")] == [
        "poisson_mlp", root, "toy", "as_coded",
    ]  # fmt: skip
    assert "module" not in result
    assert result["device"] == "cpu" and result["data_kind"] == "synthetic"
    manifest = json.loads((small_mnist_folder / "manifest.json").read_text())
    assert result["data_sha256"] == {k: v["sha256"] for k, v in manifest["files"].items()}
    assert result["metrics"] and result["wall_s"] >= 0
    with np.load(tmp_path / "out" / "arrays.npz") as arrays:
        assert arrays.files
    assert len(list((tmp_path / "out").iterdir())) == 2  # no temporary file is left


def test_equal_seeds_give_equal_numbers(start, tmp_path):
    found = []
    for _ in range(2):
        assert start("ann", ANN, "--device", "cpu") == 0
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
        found.append({k: v for k, v in metrics.items() if "cpu_s" not in k})
        shutil.rmtree(tmp_path / "out")  # as Snakemake does: a job writes over no file of others
    assert found[0] == found[1]


def test_a_digest_that_is_not_current_is_a_problem(start, tmp_path):
    start("encode", ENCODE)
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    found = provenance.problems({**result, "code": "0" * 16})
    assert any("was 0000000000000000" in problem for problem in found)


def one_line(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_cuda_without_a_gpu_is_one_line(start, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert start("ann", ANN, "--device", "cuda") == 1
    assert one_line(capsys).startswith("poisson_mlp toy seed 3: error: device: cuda was asked for")
    assert not (tmp_path / "out").exists()
    assert devices.device_name("auto") == "cpu"


def test_wrong_settings_and_missing_data_are_one_line(start, capsys, tmp_path):
    assert start("encode", {**ENCODE, "n_imges": 3}) == 1
    said = one_line(capsys)
    assert "n_imges: unknown key; did you mean n_images? (allowed: " in said
    assert start("encode", {**ENCODE, "n_images": 2.5, "num_steps": 0}) == 1
    said = one_line(capsys)
    assert "n_images: found 2.5, allowed is a whole number" in said
    assert "num_steps: found 0, allowed is at least 1" in said
    assert start("encode", ENCODE, data=tmp_path / "none" / "manifest.json") == 1
    assert "no such file" in one_line(capsys)


def test_a_setting_that_the_experiment_refuses_is_one_line(start, capsys):
    settings = dict.fromkeys(
        ("n_val", "n_test", "n_hidden", "num_steps", "epochs", "batch_size"), 1
    )
    settings |= dict.fromkeys(
        ("v_thresh", "beta", "lr", "surrogate_alpha", "target_rate", "w_std"), 1.0
    )
    settings |= {"n_train": 50_001, "error": "count", "grad_clip": None, "surrogate_clip": 10.0}
    assert settings.keys() == {f.name for f in dataclasses.fields(of_source.Train)}
    assert start("train", settings) == 1
    assert "n_train: found 50001, allowed is at least 1 and at most 50000" in one_line(capsys)


def test_an_unknown_source_or_experiment_is_one_line(start, capsys):
    assert start("encode", ENCODE, source="toy_source") == 1
    assert "no source 'toy_source'; there are " in one_line(capsys)
    assert start("no_clip", {}) == 1  # it extends another, whose module runs it
    assert "config.yaml has no experiment no_clip" in one_line(capsys)


def toy(monkeypatch, run, load=None):
    """Put a module of these functions in the place of the one that runs `encode`."""
    module = types.SimpleNamespace(__name__="toy", run=run, Settings=of_source.Encode)
    if load:
        module.load = load
    name = sources.module_of("poisson_mlp", "encode")
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(loaded, "Sources", lambda *_: mock.Mock())


def test_an_experiment_is_given_what_its_signature_names(start, monkeypatch, tmp_path):
    given = []
    data = types.SimpleNamespace(sha256={"a": "1" * 64}, kind="synthetic")

    def run(settings, data, seed, progress, device, kept):
        given.extend([settings, data, seed, device, kept.folder])
        return result.Result({"a": 1.0})

    toy(monkeypatch, run, load=lambda *manifests: data)
    assert start("encode", ENCODE, "--device", "cpu", data="made up") == 0
    own = of_source.Encode(3, 4, 10, (1, 5))
    assert given == [own, data, 3, "cpu", tmp_path.parent / "parts"]


def test_a_user_file_in_the_place_of_a_result_stays(start, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text("the user's own")
    assert start("encode", ENCODE) == 1
    assert "metrics.json is there" in one_line(capsys)
    assert (tmp_path / "out" / "metrics.json").read_text() == "the user's own"


def test_whatever_a_reader_raises_is_a_fault_of_the_files(start, monkeypatch, capsys):
    def load(*manifests):
        return {}["shape"]

    toy(monkeypatch, lambda settings, data, seed, progress: None, load)
    assert start("encode", ENCODE) == 1
    assert "damaged, or no data of Respike (KeyError: 'shape')" in one_line(capsys)


TAKE = """
import sys, time
from respike.runs import devices
print(devices.free_gpu(sys.argv[1:]), flush=True)
time.sleep(60)
"""


@pytest.fixture
def take():
    """Return a function that starts a job which takes one of these GPUs, and says which."""
    started = []

    def start(*names, env=None, before=()):
        process = subprocess.Popen(
            [*before, sys.executable, "-c", TAKE, *names], stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        started.append(process)
        return process, names[int(process.stdout.readline())]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def gpus():
    """Return the names of three GPUs that no other test has."""
    return [f"GPU-{secrets.token_hex(4)}" for _ in range(3)]


def test_jobs_take_different_gpus_and_a_killed_one_frees_its_own(take, gpus):
    first, second = take(*gpus[:2]), take(*gpus[:2])
    assert [first[1], second[1]] == gpus[:2]
    first[0].kill()
    first[0].wait()
    assert take(*gpus[:2])[1] == gpus[0]
    assert take(*gpus[:2])[1] == gpus[0]  # more jobs than GPUs were allowed: they share


def test_jobs_that_see_different_gpus_do_not_meet(take, gpus):
    # CUDA_VISIBLE_DEVICES=0,1 here and 1,2 there: the second of the one is the first of the other.
    assert [take(*gpus[:2])[1] for _ in range(2)] == gpus[:2]
    assert take(*gpus[1:])[1] == gpus[2]


def test_another_users_gpu_is_taken(take, gpus):
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    if not shutil.which("setpriv") or subprocess.run([*nobody, "true"], stderr=-3).returncode:
        pytest.skip("this user may not become another")
    take(gpus[0], env={"TMPDIR": "/gone"})
    code = "import errno, socket, sys; s = socket.socket(socket.AF_UNIX)\n" \
           "try: s.bind(chr(0) + 'respike-gpu-' + sys.argv[1])\n" \
           "except OSError as error: print(error.errno == errno.EADDRINUSE)"  # fmt: skip
    done = subprocess.run(
        [*nobody, "/usr/bin/env", "python3", "-c", code, gpus[0]], capture_output=True, text=True
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("flock", machine.FLOCK)
def test_gpus_are_shared_out_without_locks_of_files(take, gpus, flock):
    env = {**machine.flock_that_is(flock), "TMPDIR": "/gone"}
    assert [take(*gpus, env=env)[1] for _ in range(3)] == gpus


def test_where_nothing_can_be_told_the_first_is_taken(monkeypatch):
    bind = mock.Mock(side_effect=PermissionError(errno.EPERM, "refused"))
    monkeypatch.setattr(devices.socket, "socket", lambda _: mock.Mock(bind=bind))
    assert devices.free_gpu(["a", "b"]) == 0 and bind.call_count == 1


@pytest.mark.parametrize(
    "visible, taken",
    [
        ("MIG-a,MIG-b,MIG-c", "MIG-b"),
        ("MIG-a", "MIG-a"),
        ("GPU-a,GPU-b", "GPU-a,GPU-b"),
        ("0,1", "0,1"),
    ],
)
def test_one_part_of_a_gpu_is_chosen_before_cuda_is_asked(monkeypatch, visible, taken):
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(devices, "free_gpu", lambda names: names.index("MIG-b"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.device_name("auto") == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == taken


def test_of_several_gpus_a_job_takes_a_free_one_by_its_uuid(monkeypatch):
    import torch

    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda n: types.SimpleNamespace(uuid=f"uuid-{n}")
    )
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(devices, "free_gpu", lambda names: names.index("uuid-1"))
    assert devices.device_name("auto") == "cuda" and chosen == [1]
