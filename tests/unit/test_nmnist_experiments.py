"""The experiments on N-MNIST recordings, on tables whose answers are known."""

import dataclasses

import numpy as np
import pytest

from respike.data import inputs, mnist
from respike.data.emulator import camera
from respike.data.nmnist.event_table import EventTable, Recordings
from respike.runs.progress import Progress
from respike.runs.result import SettingsError
from respike.sources.nmnist_emulator import fidelity, transfer
from respike.sources.nmnist_grid import describe


@pytest.fixture(scope="module")
def data(mnist_folder):
    """Return MNIST and, called local, emulated recordings of images 280 to 339 (seed 5)."""
    images, index = mnist.load(mnist_folder), np.arange(280, 340)
    events, counts = camera.emulate(images.train_images[index], index, 5)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    half = Recordings(events, offsets, images.train_labels[index], index, "0" * 64)
    table = EventTable("local", "A test.", {}, {"train": half})
    return inputs.Inputs(images, table, {}, "local")


def progress():
    import io

    return Progress("test", stream=io.StringIO())


# -------------------------------------------------------------------------------------- fidelity


def test_equal_recordings_are_equal_in_every_measure(data):
    half = data.recordings.splits["train"]
    same = half.events, half.offsets
    metrics, arrays = fidelity.compare(same, same, 5.0)
    ones = [n for n in metrics if n.endswith("_ratio") or "correlation" in n]
    assert len(ones) == 11 and all(np.isclose(metrics[n], 1) for n in ones)
    for name in ("on_share_difference", "rate_deviation", "intervals_differing"):
        assert metrics[name] == 0
    assert np.isclose(arrays["profile_real"].sum(), np.diff(half.offsets).mean())


def test_known_differences_are_measured(data):
    half = data.recordings.splits["train"]
    theirs = half.events, half.offsets
    kept = np.arange(0, len(half.events), 2)
    thinned = half.events[kept], np.searchsorted(kept, half.offsets)
    metrics, _ = fidelity.compare(thinned, theirs, 5.0)
    assert np.isclose(metrics["events_mean_ratio"], 0.5, atol=0.01)
    assert np.isclose(metrics["rate_deviation"], 0.5, atol=0.05)
    assert metrics["events_correlation"] > 0.999
    only_on = half.events | 1 << 12, half.offsets
    metrics, _ = fidelity.compare(only_on, theirs, 5.0)
    assert np.isclose(metrics["on_share_difference"], 1 - metrics["on_share_real"])
    rows = half.events >> 6 & 63
    turned = (half.events & ~np.uint32(63 << 6)) | (33 - rows) << 6, half.offsets  # upside down
    metrics, _ = fidelity.compare(turned, theirs, 5.0)
    assert metrics["map_correlation"] < 0.8 and metrics["events_mean_ratio"] == 1
    late = half.events + np.uint32(10_000 << 13), half.offsets
    metrics, _ = fidelity.compare(late, theirs, 5.0)
    assert metrics["rate_deviation"] > 0.3 and metrics["intervals_differing"] < 1e-3


def test_only_recordings_that_the_fit_did_not_see_are_judged(data):
    settings = fidelity.Settings(n_judged=30, bin_ms=5.0)
    result = fidelity.run(settings, data, 1, progress())
    assert result.data_kind == "local and emulated"
    assert result.metrics["n_recordings"] == 30  # of 40 after image 299
    assert result.metrics["fitted_n_recordings"] == 20
    assert abs(result.metrics["events_mean_ratio"] - 1) < 0.02
    assert result.metrics["map_correlation"] > 0.95
    assert len(result.arrays["sample_digits"]) == len(result.arrays["sample_real_offsets"]) - 1
    fitted = dataclasses.replace(data.recordings.splits["train"], index=np.arange(60))
    table = dataclasses.replace(data.recordings, splits={"train": fitted})
    with pytest.raises(SettingsError, match="used in the fit"):
        fidelity.run(settings, dataclasses.replace(data, recordings=table), 1, progress())


@pytest.mark.parametrize("module", [fidelity, transfer])
def test_emulated_recordings_are_no_measure_of_themselves(data, module):
    with pytest.raises(SettingsError, match="real recordings"):
        module.run(None, dataclasses.replace(data, kind="emulated"), 0, progress())


# -------------------------------------------------------------------------------------- transfer

SMALL = transfer.Settings(
    n_train=300, n_unseen=60, n_hidden=30, t_window=50_000, num_steps=6, lr=0.003, batch_size=32,
    epochs=4,
)  # fmt: skip


def test_a_network_learns_from_emulated_recordings_and_is_tested_on_all_kinds(data):
    result = transfer.run(SMALL, data, 0, progress())
    m = result.metrics
    assert m["n_real"] == 60 and m["n_real_not_fitted"] == 40
    for name in ("accuracy_emulated_unseen", "accuracy_real", "accuracy_emulated_same_images"):
        assert m[name] > 0.5, name
    gap = m["accuracy_emulated_same_images"] - m["accuracy_real"]
    assert np.isclose(m["gap_same_images"], gap)
    right = result.arrays["right_real"]
    assert np.isclose(right.mean(), m["accuracy_real"])
    assert np.isclose(right[20:].mean(), m["accuracy_real_not_fitted"])
    again = transfer.run(SMALL, data, 0, progress())
    assert again.metrics == m


def test_frames_hold_the_counts_of_their_window(data):
    half = data.recordings.splits["train"]
    events, offsets = half.take([3])
    frames = transfer._frames(events, offsets, SMALL).numpy().reshape(6, -1)
    counts = np.expm1(frames).round().sum(1)
    t = events >> 13
    expected = [((t >= k * 50_000) & (t < (k + 1) * 50_000)).sum() for k in range(6)]
    assert counts.tolist() == expected


def test_more_images_than_there_are_is_an_error(data):
    with pytest.raises(SettingsError, match="n_train, n_unseen: 59950 \\+ 60"):
        transfer.run(dataclasses.replace(SMALL, n_train=59950), data, 0, progress())


# -------------------------------------------------------------------------------------- describe


def test_a_table_is_described_by_what_is_in_it(data):
    settings = describe.Settings(
        n=20, filter_time=10_000, t_window=2_000, digit=1, show_t_window=10_000
    )
    half = data.recordings.splits["train"]
    result = describe.run(settings, data, 0, progress())
    m = result.metrics
    last_ms = (half.events[half.offsets[1:21] - 1] >> 13) / 1000
    assert np.isclose(m["duration_ms"], last_ms.mean())
    assert m["n_recordings"] == 20 and m["n_train"] == 60 and m["n_test"] == 0
    assert np.isclose(m["events"], half.offsets[20] / 20)
    before = (half.events[: half.offsets[20]] >> 13) < 100_000
    assert np.isclose(m["share_before_100_ms"], before.mean())
    assert 0 < m["noise_share"] < 0.2 and m["on_where_ink_falls"] > 0.85
    assert result.arrays["frame_before"].shape == (2, 34, 34)
    kept = result.arrays["frame_after"] <= result.arrays["frame_before"]
    assert kept.all() and result.arrays["frame_after"].sum() > 50
    # Reversed polarity is told.
    reversed_ = dataclasses.replace(half, events=half.events ^ np.uint32(1 << 12))
    table = dataclasses.replace(data.recordings, splits={"train": reversed_})
    other = describe.run(settings, dataclasses.replace(data, recordings=table), 0, progress())
    assert np.isclose(other.metrics["on_where_ink_falls"], 1 - m["on_where_ink_falls"])
