"""The STDP experiments on a small data set, training, evaluation of files, diagnosis, cost."""

import dataclasses
import json

import numpy as np
import pytest
from test_stdp_cpu import C, images

from respike.commands import cli
from respike.data import mnist
from respike.sources.stdp_tables import all_networks as table
from respike.sources.stdp_tables import cell as stdp_cell
from respike.sources.stdp_tables import (
    cost,
    diagnose,
    evaluate,
    explain,
    readout,
    search,
    show_rules,
    window,
)
from respike.sources.stdp_tables import train as stdp_train
from respike.sources.stdp_tables.model import RULES, StdpError, start_state
from respike.spiking.encoding import stream_key
from respike.spiking.energy import ADD_PJ, MAC_PJ

NETWORK = {k: v for k, v in dataclasses.asdict(C).items() if k != "rule"} | {"n_neurons": 20}
CODING = {"encoder": "poisson", "num_steps": 40, "intensity": 128.0, "batch_size": 8}
CELL = {"rules": RULES, "n_train": 48, "n_test": 20, "assign_images": 16}
EXPLAIN = {
    "rule": "PostPre", "n_train": 32, "n_val": 16, "assign_images": 16, "steps_tried": (40, 60),
    "batches_tried": (8, 2), "neurons_tried": (20, 24),
}  # fmt: skip
SEARCH = {
    "rule": "PostPre", "n_trials": 3, "n_search": 16, "n_val": 16, "n_train": 32, "n_test": 20,
    "assign_images": 16,
}  # fmt: skip
SHOW = {
    "num_steps": 40, "intensity": 128.0, "image": 0, "n_images": 10, "trace_weight": 0.1,
    "window_ms": 6, "window_weights": (0.3, 0.1),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(small_mnist_folder):
    return mnist.load(small_mnist_folder)


def run(module, settings, data, seed=0, **changes):
    coding = {} if module is show_rules else CODING
    made = module.Settings(**(NETWORK | coding | settings | changes))
    return module.run(made, data, seed, lambda *args, **numbers: None)


ALL = [(stdp_cell, CELL), (explain, EXPLAIN), (search, SEARCH), (show_rules, SHOW)]


@pytest.mark.parametrize(("module", "settings"), ALL, ids=lambda x: getattr(x, "__name__", ""))
def test_a_seed_decides_every_number(data, module, settings):
    a, b, c = (run(module, settings, data, seed) for seed in (0, 0, 1))
    numbers = [{k: float(v) for k, v in r.metrics.items() if "cpu" not in k} for r in (a, b, c)]
    np.testing.assert_equal(numbers[0], numbers[1])
    assert numbers[0] != numbers[2]
    for key, value in a.arrays.items():
        np.testing.assert_array_equal(value, b.arrays[key])


def test_metrics_of_a_cell_follow_from_its_predictions(data):
    found = run(stdp_cell, CELL, data)
    labels = found.arrays["labels"]
    for rule in RULES:
        right = (found.arrays[f"{rule}_predictions"] == labels).mean()
        assert found.metrics[f"{rule}_test_accuracy_all"] == right
        table = found.arrays[f"{rule}_confusion"]
        strict = found.metrics[f"{rule}_test_accuracy_all_strict"]
        assert np.trace(table[:, :10]) / 20 == pytest.approx(strict) and table.sum() == 20
        assert found.arrays[f"{rule}_w"].shape == (784, 20)
        assert len(found.series[f"{rule}_train_accuracy"]) == 1  # of two assignments
    accuracies = [found.metrics[f"{rule}_test_accuracy_all"] for rule in RULES]
    assert found.metrics["best_accuracy_all"] == max(accuracies)
    assert found.metrics["rule_spread_all"] == max(accuracies) - min(accuracies)


def test_a_rule_alone_gives_what_it_gives_beside_the_others(data):
    together, alone = run(stdp_cell, CELL, data), run(stdp_cell, CELL, data, rules=("Hebbian",))
    for name in ("w", "theta", "predictions"):
        assert (together.arrays[f"Hebbian_{name}"] == alone.arrays[f"Hebbian_{name}"]).all()


def test_labels_come_from_full_intervals_and_the_rest_trains_only(data):
    pictures, labels = data.train_images.reshape(-1, 784)[:56], data.train_labels
    coding = stdp_train.Coding("poisson", 40, 128.0)
    [net] = stdp_train.train([C], coding, pictures, labels, 0, 8, 24)
    expected = readout.no_labels(100)
    for first in (0, 24):
        part = slice(first, first + 24)
        expected = readout.assign_labels(net.counts[part], labels[net.order[part]], expected)
    assert (net.labels.assigned == expected.assigned).all()
    assert (net.labels.rates == expected.rates).all() and len(net.accuracy) == 1
    assert sorted(net.order) == list(range(56))


def test_an_interval_that_ends_with_the_images_counts_only_if_it_is_the_only_one(data):
    pictures, labels = data.train_images.reshape(-1, 784)[:48], data.train_labels
    coding = stdp_train.Coding("poisson", 40, 128.0)
    [twice] = stdp_train.train([C], coding, pictures, labels, 0, 8, 24)
    [once] = stdp_train.train([C], coding, pictures, labels, 0, 8, 48)
    first = readout.assign_labels(
        twice.counts[:24], labels[twice.order[:24]], readout.no_labels(100)
    )
    assert (twice.labels.rates == first.rates).all() and once.labels.rates.any()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"assign_images": 20}, ["assign_images", "20", "batch_size 8", "16 or 24"]),
        ({"assign_images": 64}, ["assign_images", "64", "48"]),
        ({"batch_size": 64}, ["batch_size", "64", "48"]),
        ({"neuron": "alif"}, ["neuron", "alif"]),
        ({"encoder": "latency"}, ["encoder", "latency"]),
        ({"rules": ("STDP",)}, ["rule", "STDP", "PostPre"]),
        ({"v_reset_mV": -52}, ["v_reset_mV", "-52"]),
    ],
)
def test_impossible_combinations_are_named(data, changes, names):
    with pytest.raises(StdpError) as error:
        run(stdp_cell, CELL, data, **changes)
    assert all(name in str(error.value) for name in names), error.value


