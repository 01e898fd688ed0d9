"""The search and the final model on few recordings: protocols, resumption, errors."""

import dataclasses
import hashlib
import io
import math

import numpy as np
import pytest

from respike.data import mnist
from respike.data.emulator import camera
from respike.data.inputs import Inputs
from respike.data.nmnist.event_table import EventTable, Recordings
from respike.runs import files, provenance, records
from respike.runs.checkpoints import Kept, of_job
from respike.runs.progress import Progress
from respike.sources.nmnist_grid import final as nmnist_grid_final
from respike.sources.nmnist_grid import restore, surrogate, training
from respike.sources.nmnist_grid import search as nmnist_grid_search

CELLS = (
    "t_window=10000 beta=0.9 n_hidden=8 ratio=0.8/0.2 batch_size=16",
    "t_window=10000 beta=0.7 n_hidden=8 ratio=0.95/0.05 batch_size=16",
)
SEARCH = nmnist_grid_search.Settings(
    cells=CELLS, n_recordings=40, n_test=10, n_folds=2, epochs=2, lr=0.01, l2=1e-5,
    filter_time=10_000, whole=False, cached_t_window=None, keep_optimiser=False,
    first_ratio_typo=False,
)  # fmt: skip
CODED = dataclasses.replace(
    SEARCH, whole=True, cached_t_window=20_000, keep_optimiser=True, first_ratio_typo=True
)


@pytest.fixture(scope="module")
def data(mnist_folder):
    """Return emulated recordings of the first 60 training images, for training and for test."""
    images, index = mnist.load(mnist_folder), np.arange(60)
    events, counts = camera.emulate(images.train_images[index], index, 5)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    half = Recordings(events, offsets, images.train_labels[index], index, "0" * 64)
    table = EventTable("emulated", "A test.", {}, {"train": half, "test": half})
    return Inputs(None, table, {}, "emulated")


def search(settings, data, seed, kept):
    return nmnist_grid_search.run(
        settings, data, seed, Progress("test", stream=io.StringIO()), "cpu", kept
    ).metrics


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "parts", {})


@pytest.fixture
def trained(monkeypatch):
    """Return the list of trainings that are started; the tests count them."""
    started = []
    real = training.train

    def counted(*args, **kwargs):
        started.append(args[3])
        return real(*args, **kwargs)

    monkeypatch.setattr(nmnist_grid_search, "train", counted)
    return started


def test_every_cell_reports_held_out_training_and_test(data, kept, trained):
    found = search(SEARCH, data, 0, kept)
    for kind in ("held_out", "training", "test"):
        for cell in CELLS:
            assert 0 <= found[f"{kind} {cell}"] <= 1
    assert [s.rates for s in trained] == [(0.8, 0.2), (0.95, 0.05)]


def test_a_killed_job_goes_on_after_the_last_finished_cell(data, kept, trained, monkeypatch):
    class Killed(Exception):
        pass

    put = Kept.put

    def once(self, name, value):
        put(self, name, value)
        raise Killed  # the process dies right after the first cell is on disk

    monkeypatch.setattr(Kept, "put", once)
    with pytest.raises(Killed):
        search(SEARCH, data, 0, kept)
    monkeypatch.setattr(Kept, "put", put)
    found = search(SEARCH, data, 0, kept)
    assert len(trained) == 2, "the first cell was trained again"
    whole = search(SEARCH, data, 0, Kept(kept.folder / "other", {}))
    assert drop_times(found) == drop_times(whole)


def drop_times(metrics):
    return {name: value for name, value in metrics.items() if not name.startswith("train_s")}


def test_a_new_value_trains_only_its_cells(data, kept, trained):
    search(dataclasses.replace(SEARCH, cells=CELLS[:1]), data, 0, kept)
    before = len(trained)
    search(SEARCH, data, 0, kept)
    assert [s.beta for s in trained[before:]] == [0.7]


def test_runs_are_folds_and_splits(data, kept, trained):
    one = dataclasses.replace(SEARCH, cells=CELLS[:1])
    found = [drop_times(search(one, data, seed, kept)) for seed in (0, 1, 2, 0)]
    assert len(trained) == 3
    assert found[0] == found[3]


