"""The experiments of the Kulkarni network on a small data set: seeds, metrics, one clear error."""

import dataclasses
import json

import numpy as np
import pytest
from test_kulkarni_neuron import C

from respike.data import mnist
from respike.sources.kulkarni_forward import full_pass, readout, train
from respike.workflow import run_experiment

CONSTANTS = dataclasses.asdict(C) | {"num_steps": 300}
PASS = {
    "variant": "corrected", "n_filters": 12, "filters": "trained", "n_train_filters": 80,
    "n_test": 12, "n_modified": 8, "n_compare": 4, "n_plain": 1, "gain_pA": 1e6,
    "modified_gain_pA": 5e5, "gain_out_pA": 20.0, "decay_coded": 0.966,
}  # fmt: skip
TRAIN = {
    "variant": "corrected", "forward_pass": "original", "n_filters": 12, "n_train_filters": 80,
    "n_train": 60, "n_val": 20, "n_test": 40, "gain_pA": 1e6, "modified_gain_pA": 5e5,
    "period_ms": 3.5, "rate_pA": 100.0, "rate_decay": 0.6, "epochs": 3, "tau_leak_ms": 1.0,
    "inhibit_pA": 2e4, "bits": (2, 8),
}  # fmt: skip
READOUT = {
    "variant": "corrected", "features": "original", "n_filters": 12, "filters": "trained",
    "n_train_filters": 80, "n_train": 60, "n_val": 20, "n_test": 40, "gain_pA": 1e6,
    "modified_gain_pA": 5e5, "lr": 0.001, "batch_size": 20, "epochs": 4, "bits": (3,),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(small_mnist_folder):
    return mnist.load(small_mnist_folder)


def run(module, settings, data, seed=0, **changes):
    made = module.Settings(**CONSTANTS, **(settings | changes))
    return module.run(made, data, seed, lambda *args, **numbers: None)


def without_times(metrics):
    timed = ("cpu", "speed_up", "time_ratio")
    return {k: v for k, v in metrics.items() if not any(word in k for word in timed)}


@pytest.mark.parametrize(
    ("module", "settings"),
    [(full_pass, PASS), (train, TRAIN), (readout, READOUT)],
    ids=["full_pass", "train", "readout"],
)
def test_a_seed_decides_every_number(data, module, settings):
    a, b, c = (run(module, settings, data, seed) for seed in (0, 0, 1))
    numbers = [{k: float(v) for k, v in without_times(r.metrics).items()} for r in (a, b, c)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0, abs=0, nan_ok=True)
    assert numbers[0] != numbers[2]
    assert all(np.array_equal(a.arrays[k], b.arrays[k]) for k in a.arrays)


@pytest.mark.parametrize("forward_pass", ["original", "modified"])
def test_training_learns_what_a_small_set_has(data, forward_pass):
    found = run(train, TRAIN, data, forward_pass=forward_pass, epochs=5).metrics
    assert found["train_accuracy_final"] > 0.9
    assert found["test_accuracy_final"] > 0.7
    assert found["test_accuracy_8_bits"] == pytest.approx(found["test_accuracy_final"], abs=0.1)
    assert found["loss_2_bits"] == pytest.approx(
        found["test_accuracy_final"] - found["test_accuracy_2_bits"]
    )
    assert 100 < found["output_highest_Hz"] <= 334  # never above the refractory limit


@pytest.mark.parametrize("features", ["relu", "original", "modified"])
def test_the_linear_layer_learns_from_all_features(data, features):
    found = run(readout, READOUT, data, features=features, epochs=20).metrics
    assert found["test_accuracy_final"] > 0.7
    assert ("test_accuracy_other_pass" in found) == (features != "relu")


def test_as_printed_the_maps_know_only_the_sign_of_the_filter(data):
    made = full_pass.Settings(
        **CONSTANTS | {"v_rest_mV": 70.0},
        **PASS | {"variant": "as_documented", "n_test": 2, "n_modified": 1, "n_compare": 0,
                  "n_plain": 0, "gain_pA": 1e12, "modified_gain_pA": 1e12, "gain_out_pA": 1e12},
    )  # fmt: skip
    found = full_pass.run(made, data, 0, lambda *args, **numbers: None)
    counts = found.arrays["maps_original"].reshape(12, -1)
    falls = found.arrays["filters"].sum(axis=(1, 2)) < 0
    # Every pixel fires at the refractory limit: a filter's neurons all fire so too, or hardly.
    assert (counts[~falls] == 10).all() and (counts[falls] <= 1).all()
    assert falls.any() and not falls.all()


def test_as_coded_a_lit_corner_is_refused(data):
    images = data.test_images.copy()
    images[3, 0, 2] = 9
    lit = dataclasses.replace(data, test_images=images)
    with pytest.raises(ValueError, match="a corner is lit"):
        run(full_pass, PASS, lit, variant="as_coded")


def test_random_filters_are_the_ones_before_training(data):
    found = run(full_pass, PASS, data, filters="random").arrays
    assert (found["filters"] == found["filters_start"]).all()
    trained = run(full_pass, PASS, data).arrays
    assert (trained["filters_start"] == found["filters"]).all()
    assert (trained["filters"] != found["filters"]).any()


def test_an_unstable_step_ends_the_job_with_one_line(
    capsys, tmp_path, small_mnist_folder, threads, no_gpu_code
):
    settings = CONSTANTS | {"variant": "corrected", "dt_ms": 25.0}
    status = run_experiment.main([
        "--source", "kulkarni_forward", "--root", "encode", "--experiment", "encode",
        "--data", str(small_mnist_folder / "manifest.json"), "--settings", json.dumps(settings),
        "--scale", "smoke", "--seed", "0", "--metrics", str(tmp_path / "metrics.json"),
        "--arrays", str(tmp_path / "arrays.npz"),
    ])  # fmt: skip
    assert status == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "dt_ms: found 25.0, the integration of the membrane is unstable" in said[0]
    assert not list(tmp_path.iterdir())
