"""The experiments on Kulkarni and Rajendran (2018) on a small data set."""

import dataclasses

import numpy as np
import pytest
import torch
from test_kulkarni_rajendran_model import C

from respike.data import mnist
from respike.runs.result import SettingsError
from respike.sources.kulkarni_rajendran_2018 import ann, encode, train

CONSTANTS = dataclasses.asdict(C) | {"num_steps": 300}
TRAIN = CONSTANTS | {
    "layers": "three", "kernels": "article", "n_train_filters": 80, "n_kernels": 12,
    "synapse": "double_exponential",
    "gain_pA": 10500.0, "clips": True, "n_train": 60, "n_held_out": 20, "test_on": "test",
    "n_test": 40, "epochs": 3, "period_ms": 3.5, "rate_pA": 200.0, "schedule": "halved_3",
    "decay": 0.25, "tau_leak_ms": 1.0, "inhibit_pA": 1000.0, "tau_read_ms": 5.0, "bits": (2, 8),
    "coarse_ms": (25,), "early": (1, 50),
}  # fmt: skip
ANN = {
    "kernels": "article", "n_kernels": 3, "n_train": 80, "n_held_out": 20, "n_test": 40,
    "epochs": 4, "lr": 0.01, "schedules": ("constant", "halved_3"), "decay": 0.25,
    "batch_size": 20, "bits": (3, 8),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # small matrices: more threads only wait for each other
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(small_mnist_folder):
    return mnist.load(small_mnist_folder)


def run(module, settings, data, seed=0, **changes):
    return module.run(module.Settings(**settings | changes), data, seed, lambda *a, **k: None)


def numbers(result):
    return {k: float(v) for k, v in result.metrics.items() if "cpu" not in k}


@pytest.fixture(scope="module")
def network(data):
    return run(train, TRAIN, data)


@pytest.mark.parametrize(("module", "settings"), [(train, TRAIN), (ann, ANN)], ids=["train", "ann"])
def test_a_seed_decides_every_number(data, module, settings):
    a, b, c = (run(module, settings, data, seed) for seed in (0, 0, 1))
    assert numbers(a) == pytest.approx(numbers(b), rel=0, abs=0, nan_ok=True)
    assert a.series == b.series and a.series != c.series
    assert all(np.array_equal(a.arrays[k], b.arrays[k]) for k in a.arrays)


def test_the_network_learns_a_small_set(network):
    found = network.metrics
    assert found["train_accuracy_final"] > 0.9 and found["test_accuracy_final"] > 0.7
    assert found["test_accuracy_8_bits"] == pytest.approx(found["test_accuracy_final"], abs=0.1)
    assert found["loss_2_bits"] == pytest.approx(
        found["test_accuracy_final"] - found["test_accuracy_2_bits"]
    )
    assert 0 < found["driving_mean_Hz"] < found["driving_highest_Hz"] <= found["highest_Hz"] < 334
    assert found["test_accuracy_1_ms_25_full"] > 0.3
    assert network.series["early_images"] == [1, 50]
    assert len(network.series["test_accuracy_first"]) == 3
    assert (network.arrays["predictions"] == network.arrays["labels"]).mean() == pytest.approx(
        found["test_accuracy_final"]
    )
    assert network.arrays["confusion"].sum() == 40
    assert network.network.n_parameters == 81120 + 108


def test_without_a_hidden_layer_the_pixels_drive_the_outputs(data):
    found = run(train, TRAIN, data, layers="two", bits=(), coarse_ms=())
    assert found.metrics["output_weights"] == 7840
    assert found.metrics["train_accuracy_final"] > 0.7
    assert found.network.macs == 7840


def test_held_out_images_are_not_learned_from_and_test_images_not_looked_at(data):
    changes = {"test_on": "held_out", "n_test": 20, "coarse_ms": (), "bits": ()}
    other = dataclasses.replace(
        data, test_images=data.test_images[:, ::-1], test_labels=data.test_labels[::-1]
    )
    a, b = (run(train, TRAIN, d, **changes) for d in (data, other))
    assert numbers(a) == pytest.approx(numbers(b), rel=0, abs=0, nan_ok=True)
    assert a.network is None  # other images than those of the networks it would stand beside
    assert np.array_equal(a.arrays["labels"], data.train_labels[-20:])
    assert train.chosen_images(data, 60, 20, 0).max() < 60


@pytest.mark.parametrize(
    "changes",
    [{"kernels": "one_epoch", "synapse": "pulse", "gain_pA": 1e6, "clips": False},
     {"kernels": "random", "n_kernels": 3, "inhibit_pA": 0.0}],
    ids=["old", "random"],
)  # fmt: skip
def test_other_networks_learn_too(data, changes):
    found = run(train, TRAIN, data, bits=(), coarse_ms=(), **changes)
    assert found.metrics["train_accuracy_final"] > 0.5


def test_a_network_that_nothing_drives_is_silent_and_wrong(data):
    found = run(train, TRAIN, data, gain_pA=1.0)
    assert found.metrics["silent_images"] == 40 and found.metrics["test_accuracy_final"] == 0
    assert set(found.arrays["predictions"]) == {10}


def test_the_ann_takes_the_schedule_that_held_out_images_pick(data):
    found = run(ann, ANN, data).metrics
    held_out = [found["held_out_accuracy_constant"], found["held_out_accuracy_halved_3"]]
    assert found["schedule_number"] == int(np.argmax(held_out))
    assert found["test_accuracy_final"] > 0.7 and found["train_error_final"] < 0.1
    assert "held_out_accuracy_constant" not in run(ann, ANN, data, schedules=("constant",)).metrics


def test_exact_numbers(data):
    found = run(encode, dataclasses.asdict(C) | {"n_kernels": 12}, data).metrics
    assert found["largest_silent_pA"] == 2700
    assert (found["hidden_neurons"], found["output_weights"]) == (8112, 81120)
    assert found["largest_kernel_sum"] == pytest.approx(-1.2)
    assert (found["spikes_of_black"], found["spikes_of_white"]) == (0, 25)
    assert found["input_highest_Hz"] == 250


def test_settings_that_do_not_fit_are_said(data):
    with pytest.raises(SettingsError, match="n_train: found 70, allowed: at most 60"):
        run(train, TRAIN, data, n_train=70)
    with pytest.raises(ValueError, match="n_test: found 40, allowed: at most n_held_out, 20"):
        train.Settings(**TRAIN | {"test_on": "held_out"})
    with pytest.raises(ValueError, match=r"found 50001 \+ 10000"):
        train.Settings(**TRAIN | {"n_train": 50_001, "n_held_out": 10_000})