def test_as_coded_carries_the_optimiser_and_drops_the_second_rate(data, kept, trained, monkeypatch):
    states = []
    real = nmnist_grid_search.train

    def seen(*args, **kwargs):
        states.append(args[7] and [float(moment["step"]) for moment in args[7].values()])
        return real(*args, **kwargs)

    monkeypatch.setattr(nmnist_grid_search, "train", seen)
    found = search(CODED, data, 0, kept)
    assert [s.rates for s in trained] == [(0.8, 0.0)] * 2 + [(0.95, 0.05)] * 2
    assert states[0] is None and states[2] is None
    assert states[1] == [4.0] * 4  # 2 epochs of 2 batches, four parameters
    # Killed between the folds: the second fold starts from the moments on disk.
    again = Kept(kept.folder / "again", {})
    monkeypatch.setattr(nmnist_grid_search, "_fold", killed_at(nmnist_grid_search._fold, 2))
    with pytest.raises(KeyboardInterrupt):
        search(CODED, data, 0, again)
    monkeypatch.undo()
    assert drop_times(search(CODED, data, 0, again)) == drop_times(found)


def killed_at(function, call):
    """Return a function that is interrupted at its `call`-th call."""
    calls = []

    def wrapped(*args):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*args)

    return wrapped


def test_lost_moments_are_said(data, kept, monkeypatch):
    monkeypatch.setattr(nmnist_grid_search, "_fold", killed_at(nmnist_grid_search._fold, 2))
    with pytest.raises(KeyboardInterrupt):
        search(CODED, data, 0, kept)
    monkeypatch.undo()
    (lost,) = kept.folder.glob("*.npz")
    lost.unlink()
    with pytest.raises(ValueError, match="moments after fold 0 are gone"):
        search(CODED, data, 0, kept)


def test_all_cells_of_a_job_read_one_t_window(data, kept):
    mixed = dataclasses.replace(SEARCH, cells=(CELLS[0], CELLS[1].replace("10000", "20000")))
    with pytest.raises(ValueError, match="in one job, must be one"):
        search(mixed, data, 0, kept)
    search(dataclasses.replace(mixed, cached_t_window=20_000), data, 0, kept)


def test_more_recordings_than_there_are_is_an_error(data, kept):
    with pytest.raises(ValueError, match="the table holds"):
        search(dataclasses.replace(SEARCH, n_recordings=10_000), data, 0, kept)
    with pytest.raises(ValueError, match="the table holds"):
        final(data, n_train=10_000)


def final(data, **changes):
    known = {
        "n_train": 30, "n_val": 10, "n_test": 20, "n_curve": 10, "n_hidden": 16, "beta": 0.9,
        "t_window": 10_000, "ratio": "0.8/0.2", "batch_size": 16, "epochs": 2, "lr": 0.01,
        "l2": 1e-5, "filter_time": 10_000, "whole": False, "surrogate_gain": 1.0, "patience": 3,
    }  # fmt: skip
    settings = nmnist_grid_final.Settings(**{**known, **changes})
    progress = Progress("test", stream=io.StringIO())
    return nmnist_grid_final.run(settings, data, 0, progress, "cpu")


def test_the_final_model_counts_what_an_inference_costs(data):
    found = final(data)
    assert found.arrays["events_by_input"].sum() == found.arrays["events_per_step"].sum()
    m = found.metrics
    assert m["num_steps"] == 10
    assert m["synaptic_operations"] == pytest.approx(
        16 * m["input_spikes_per_recording"] + 10 * m["hidden_spikes_per_recording"]
    )
    accuracy = (found.arrays["predictions"] == found.arrays["labels"]).mean()
    assert accuracy == m["test_accuracy_final"]
    assert len(found.series["val_accuracy"]) == len(found.series["test_accuracy"]) == 2
    assert math.isnan(m["rise_after_epoch_10"])
    assert "early_stop_epoch" not in final(data, n_val=0).metrics


