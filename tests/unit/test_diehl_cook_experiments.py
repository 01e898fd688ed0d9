"""Experiments of diehl_cook_2015 on a small data set: training, changes, read-out, figures."""

import dataclasses
import json
import typing

import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_diehl_cook_fast import P

from respike.data import mnist
from respike.figures.draw import Runs
from respike.report import ledger
from respike.runs import files
from respike.runs.checkpoints import Kept
from respike.sources.diehl_cook_2015 import changes, cpu, figures, model, readout, train
from respike.sources.diehl_cook_2015.model import DiehlCookError
from respike.sources.diehl_cook_2015.settings import Change

NETWORK = dataclasses.asdict(P) | {"n_exc": 20}
TRAIN = {"n_train": 24, "n_passes": 2, "n_test": 10, "label_images": 12, "frozen_labels": True}
CHANGES = {"n_train": 16, "n_test": 8, "label_images": 8, "changes": ("pair_rule", "norm_half")}
LEDGER = ledger.load("src/respike/sources/diehl_cook_2015/claims.yaml")


@pytest.fixture(scope="module")
def data(small_mnist_folder):
    return mnist.load(small_mnist_folder)


def quiet(*_, **__):
    pass


def run(module, settings, data, kept, seed=0, progress=quiet, **changed):
    made = module.Settings(**(NETWORK | settings | changed))
    return module.run(made, data, seed, progress, kept)


@pytest.mark.parametrize(("module", "settings"), [(train, TRAIN), (changes, CHANGES)])
def test_a_seed_decides_every_number(data, module, settings, tmp_path):
    a, b, c = (
        run(module, settings, data, Kept(tmp_path / str(k), {}), seed)
        for k, seed in enumerate((0, 0, 1))
    )
    numbers = [
        {k: float(v) for k, v in r.metrics.items() if "cpu" not in k} for r in (a, b, c)
    ]  # fmt: skip
    np.testing.assert_equal(numbers[0], numbers[1])
    assert numbers[0] != numbers[2]
    for key, value in a.arrays.items():
        np.testing.assert_array_equal(value, b.arrays[key])


def test_metrics_follow_from_predictions_and_counts(data):
    found = run(train, TRAIN, data, None)
    labels, predictions = found.arrays["labels"], found.arrays["predictions"]
    assert found.metrics["test_accuracy_final"] == (labels == predictions).mean()
    table = found.arrays["confusion"]
    assert table.sum() == 10 and np.trace(table[:, :10]) == (labels == predictions).sum()
    assert found.series["images"] == [24, 36, 48] and len(found.series["running_accuracy"]) == 3
    curve = found.series["running_accuracy"]
    assert found.metrics["late_gain"] == pytest.approx(curve[2] - curve[1])
    m = found.metrics
    assert m["additions_per_image"] == m["train_input_spikes_per_image"] * 20
    assert found.network.n_parameters == 784 * 20 + 20 + 2
    assert 0 < m["train_output_spikes_per_image"] and m["train_presentations_per_image"] >= 1


def test_blocks_of_labels_end_with_the_training(data):
    found = run(train, TRAIN, data, None, n_passes=1, label_images=9)
    assert found.series["images"] == [24]  # images 0 to 5 are in no block
    with pytest.raises(DiehlCookError, match="label_images: found 49"):
        run(train, TRAIN, data, None, label_images=49)


