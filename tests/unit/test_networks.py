"""All networks side by side: what is compared with what, and by which numbers."""

import csv
import io

import numpy as np
import pytest

from respike.figures import networks as plots
from respike.report import networks

LABELS = np.arange(200, dtype=np.uint8) % 10
NETWORK = {
    "name": "784-9-10", "data_set": "mnist", "rule": "STDP", "n_neurons": 19,
    "n_parameters": 1000, "n_state": 20, "num_steps": 10, "spikes": 30.0,
    "synaptic_operations": 400.0, "macs": 500, "n_train": 60, "presentations": 120,
    "train_s": 2.0,
}  # fmt: skip


def answers(right):
    """Return predictions of which the given images are right."""
    found = (LABELS + 1) % 10
    found[list(right)] = LABELS[list(right)]
    return {"predictions": found.astype(np.uint8), "labels": LABELS}


class Runs:
    """Results and their arrays, by path."""

    def __init__(self):
        self.results, self.arrays = {}, {}

    def add(self, experiment, right, seed=0, kept=None, data_kind="official", **network):
        path = f"{experiment}/{seed}"
        self.results[path] = {
            "source": "toy", "experiment": experiment, "seed": seed, "device": "cpu",
            "versions": {}, "commit": "c" * 40,
            "protocol": "as_documented", "data_kind": data_kind, "network": NETWORK | network,
        }  # fmt: skip
        self.arrays[path] = kept or answers(right)

    def groups(self):
        return networks.compare(self.results, self.arrays.__getitem__)


@pytest.fixture
def runs():
    return Runs()


def test_accuracy_follows_from_the_predictions(runs):
    runs.add("a", range(190))
    runs.add("b", range(150))
    (group,) = runs.groups()
    assert [row["id"] for row in group["networks"]] == ["toy.a", "toy.b"]  # the best first
    assert [row["accuracy"] for row in group["networks"]] == [0.95, 0.75]
    best = group["networks"][0]
    assert best["interval"] == "Wilson, one run" and best["low"] < 0.95 < best["high"]
    assert best["memory_bytes"] == 4 * 1020
    assert best["state_updates"] == 200
    assert best["energy_nj"] == pytest.approx((400 * 0.9 + 200 * 4.6) / 1000)
    assert best["energy_ann_nj"] == pytest.approx(500 * 4.6 / 1000)


def test_an_ann_costs_its_macs(runs):
    runs.add("ann", range(9), spikes=None, synaptic_operations=None, num_steps=0,
             rule="back-propagation")  # fmt: skip
    (row,) = runs.groups()[0]["networks"]
    assert row["energy_nj"] == row["energy_ann_nj"] and row["state_updates"] is None


def test_seeds_give_a_t_interval_and_mean_costs(runs):
    for seed, n in enumerate((180, 184, 188)):
        runs.add("a", range(n), seed, train_s=float(seed))
    (row,) = runs.groups()[0]["networks"]
    assert row["accuracy"] == pytest.approx(0.92) and row["interval"] == "t, seeds"
    assert row["high"] - row["accuracy"] == pytest.approx(4.30265 * 0.02 / np.sqrt(3), rel=1e-4)
    assert row["train_s"] == 1 and row["seeds"] == [0, 1, 2]


def test_a_pair_counts_the_images_that_one_alone_gets_right(runs):
    runs.add("a", range(0, 190), seed=1)
    runs.add("a", range(0, 200), seed=2)  # better, but not the lowest common seed
    runs.add("b", range(20, 200), seed=1)
    (pair,) = runs.groups()[0]["pairs"]
    assert (pair["seed"], pair["only_a"], pair["only_b"]) == (1, 20, 10)
    assert pair["p"] == pytest.approx(0.0987, abs=1e-4)
    assert pair["seeds_difference"] is None  # b has one run