def test_validation_images_are_never_trained_on(data):
    for module, settings in ((explain, EXPLAIN), (search, SEARCH)):
        with pytest.raises(StdpError, match="n_val"):
            run(module, settings, data, n_train=72)


def test_values_tried_start_with_the_documents(data):
    with pytest.raises(StdpError, match="num_steps"):
        run(explain, EXPLAIN, data, steps_tried=(60, 40))


def test_explanations_change_one_setting(data):
    found = run(explain, EXPLAIN, data)
    base = found.metrics["val_accuracy_base"]
    for key in ("num_steps", "batch_size", "n_neurons"):
        line = found.series[f"{key}_accuracy"]
        assert line[0] == base
        assert found.metrics[f"gain_{key}"] == pytest.approx(line[-1] - base)


def test_the_search_starts_from_the_document_and_stays_in_its_ranges(data):
    found = run(search, SEARCH, data)
    assert found.series["v_thresh_mV"][0] == C.v_thresh_mV
    assert len(found.series["val_accuracy"]) == 4
    assert found.metrics["val_accuracy_best"] == max(found.series["val_accuracy"])
    for neuron in ("if", "lif", "srm0", "diehl_cook"):
        for encoder in ("poisson", "rank_order"):
            for key in search.searched(neuron, encoder):
                low, high, _ = search.RANGES[key]
                for x in (0.0, 0.4, 1.0):
                    value = search.to_point([key], np.array([x]))[key]
                    assert low - 1e-9 <= value <= high * (1 + 1e-9) or high < 0
    assert "intensity" not in search.searched("if", "bernoulli")


