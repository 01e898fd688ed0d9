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
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import machine
import numpy as np
import pytest
import yaml

from respike.runs import devices, provenance, result
from respike.sources.poisson_mlp import encode
from respike.sources.shared import ann
from respike.workflow import settings as typed


@dataclass(frozen=True)
class Settings:
    epochs: int
    beta: float
    reset: str
    hidden: tuple[int, ...]
    grad_clip: float | None
    detached: bool


GOOD = {
    "epochs": 2, "beta": 0.9, "reset": "zero", "hidden": [3, 4], "grad_clip": None,
    "detached": True,
}  # fmt: skip


def read(**changes):
    return typed.read(json.dumps({**GOOD, **changes}), Settings)


def test_good_settings_are_read():
    assert read() == Settings(2, 0.9, "zero", (3, 4), None, True)
    assert read(beta=1).beta == 1 and read(grad_clip=0.5).grad_clip == 0.5
    assert read(hidden=[]).hidden == ()


def test_missing_and_unknown_settings_are_all_named():
    given = {**GOOD, "bta": 0.9}
    del given["beta"], given["reset"]
    with pytest.raises(result.SettingsError) as error:
        typed.read(json.dumps(given), Settings)
    assert str(error.value) == (
        "beta: missing; bta: not a setting of this experiment; reset: missing"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epochs": 2.5}, "epochs: found 2.5, allowed: int"),
        ({"epochs": True}, "epochs: found True, allowed: int"),
        ({"beta": "0.9"}, "beta: found '0.9', allowed: float"),
        ({"beta": False}, "beta: found False"),
        ({"beta": None}, "beta: found None"),
        ({"reset": 1}, "reset: found 1, allowed: str"),
        ({"hidden": 3}, "hidden: found 3"),
        ({"hidden": [3, "4"]}, "hidden: found"),
        ({"grad_clip": "1"}, r"grad_clip: found '1', allowed: float \| None"),
        ({"detached": 1}, "detached: found 1, allowed: bool"),
    ],
)
def test_wrong_types_are_named(change, says):
    with pytest.raises(result.SettingsError, match=says):
        read(**change)


ENCODE = {"n_images": 3, "num_steps": 4, "n_test": 10, "steps_curve": [1, 5]}
ANN = {
    "n_train": 40, "n_test": 20, "hidden": [8], "optimiser": "adam", "lr": 0.01, "batch_size": 10,
    "epochs": 1, "tests_per_epoch": 1,
}  # fmt: skip


@pytest.fixture
def start(monkeypatch, tmp_path, small_mnist_folder, threads):
    """Return a function that runs one experiment through `job.main` and gives its status."""

    def run(module, settings, *options, data=None):
        arguments = {
            "data": data or small_mnist_folder / "manifest.json",
            "settings": json.dumps(settings),
            "source": "toy_source",
            "experiment": "toy",
            "scale": "smoke",
            "seed": 3,
            "metrics": tmp_path / "out" / "metrics.json",
            "arrays": tmp_path / "out" / "arrays.npz",
        }
        words = [str(w) for k, v in arguments.items() for w in (f"--{k}", v)]
        monkeypatch.setattr(sys, "argv", ["experiment", *words, *options])
        return job.main(module.run, module.Settings, uses_device=module is ann)

    return run


@pytest.mark.parametrize(
    ("module", "settings"), [(encode, ENCODE), (ann, ANN)], ids=["encode", "ann"]
)
def test_a_result_is_valid_and_current(
    start, tmp_path, small_mnist_folder, capsys, module, settings
):
    assert start(module, settings, "--device", "cpu", "--protocol", "as_coded") == 0
    said = capsys.readouterr().err.splitlines()[-1]  # `respike status` reads it
    assert re.search(r"done in \d+ s, [\d.]+ CPU s, of which start-up [\d.]+$", said)
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert provenance.problems(result) == []
    assert result["settings"] == settings and result["seed"] == 3
    assert result["module"] == module.__name__ and result["protocol"] == "as_coded"
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
        assert start(ann, ANN, "--device", "cpu") == 0
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
        found.append({k: v for k, v in metrics.items() if "cpu_s" not in k})
        shutil.rmtree(tmp_path / "out")  # as Snakemake does: a job writes over no file of others
    assert found[0] == found[1]