def test_all_pairs_are_corrected_together(runs):
    rng = np.random.default_rng(0)
    for name in "abcdef":  # equally good: no difference may be sure
        runs.add(name, np.flatnonzero(rng.random(200) < 0.9))
    (group,) = runs.groups()
    assert len(group["pairs"]) == 15
    assert min(pair["p_holm"] for pair in group["pairs"]) > networks.LEVEL
    order = [(pair["a"], pair["b"]) for pair in group["pairs"]]
    assert order == [(a, b) for b in range(6) for a in range(b)]  # what the page relies on


def test_only_the_same_images_are_compared(runs):
    runs.add("whole", range(190))
    half = {"predictions": LABELS[:100], "labels": LABELS[:100]}
    for name in ("x", "y", "z"):
        runs.add(name, (), kept=half)
    (group,) = runs.groups()
    assert [row["id"] for row in group["networks"]] == ["toy.whole"]
    assert group["left_out"] == 3 and group["pairs"] == []


def test_equal_labels_of_other_recordings_are_other_images(runs):
    runs.add("a", range(190), data_set="nmnist", data_kind="emulated")
    runs.add("b", range(190), data_set="nmnist", data_kind="emulated")
    runs.add("c", range(190), data_set="nmnist", data_kind="official")
    (group,) = runs.groups()
    assert group["left_out"] == 1 and len(group["networks"]) == 2


def test_each_data_set_is_a_group_and_runs_without_a_network_are_passed_over(runs):
    runs.add("a", range(190))
    runs.add("b", range(190), data_set="nmnist")
    runs.results["other/0"] = {"source": "toy", "seed": 0}
    runs.add("c", range(190), data_set="shapes", rule="a rule of its own")  # known nowhere
    assert [group["data_set"] for group in runs.groups()] == ["mnist", "nmnist", "shapes"]
    assert [group["title"] for group in runs.groups()] == ["MNIST", "NMNIST", "SHAPES"]
    assert networks.compare({}, dict) == []


def test_the_tables_hold_every_network_and_pair(runs):
    for name, n in (("a", 190), ("b", 150), ("c", 120)):
        runs.add(name, range(n))
    groups = runs.groups()
    rows = list(csv.DictReader(io.StringIO(networks.table(groups))))
    assert [float(row["accuracy"]) for row in rows] == [0.95, 0.75, 0.6]
    pairs = list(csv.DictReader(io.StringIO(networks.pair_table(groups))))
    assert len(pairs) == 3
    assert float(pairs[0]["difference"]) == 0.2 and pairs[0]["only_b_right"] == "0"


def test_looks_follow_from_the_rules_that_occur(runs):
    none = {"spikes": None, "synaptic_operations": None, "num_steps": 0}
    for number in range(12):
        runs.add(f"snn_{number}", range(190), rule=f"rule {number}")
    runs.add("ann", range(190), rule="plain", **none)
    runs.add("ann_2", range(190), data_set="shapes", rule="also plain", **none)
    found = plots.looks(runs.groups())
    spiking = sorted(f"rule {number}" for number in range(12))
    assert list(found) == ["also plain", "plain", *spiking]  # not the order of the runs
    assert len(set(found.values())) == len(found)
    colours = [colour for colour, _ in found.values()]
    assert set(colours[:2]) == {plots.ANN} and plots.ANN not in colours[2:]
    one, other = found["rule 0"], found["rule 1"]
    assert one[0] != other[0] and one[1] != other[1]  # colour and shape tell them apart


@pytest.mark.parametrize("figure", sorted(plots.FIGURES))
def test_every_rule_and_data_set_is_drawn(runs, figure):
    runs.add("a", range(190))
    runs.add("b", range(150), rule="back-propagation", spikes=None, synaptic_operations=None)
    runs.add("c", range(100), data_set="shapes", rule="a rule of its own")
    drawn = plots.FIGURES[figure](runs.groups())
    (legend,) = drawn.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["back-propagation", "a rule of its own", "STDP"]
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in drawn.axes]
    assert titles == ["MNIST, 200 test images", "SHAPES, 200 test images"]
    plots.plt.close(drawn)