def test_a_killed_training_goes_on_and_ends_the_same(data, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHUNK", 5)
    monkeypatch.setattr(train, "CHECKPOINT", 10)
    whole = run(train, TRAIN, data, None)
    kept, shown = Kept(tmp_path, {}), []

    def killed(unit, done, total, **_):
        if unit == "image" and done >= 29:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(train, TRAIN, data, kept, progress=killed)
    show = cpu.show

    def watched(p, state, images, number, key, learn, tally=None):
        if learn:
            shown.extend(number)
        return show(p, state, images, number, key, learn, tally)

    monkeypatch.setattr(cpu, "show", watched)
    again = run(train, TRAIN, data, kept)
    assert shown[1] == 22 and shown[-1] == 47  # shown[0] compiles; 22 images were kept
    for key, value in whole.arrays.items():
        np.testing.assert_array_equal(again.arrays[key], value)
    assert again.series == whole.series


def test_a_frozen_network_learns_nothing(data):
    p = train.Settings(**(NETWORK | TRAIN))
    images = data.train_images[:6].reshape(-1, 784)
    net = train.fit(p, images, data.train_labels[:6], 0, 1, 6)
    before = net.state.copy()
    counts, _, tally = train.respond(p, net.state, images, 7)
    assert counts.sum() > 0 and tally[2] >= counts.sum()
    for name, value in before.arrays().items():
        np.testing.assert_array_equal(getattr(net.state, name), value, err_msg=name)
    again, _, _ = train.respond(p, net.state, images, 7)
    np.testing.assert_array_equal(again, counts)


def test_gains_are_differences_and_finished_trainings_are_kept(data, tmp_path, monkeypatch):
    kept = Kept(tmp_path, {})
    found = run(changes, CHANGES, data, kept).metrics
    for change in CHANGES["changes"]:
        assert found[f"gain_{change}"] == found[f"accuracy_{change}"] - found["accuracy_base"]

    def forbidden(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(changes, "fit", forbidden)
    assert run(changes, CHANGES, data, kept).metrics == found
    with pytest.raises(AssertionError, match="trained again"):
        run(changes, CHANGES, data, kept, changes=("pair_rule", "rates_half"))


def test_every_change_changes_what_its_name_says():
    s = changes.Settings(**(NETWORK | CHANGES))
    base = dataclasses.asdict(s)
    for name in typing.get_args(Change):
        own = dataclasses.asdict(changes.changed(s, name))
        differ = {key for key in own if own[key] != base[key]}
        assert differ and differ <= {*changes.SET.get(name, ()), *changes.SCALED.get(name, ())}
    both = changes.changed(s, "all")
    assert (both.batch_size, both.present_ms, both.rule) == (64, 100, "pair")
    assert changes.changed(s, "norm_half").norm == 39
    rate_hz = 1000 / s.dt_ms * model.rate(255, changes.changed(s, "rate_128").intensity, s)
    assert rate_hz == pytest.approx(128)


def test_labels_and_answers_worked_by_hand():
    counts = np.array([[4, 0, 0], [2, 0, 0], [1, 6, 0]])
    rates = readout.class_rates(counts, np.array([3, 3, 5]))
    assert rates[0, 3] == 3 and rates[0, 5] == 1 and rates[1, 5] == 6
    assigned = readout.assign(rates)
    assert assigned.tolist() == [3, 5, -1]
    # The mean of a class's neurons counts, not their sum; a tie goes to the lowest class.
    assert readout.answers(np.array([[3, 2, 0]]), np.array([1, 0, 0])).tolist() == [1]
    assert readout.answers(np.array([[2, 2, 9]]), assigned).tolist() == [3]
    assert readout.answers(np.array([[0, 0, 9]]), assigned).tolist() == [-1]


def test_the_worst_pair_is_told_from_the_next():
    table = np.zeros((10, 11), np.int64)
    table[4, 9], table[9, 4], table[3, 5], table[0, 0] = 3, 2, 4, 91
    assert readout.pair_over_next(table, 4, 9) == pytest.approx(0.01)
    assert readout.pair_over_next(table, 3, 5) == pytest.approx(-0.01)


def test_figures_draw_from_finished_results(data, tmp_path):
    made = {name: run(train, TRAIN, data, None) for name in ("n100", "n400")}
    few = {"simplify_100": ("reset", "all"), "robust_100": ("norm_half",),
           "open_100": ("euler_potential",)}  # fmt: skip
    kept = Kept(tmp_path / "parts", {})
    made |= {name: run(changes, CHANGES, data, kept, changes=own) for name, own in few.items()}
    paths = []
    for name, result in made.items():
        settings = NETWORK | (TRAIN if name in ("n100", "n400") else CHANGES)
        settings |= {"changes": few[name]} if name in few else {}
        paths.append(tmp_path / name / "metrics.json")
        files.write_npz(paths[-1].parent / "arrays.npz", result.arrays)
        content = {"experiment": name, "seed": 0, "settings": settings}
        content |= {"metrics": result.metrics, "series": result.series}
        paths[-1].write_text(json.dumps(files.plain(content)))
    published = {c["id"]: c["published"] for c in LEDGER.claims if "published" in c}
    assert set(figures.FIGURES) == {item["id"] for item in LEDGER.figures}
    for name, draw in figures.FIGURES.items():
        figure = draw(Runs(paths, published))
        figure.canvas.draw()
        assert figure.axes, name
        plt.close(figure)
    assert set(figures.LABEL) == set(typing.get_args(Change))
