"""Statistics of recordings, on recordings of a few events."""

import numpy as np

from respike.data.nmnist import statistics
from respike.data.nmnist.binary_format import pack

# Two recordings: (x, y, t us, p).
FIRST = [(3, 5, 1_000, 1), (3, 5, 3_200, 1), (4, 5, 4_000, 0), (3, 5, 106_000, 0)]
SECOND = [(33, 33, 250_000, 1), (33, 33, 250_900, 0)]
EVENTS = pack(*np.array(FIRST + SECOND).T)
OFFSETS = np.array([0, 4, 6])


def test_maps_count_by_recording_polarity_and_pixel():
    maps = statistics.maps(EVENTS, OFFSETS)
    assert maps.shape == (2, 2, 34, 34) and maps.sum() == 6
    assert maps[0, 1, 5, 3] == 2 and maps[0, 0, 5, 3] == 1 and maps[0, 0, 5, 4] == 1
    assert maps[1, 1, 33, 33] == maps[1, 0, 33, 33] == 1
    assert np.array_equal(statistics.pixel_counts(EVENTS), maps.sum(0))


def test_saccades_are_told_apart_by_time():
    assert statistics.saccade_counts(EVENTS, OFFSETS).tolist() == [[3, 1, 0], [0, 0, 2]]


def test_the_rate_is_a_mean_over_recordings():
    rate = statistics.rate_profile(EVENTS, OFFSETS, 5.0, 255.0)
    assert rate.shape == (2, 51)
    assert rate[1, 0] == 1.0 and rate[0, 0] == 0.5  # two ON, one OFF in two recordings
    assert rate[0, 21] == 0.5 and rate.sum() == 3.0


def test_intervals_are_within_a_pixel_of_a_recording():
    same, opposite = statistics.intervals(EVENTS, OFFSETS)
    assert same.sum() == 1 and opposite.sum() == 2
    edges = statistics.INTERVALS_MS
    assert same[np.searchsorted(edges, 2.2) - 1] == 1
    assert opposite[0] == 1  # 0.9 ms
    assert opposite[np.searchsorted(edges, 102.8) - 1] == 1


def test_map_correlation_knows_equal_from_opposite():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 9, (3, 34, 34))
    assert np.allclose(statistics.map_correlations(maps, maps), 1)
    assert np.allclose(statistics.map_correlations(maps, 5 - 2 * maps), -1)
    other = rng.integers(0, 9, (3, 34, 34))
    assert np.abs(statistics.map_correlations(maps, other)).max() < 0.15
