"""Noise filter and time bins against tonic's own, on made and on real recordings."""

import time

import numpy as np
import pytest
import torch
from tonic.datasets import NMNIST
from tonic.io import make_structured_array
from tonic.transforms import Denoise, ToFrame

from respike.data.nmnist import event_frames
from respike.data.nmnist.binary_format import pack, unpack
from respike.data.nmnist.event_frames import (
    N_INPUTS,
    bin_events,
    cut,
    denoise,
    frame_counts,
    frames,
)


def joined(recordings):
    """Return recordings as events and offsets."""
    offsets = np.concatenate(([0], np.cumsum([len(events) for events in recordings])))
    return np.concatenate(recordings), offsets


def parted(events, offsets):
    return [events[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def as_tonic(events):
    return make_structured_array(*unpack(events), dtype=NMNIST.dtype)


def from_tonic(events):
    return pack(events["x"], events["y"], events["t"], events["p"])


def tonic_frames(events, t_window, start_us=None, end_us=None):
    transform = ToFrame(
        sensor_size=NMNIST.sensor_size, time_window=t_window, start_time=start_us, end_time=end_us
    )
    return transform(as_tonic(events))


def some_real(table, every=5):
    return [table.splits["train"].recording(i) for i in range(0, len(table.splits["train"]), every)]


# The noise filter.


def assert_denoise_is_tonic(recordings, filter_time=10_000):
    kept = parted(*denoise(*joined(recordings), filter_time))
    for events, ours in zip(recordings, kept, strict=True):
        expected = from_tonic(Denoise(filter_time)(as_tonic(events)))
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("filter_time", [0, 1, 2, 500, 10_000, 200_000])
def test_denoise_of_made_recordings_is_tonic(made_recordings, filter_time):
    assert_denoise_is_tonic(made_recordings, filter_time)


def test_denoise_of_real_recordings_is_tonic(real_table):
    assert_denoise_is_tonic(some_real(real_table))


def kept_of(x, y, t):
    events = pack(x, y, t, np.zeros(len(x)))
    assert_denoise_is_tonic([events])
    kept, _ = denoise(events, np.array([0, len(events)]))
    return np.flatnonzero(np.isin(events, kept)).tolist()


def test_denoise_by_hand():
    # The pixel itself and the diagonal do not count; 10,000 us later is too late.
    assert kept_of([5, 5], [5, 5], [20_000, 20_001]) == []
    assert kept_of([5, 6], [5, 6], [20_000, 20_001]) == []
    for x, y in ((4, 5), (6, 5), (5, 4), (5, 6)):
        assert kept_of([5, x], [5, y], [20_000, 29_999]) == [1]
        assert kept_of([5, x], [5, y], [20_000, 30_000]) == []


def test_denoise_of_ties_depends_on_their_order():
    assert kept_of([5, 6, 9, 8], [5, 5, 9, 9], [20_000] * 4) == [1, 3]


def test_denoise_lets_early_events_pass():
    # Pixels count as active until 10,000 us, though nothing was seen there.
    assert kept_of([5, 20, 30], [5, 20, 30], [9_999, 10_000, 10_000]) == [0]


def test_denoise_knows_no_pixels_beyond_the_largest_x_and_y():
    # One pixel alone has no neighbours that could let its early event pass.
    assert kept_of([0], [0], [0]) == []
    assert kept_of([0, 1], [0, 0], [0, 20_000]) == [0]  # now the pixel at x = 1 exists
    assert kept_of([33, 33], [33, 33], [0, 1]) == [0, 1]


def test_denoise_of_recordings_that_end_up_empty(made_recordings):
    lonely = pack([5, 20], [5, 20], [20_000, 50_000], [0, 1])
    kept = parted(*denoise(*joined([lonely, made_recordings[5], lonely])))
    assert [len(events) for events in kept[::2]] == [0, 0] and len(kept[1]) > 0
    assert denoise(np.empty(0, np.uint32), np.array([0, 0]))[1].tolist() == [0, 0]


@pytest.mark.alone
def test_denoise_is_20_times_as_fast_as_tonic(threads):
    threads(1)
    rng = np.random.default_rng(0)
    n = 4_000  # events of a recording
    fields = rng.integers(0, 34, (2, n)), np.sort(rng.integers(0, 308_000, n))
    events = pack(*fields[0], fields[1], rng.integers(0, 2, n))
    many, stock = joined([events] * 50), as_tonic(events)

    def seconds(function):  # at best: other work on the machine only adds
        times = []
        for _ in range(5):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return min(times)

    denoise(*many)  # compiled
    ours = seconds(lambda: denoise(*many)) / 50
    assert seconds(lambda: Denoise(10_000)(stock)) > 20 * ours


# Time bins.

WINDOWS = (1_000, 2_000, 7_777, 100_000, 400_000)
RANGES = ((None, None), (0, 100_000), (None, 50_000), (5_000, None), (90_000, 10_000))


@pytest.mark.parametrize("start_us, end_us", RANGES)
@pytest.mark.parametrize("t_window", WINDOWS)
def test_frames_of_made_recordings_are_tonic(made_recordings, t_window, start_us, end_us):
    for events in made_recordings[:14]:
        ours = frames(events, t_window, start_us, end_us)
        expected = tonic_frames(events, t_window, start_us, end_us)
        assert ours.dtype == expected.dtype and ours.shape == expected.shape
        np.testing.assert_array_equal(ours, expected)


def test_frames_of_1_us_are_tonic(made_recordings):
    events = made_recordings[4] & 0x1FFF | np.sort(made_recordings[4] >> 13 & 255) << 13
    np.testing.assert_array_equal(frames(events, 1), tonic_frames(events, 1))


@pytest.mark.parametrize("start_us, end_us", RANGES[:2])
def test_frames_of_real_recordings_are_tonic(real_table, start_us, end_us):
    for events in some_real(real_table, every=25):
        for t_window in (500, 2_000):
            np.testing.assert_array_equal(
                frames(events, t_window, start_us, end_us),
                tonic_frames(events, t_window, start_us, end_us),
            )


def test_frames_by_hand():
    # Start at the first event, whole windows only; t = 40 opens the fourth and is dropped.
    events = pack([1, 1, 2, 3], [0, 0, 5, 6], [10, 19, 29, 40], [1, 1, 0, 1])
    found = frames(events, 10)
    assert found.shape == (3, 2, 34, 34) and found.sum() == 3
    assert found[0, 1, 0, 1] == 2 and found[1, 0, 5, 2] == 1


def test_a_recording_shorter_than_the_window_is_one_frame():
    events = pack([1, 2], [1, 2], [10, 15], [1, 1])
    assert frames(events, 100).shape == (1, 2, 34, 34) and frames(events, 100).sum() == 2


@pytest.mark.parametrize("t_window", [500, 1_000, 2_000])
def test_three_readings_of_100_ms(t_window):
    # Real recordings have an event nearly every 75 us; here there is one every 70.
    t = np.arange(30, 308_000, 70)
    events = pack(np.arange(len(t)) % 34, 0, t, 0)
    one = events, np.array([0, len(events)])
    assert frame_counts(*one, t_window) == 307_930 // t_window
    assert frame_counts(*one, t_window, 0, 100_000) == 100_000 // t_window
    first = cut(*one, 100_000)
    assert frame_counts(*first, t_window) == 100_000 // t_window - 1
    stock = as_tonic(events)
    stock = stock[stock["t"] < 1e5]  # as NMNIST(first_saccade_only=True) does
    expected = ToFrame(sensor_size=NMNIST.sensor_size, time_window=t_window)(stock)
    np.testing.assert_array_equal(frames(first[0], t_window), expected)


def test_cut_of_many_recordings(made_recordings):
    cuts = parted(*cut(*joined(made_recordings), 20_000))
    for events, ours in zip(made_recordings, cuts, strict=True):
        np.testing.assert_array_equal(ours, events[events >> 13 < 20_000])
    assert min(map(len, cuts)) == 0 < max(map(len, cuts))


# The sparse form.


def dense(bins, n, num_steps):
    """Return bins as (n, num_steps, 2, 34, 34)."""
    found = np.zeros((n * num_steps, N_INPUTS), np.int64)
    for row in range(n * num_steps):
        entries = slice(bins.starts[row], bins.starts[row + 1])
        assert (np.diff(bins.inputs[entries]) > 0).all()  # sorted, repeats merged
        found[row, bins.inputs[entries]] = bins.counts[entries]
    return found.reshape(n, num_steps, 2, 34, 34)


def assert_bins_are_tonic(recordings, t_window, num_steps, **range_us):
    bins = bin_events(*joined(recordings), t_window, num_steps, **range_us)
    assert bins.starts[0] == 0 and bins.starts[-1] == len(bins.inputs) == len(bins.counts)
    assert bins.counts.min(initial=1) >= 1
    found = dense(bins, len(recordings), num_steps)
    for events, ours, n_frames in zip(recordings, found, bins.n_frames, strict=True):
        expected = tonic_frames(events, t_window, *range_us.values())
        assert n_frames == len(expected)
        padded = np.zeros((num_steps, 2, 34, 34), np.int64)
        padded[: len(expected)] = expected[:num_steps]
        np.testing.assert_array_equal(ours, padded)
    return bins


@pytest.mark.parametrize("num_steps", [0, 1, 30, 200])
def test_bins_of_made_recordings_are_padded_or_cut_frames(made_recordings, num_steps):
    bins = assert_bins_are_tonic(made_recordings, 2_000, num_steps)
    assert num_steps == 0 or bins.counts.max() > 1  # several events of a pixel in one bin
    assert_bins_are_tonic(made_recordings, 2_000, num_steps, start_us=0, end_us=100_000)


def test_bins_of_long_windows(made_recordings):
    bins = assert_bins_are_tonic(made_recordings, 200_000, 2)
    assert np.diff(bins.starts).max() > 500


def test_bins_of_real_recordings_are_padded_or_cut_frames(real_table):
    bins = assert_bins_are_tonic(some_real(real_table, every=25), 2_000, 150)
    assert 1 < bins.counts.max()


def test_inputs_rise_within_a_step():
    events = pack([7, 1, 7, 2, 0], [0, 1, 0, 0, 0], [10, 11, 12, 13, 20], [1, 0, 1, 0, 0])
    bins = bin_events(events, np.array([0, 5]), 10, 2, end_us=30)
    assert bins.inputs.tolist() == [2, 34 + 1, 1156 + 7, 0]
    assert bins.counts.tolist() == [1, 1, 2, 1] and bins.starts.tolist() == [0, 3, 4]


def test_bins_are_a_sparse_matrix_of_torch(made_recordings):
    bins = bin_events(*joined(made_recordings), 2_000, 20)
    matrix = torch.sparse_csr_tensor(
        bins.starts,
        bins.inputs,
        bins.counts.astype("float32"),
        (20 * len(bins.n_frames), N_INPUTS),
        check_invariants=True,
    )
    weights = torch.rand(N_INPUTS, 3)
    expected = torch.from_numpy(dense(bins, len(bins.n_frames), 20)).float().reshape(-1, N_INPUTS)
    torch.testing.assert_close(matrix @ weights, expected @ weights)


def test_empty_recordings_have_no_frames_but_their_steps():
    events = pack([1], [1], [10], [1])
    bins = bin_events(events, np.array([0, 0, 1, 1]), 10, 4)
    assert bins.n_frames.tolist() == [0, 1, 0]
    assert np.flatnonzero(np.diff(bins.starts)).tolist() == [4]
    assert bin_events(events, np.array([0, 0, 1]), 10, 4, 0, 40).n_frames.tolist() == [4, 4]
    assert frames(events[:0], 10).shape == (0, 2, 34, 34)


def test_number_of_threads_changes_nothing(made_recordings, threads):
    found = []
    for n in (1, 2):
        threads(n)
        kept = denoise(*joined(made_recordings))
        found.append((*kept, *bin_events(*kept, 2_000, 50)))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_damaged_events_lead_nowhere_outside():
    # A table that was damaged on the disk gives wrong numbers, never a crash.
    rng = np.random.default_rng(0)
    events = rng.integers(0, 2**32, 20_000, dtype=np.uint32)
    events[:100] = 2**32 - 1
    offsets = np.array([0, 100, 20_000])
    assert 0 <= np.diff(denoise(events, offsets)[1]).min()
    bins = bin_events(events, offsets, 100_000, 6, start_us=0, end_us=600_000)
    assert 0 <= np.diff(bins.starts).min() and bins.starts[-1] == len(bins.inputs) > 0
    assert 0 <= bins.inputs.min() <= bins.inputs.max() < N_INPUTS


@pytest.mark.parametrize("t_window", [0, -5, 2.5])
def test_windows_that_are_none_are_refused(made_recordings, t_window):
    with pytest.raises(ValueError, match=f"t_window is {t_window} us, must be a whole number"):
        frames(made_recordings[3], t_window)


def test_other_numbers_that_are_none_are_refused(made_recordings, monkeypatch):
    many = joined(made_recordings)
    with pytest.raises(ValueError, match="num_steps is -1"):
        bin_events(*many, 2_000, -1)
    with pytest.raises(ValueError, match="filter_time is -1 us"):
        denoise(*many, -1)
    with pytest.raises(ValueError, match="bin fewer at a time"):
        event_frames.bin_events(*many, 1, 2**30)