def test_early_stopping_on_a_curve_worked_by_hand():
    val = [0.1, 0.5, 0.7, 0.6, 0.65, 0.69, 0.9]
    test = [0.0, 0.4, 0.6, 0.61, 0.62, 0.63, 0.8]
    found = nmnist_grid_final.early_stopping(val, test, patience=3)
    assert found["early_stop_epoch"] == 6  # epochs 4, 5 and 6 are not better than epoch 3
    assert found["early_stop_best_epoch"] == 3
    assert found["early_stop_gain"] == pytest.approx(-0.2)
    never = nmnist_grid_final.early_stopping(val, test, patience=5)
    assert never["early_stop_epoch"] == 7 and never["early_stop_gain"] == 0


def test_late_rise_compares_the_last_epochs_with_8_to_10():
    curve = [0.0] * 7 + [0.8, 0.9, 1.0] + [0.0, 0.0] + [0.95] * 3
    assert nmnist_grid_final.late_rise(curve) == pytest.approx(0.05)
    assert math.isnan(nmnist_grid_final.late_rise(curve[:12]))


def test_the_step_has_no_gradient_and_the_surrogate_pi_times_the_printed_one():
    found = surrogate.run(surrogate.Settings(reach=2.0, n_points=401), None, 0, None)
    m = found.metrics
    assert m["largest_step_derivative_off_threshold"] == 0
    assert m["step_derivative_at_threshold"] == pytest.approx(100)
    assert m["derivative_at_threshold"] == pytest.approx(1)
    assert m["printed_derivative_at_threshold"] == pytest.approx(1 / math.pi)
    coded, true = found.arrays["derivative_coded"], found.arrays["derivative_of_approximation"]
    assert np.allclose(coded, true, rtol=1e-6)
    with pytest.raises(ValueError, match="odd"):
        surrogate.run(surrogate.Settings(2.0, 400), None, 0, None)


def test_recorded_cells_are_not_trained_again(data, tmp_path, trained):
    """What a record holds is found by a search that trains more cells, on the same data only."""
    made = provenance.record("nmnist_grid", "search_1", "cpu")
    recorded = dataclasses.replace(SEARCH, cells=CELLS[:1])
    for settings, seed in ((recorded, 0), (recorded, 3), (CODED, 5)):
        found = nmnist_grid_search.run(
            settings, data, seed, Progress("test", stream=io.StringIO()), "cpu",
            Kept(tmp_path / "elsewhere", {}),
        )  # fmt: skip
        write_record(tmp_path, settings, seed, found, made)
    before = len(trained)
    parts = tmp_path / "parts"
    assert restore.restore(records.load(tmp_path / "records"), "paper", parts) == (2, 0)
    assert restore.restore(records.load(tmp_path / "records"), "paper", parts) == (0, 2)
    assert restore.restore(records.load(tmp_path / "records"), "default", parts) == (0, 0)
    for seed in (0, 3):
        again = search(SEARCH, data, seed, of_job(parts, made, {}, "cpu"))
        anew = search(SEARCH, data, seed, Kept(tmp_path / "anew" / str(seed), {}))
        assert drop_times(again) == drop_times(anew)
    # Twice the second cell beside the recorded one, twice both.
    assert [s.beta for s in trained[before:]] == [0.7, 0.9, 0.7, 0.7, 0.9, 0.7]
    search(SEARCH, data, 0, of_job(parts, made, {"train": "other"}, "cpu"))
    assert len(trained) == before + 8, "cells of other data were taken"


def write_record(tmp_path, settings, seed, found, made):
    """Record a search as a job would have written it."""
    folder = tmp_path / "results" / str(seed)
    files.write_npz(folder / "arrays.npz", found.arrays)
    arrays = (folder / "arrays.npz").read_bytes()
    result = files.plain(
        {
            **made, "experiment": "search", "protocol": "as_documented", "seed": seed,
            "scale": "paper", "settings": dataclasses.asdict(settings), "data_sha256": {},
            "data_kind": "emulated", "device": "cpu", "threads": 1, "wall_s": 1,
            "started": "2026-01-01T10:00:00+00:00",
            "metrics": found.metrics, "series": found.series,
            "arrays_sha256": hashlib.sha256(arrays).hexdigest(),
        }
    )  # fmt: skip
    files.write_json(folder / "metrics.json", result | {"seal": provenance.seal(result)})
    assert records.add(folder / "metrics.json", tmp_path / "records")