def test_a_digest_that_is_not_current_is_a_problem(start, tmp_path):
    start(encode, ENCODE)
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    found = provenance.problems({**result, "code": "0" * 16})
    assert any("was 0000000000000000" in problem for problem in found)


def one_line(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_cuda_without_a_gpu_is_one_line(start, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert start(ann, ANN, "--device", "cuda") == 1
    assert one_line(capsys).startswith("toy_source toy seed 3: error: device: cuda was asked for")
    assert not (tmp_path / "out").exists()
    assert devices.device_name("auto") == "cpu"


def test_wrong_settings_and_missing_data_are_one_line(start, capsys, tmp_path):
    assert start(encode, {**ENCODE, "n_imges": 3}) == 1
    assert "n_imges: not a setting" in one_line(capsys)
    assert start(encode, ENCODE, data=tmp_path / "none" / "manifest.json") == 1
    assert "no such file" in one_line(capsys)


def test_a_setting_that_the_experiment_refuses_is_one_line(start, capsys):
    from respike.sources.poisson_mlp import train

    settings = dict.fromkeys(
        ("n_val", "n_test", "n_hidden", "num_steps", "epochs", "batch_size"), 1
    )
    settings |= dict.fromkeys(
        ("v_thresh", "beta", "lr", "surrogate_alpha", "target_rate", "w_std"), 1.0
    )
    settings |= {"n_train": 50_001, "error": "count", "grad_clip": None, "surrogate_clip": 10.0}
    assert settings.keys() == {f.name for f in dataclasses.fields(train.Settings)}
    assert start(train, settings) == 1
    assert "n_train: found 50001, allowed: at most 50000" in one_line(capsys)


NETWORK = {
    "name": "784-3-10", "data_set": "mnist", "rule": "STDP", "n_neurons": 13, "n_parameters": 5,
    "n_state": 13, "num_steps": 4, "spikes": 2.5, "synaptic_operations": 8, "macs": 9,
    "n_train": 10, "presentations": 20, "train_s": 0.5,
}  # fmt: skip
ANSWERS = {"predictions": np.zeros(3, np.uint8), "labels": np.ones(3, np.uint8)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rule": "guess"}, "network rule: found 'guess', allowed: back-propagation"),
        ({"data_set": "cifar"}, "network data_set: found 'cifar', allowed: mnist, nmnist"),
        ({"spikes": float("nan")}, "network spikes: found nan"),
        ({"macs": -1}, "network macs: found -1"),
    ],
)
def test_a_network_says_what_is_wrong_with_it(change, says):
    with pytest.raises(ValueError, match=says):
        result.Network(**NETWORK | change)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"predictions": np.zeros(3, np.uint8)},
        ANSWERS | {"labels": np.ones(2, np.uint8)},
        ANSWERS | {"predictions": np.zeros(3, np.int64)},
    ],
)
def test_a_network_comes_with_its_answers(arrays):
    with pytest.raises(ValueError, match="needs the arrays predictions and labels"):
        result.Result({}, arrays=arrays, network=result.Network(**NETWORK))
    result.Result({}, arrays=ANSWERS, network=result.Network(**NETWORK))


def test_the_schema_knows_every_field_of_a_network():
    schema = yaml.safe_load(Path("workflow/schemas/metrics.schema.yaml").read_text())
    part = schema["properties"]["network"]
    names = {field.name for field in dataclasses.fields(result.Network)}
    assert set(part["required"]) == set(part["properties"]) == names


TAKE = """
import sys, time
from respike import job
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
    monkeypatch.setattr(job.socket, "socket", lambda _: mock.Mock(bind=bind))
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
    monkeypatch.setattr(job, "free_gpu", lambda names: names.index("MIG-b"))
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
    monkeypatch.setattr(job, "free_gpu", lambda names: names.index("uuid-1"))
    assert devices.device_name("auto") == "cuda" and chosen == [1]