def test_what_the_document_draws(data):
    m = run(show_rules, SHOW, data).metrics
    assert m["rank_order_most_spikes_of_a_pixel"] == 1
    for rule in RULES:
        assert m[f"{rule}_post_after_pre"] > 0
        assert (m[f"{rule}_pre_after_post"] > 0) == (rule == "Hebbian")
        assert m[f"{rule}_window_tau_ms"] == pytest.approx(C.tc_trace_ms, rel=1e-3)
    assert m["diehl_cook_rise_per_spike_mV"] == pytest.approx(C.theta_plus_mV, rel=1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_the_window_is_that_of_two_traces(rule):
    c, w0 = dataclasses.replace(C, rule=rule), 0.2
    up = (c.w_max - w0) if rule == "WeightDependentPostPre" else 1
    down = {"WeightDependentPostPre": -w0, "Hebbian": 1}.get(rule, -1)
    for delta in (1, 5, 20):
        decay = np.exp(-delta / c.tc_trace_ms)
        assert window.pair(c, delta, w0) == pytest.approx(c.nu_post * decay * up, rel=1e-3)
        assert window.pair(c, -delta, w0) == pytest.approx(c.nu_pre * decay * down, rel=2e-2)


def test_neurons_that_fire_together_are_deaf_to_each_other():
    c = dataclasses.replace(C, neuron="lif", n_neurons=30)
    state = start_state(c, 0)
    state.w[:] = 0.1  # all alike: all fire at once
    coding = stdp_train.Coding("bernoulli", 60, 128.0)
    seen = diagnose.look(c, state, coding, images(6), stream_key(0, 0))
    found = diagnose.numbers(c, seen, seen.spk.sum(axis=0))
    assert found["reach_together"] == 30 and found["inhibition_lost"] == 1
    state.w[:, 0] = 0.3  # one is ahead: its inhibition meets neurons that listen
    state.w[:, 1:] = 0.01
    seen = diagnose.look(c, state, coding, images(6), stream_key(0, 0))
    assert diagnose.inhibition_lost(c, seen) == 0
    assert diagnose.numbers(c, seen, seen.spk.sum(axis=0))["top_share"] == 1


def test_cost_of_a_presentation():
    found = cost.network_cost(C, spikes_in=1000, spikes_out=2, num_steps=100)
    assert found["additions"] == 1000 * 100 + 2 * 99 and found["leak_operations"] == 10000
    assert found["ann_macs"] == 784 * 100 + 100 * 10
    energy = found["additions"] * ADD_PJ + found["leak_operations"] * MAC_PJ
    assert found["energy_nj"] == pytest.approx(energy / 1000)
    assert found["memory_bytes"] == 4 * (784 * 100 + 100 * 100 + 100) + 100
    assert cost.ann_bytes(100) == 4 * (785 * 100 + 101 * 10)
    silent = cost.network_cost(dataclasses.replace(C, neuron="if"), 0, 0, 100)
    assert silent["additions"] == silent["leak_operations"] == 0


# ------------------------------------------------------------------- respike stdp-evaluate


def call(capsys, folder, file, *options):
    status = cli.main([
        "stdp-evaluate", "--weights", str(file), "--data", str(folder), "--label-images", "40",
        "--test-images", "20", "--num-steps", "40", *options,
    ])  # fmt: skip
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture
def weights(tmp_path):
    state = start_state(C, 0)
    state.theta += 0.1
    file = tmp_path / "net.npz"
    np.savez(file, w=state.w, theta=state.theta)
    return file


def test_a_file_is_judged_as_a_trained_network_is(capsys, small_mnist_folder, weights, data):
    status, out, _ = call(
        capsys, small_mnist_folder, weights, "--encoder", "poisson", "--neuron", "diehl_cook"
    )
    assert status == 0
    c, state = evaluate.read_state(weights, C)
    coding = stdp_train.Coding("poisson", 40, 128.0)
    assert json.loads(out) == evaluate.evaluate(c, state, coding, data, 40, 20)
    assert {"accuracy_all", "accuracy_proportion"} <= json.loads(out).keys()


def test_other_sizes_neurons_and_constants(capsys, small_mnist_folder, tmp_path):
    file = tmp_path / "net.npz"
    np.savez(file, w=np.full((784, 7), 0.1))
    status, out, _ = call(
        capsys, small_mnist_folder, file, "--encoder", "rank_order", "--neuron", "srm0",
        "--set", "tc_decay_ms=10",
    )  # fmt: skip
    assert status == 0 and json.loads(out)["n_neurons"] == 7


@pytest.mark.parametrize(
    ("arrays", "names"),
    [
        ({"v": np.ones(3)}, ["`w`", "v"]),
        ({"w": np.ones((784, 5))}, ["`theta`", "diehl_cook"]),
        ({"w": np.full((784, 5), np.nan), "theta": np.zeros(5)}, ["w", "NaN"]),
        ({"w": np.ones((28, 28)), "theta": np.zeros(28)}, ["w", "(28, 28)", "784"]),
        ({"w": np.ones((784, 5)), "theta": np.zeros(4)}, ["theta", "(4,)"]),
        ({"w": np.array([{}], object)}, ["unpickled"]),
        (b"no archive", ["savez"]),
        (None, ["no such file"]),
    ],
    ids=["no w", "no theta", "nan", "shape", "theta", "pickle", "text", "absent"],
)
def test_a_wrong_file_is_one_message(capsys, small_mnist_folder, tmp_path, arrays, names):
    file = tmp_path / "net.npz"
    if isinstance(arrays, bytes):
        file.write_bytes(arrays)
    elif arrays is not None:
        np.savez(file, **arrays)
    status, out, err = call(
        capsys, small_mnist_folder, file, "--encoder", "poisson", "--neuron", "diehl_cook"
    )
    assert status == 2 and not out and str(file) in err and err.count("\n") == 1
    assert all(name in err for name in names), err


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--test-images", "41"], ["--test-images", "41", "40"]),
        (["--label-images", "0"], ["--label-images", "0"]),
        (["--set", "tau=3"], ["tau", "tc_decay_ms"]),
        (["--set", "norm=big"], ["norm", "big"]),
        (["--set", "v_reset_mV=-50"], ["v_reset_mV", "-50"]),
        (["--num-steps", "0"], ["num_steps", "0"]),
        (["--intensity", "nan"], ["intensity", "nan"]),
    ],
)
def test_wrong_options_are_one_message(capsys, small_mnist_folder, weights, options, names):
    status, out, err = call(
        capsys, small_mnist_folder, weights, "--encoder", "poisson", "--neuron", "diehl_cook",
        *options,
    )  # fmt: skip
    assert status == 2 and not out and err.count("\n") == 1
    assert all(name in err for name in names), err


