"""What an experiment does at its ends: settings in, one valid result out, errors in one line."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from respike.runs import job, provenance
from respike.sources.poisson_mlp import encode
from respike.sources.shared import ann


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
    return job.read_settings(json.dumps({**GOOD, **changes}), Settings)


def test_good_settings_are_read():
    assert read() == Settings(2, 0.9, "zero", (3, 4), None, True)
    assert read(beta=1).beta == 1 and read(grad_clip=0.5).grad_clip == 0.5
    assert read(hidden=[]).hidden == ()


def test_missing_and_unknown_settings_are_all_named():
    given = {**GOOD, "bta": 0.9}
    del given["beta"], given["reset"]
    with pytest.raises(job.SettingsError) as error:
        job.read_settings(json.dumps(given), Settings)
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
    with pytest.raises(job.SettingsError, match=says):
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
    assert job.device_name("auto") == "cpu"


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
        job.Network(**NETWORK | change)


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
        job.Result({}, arrays=arrays, network=job.Network(**NETWORK))
    job.Result({}, arrays=ANSWERS, network=job.Network(**NETWORK))


def test_the_schema_knows_every_field_of_a_network():
    schema = yaml.safe_load(Path("workflow/schemas/metrics.schema.yaml").read_text())
    part = schema["properties"]["network"]
    names = {field.name for field in dataclasses.fields(job.Network)}
    assert set(part["required"]) == set(part["properties"]) == names


TAKE = """
import pathlib, sys, time
from respike import job
print(job.free_gpu(2, pathlib.Path(sys.argv[1])), flush=True)
time.sleep(60)
"""


def test_jobs_take_different_gpus_and_a_killed_one_frees_its_own(tmp_path):
    def take():
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE, tmp_path], stdout=subprocess.PIPE, text=True
        )
        return process, int(process.stdout.readline())

    first, second = take(), take()
    assert (first[1], second[1]) == (0, 1)
    first[0].kill()
    first[0].wait()
    third = take()
    assert third[1] == 0
    fourth = take()
    assert fourth[1] == 0  # more jobs than GPUs were allowed: they share
    for process, _ in (second, third, fourth):
        process.kill()