# ----------------------------------------------------------------------- respike stdp-table


def test_the_table_in_one_go_is_the_cells(data, capsys, small_mnist_folder, tmp_path):
    budget = {**CODING, "n_train": 48, "n_test": 20, "assign_images": 16}
    del budget["encoder"]
    small = dataclasses.replace(C, n_neurons=20)
    found = table.run(small, budget, data, [0, 1], "fast", encoders=["poisson"], neurons=["lif"])
    column = found["columns"]["poisson_lif"]
    for k, seed in enumerate((0, 1)):
        cell = run(stdp_cell, CELL, data, seed, neuron="lif").metrics
        assert [column[r][k] for r in RULES] == [cell[f"{r}_test_accuracy_all"] for r in RULES]
    other = table.run(small, budget, data, [0, 1], "batched", encoders=["rank_order"],
                      neurons=["if"])["columns"]["rank_order_if"]  # fmt: skip
    fast = table.run(small, budget, data, [0, 1], "fast", encoders=["rank_order"],
                     neurons=["if"])["columns"]["rank_order_if"]  # fmt: skip
    # without chance in spikes and neurons both engines are one network
    assert [other[r] for r in RULES] == [fast[r] for r in RULES]


def test_the_table_from_the_command_line(small_mnist_folder, tmp_path):
    out = tmp_path / "table.json"
    status = cli.main([
        "stdp-table", "--data", str(small_mnist_folder), "--n-train", "64", "--n-test", "10",
        "--assign-images", "64", "--encoders", "rank_order", "--device", "cpu", "--out", str(out),
    ])  # fmt: skip
    found = json.loads(out.read_text())
    assert status == 0 and len(found["columns"]) == 4 and found["total_s"] > 0
