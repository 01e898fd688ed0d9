"""What is compared between recordings: counts, places, times and intervals of events.

Functions take packed events (see respike.data.nmnist.binary_format) and offsets (n + 1,).
"""

import numpy as np

from respike.data.nmnist.binary_format import SIZE

SACCADES_MS = (0, 105, 210, 10_000)  # as tonic's `stabilize` divides a recording
INTERVALS_MS = np.array([0, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 400])


def recording_of(offsets: np.ndarray) -> np.ndarray:
    """Return the number of the recording that each event belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def maps(events: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return events per recording, polarity and pixel, (n, 2, 34, 34) int64."""
    n = len(offsets) - 1
    cell = recording_of(offsets) * 8192 + (events & 8191)
    counts = np.bincount(cell, minlength=n * 8192).reshape(n, 2, 64, 64)
    return counts[:, :, :SIZE, :SIZE]


def pixel_counts(events: np.ndarray) -> np.ndarray:
    """Return events per polarity and pixel over all recordings, (2, 34, 34) int64."""
    return maps(events, np.array([0, len(events)]))[0]


def saccade_counts(events: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return events per recording and saccade, (n, 3) int64."""
    saccade = np.digitize(events >> 13, np.array(SACCADES_MS[1:3]) * 1000)
    cell = recording_of(offsets) * 3 + saccade
    return np.bincount(cell, minlength=3 * (len(offsets) - 1)).reshape(-1, 3)


def rate_profile(events: np.ndarray, offsets: np.ndarray, bin_ms: float, end_ms: float):
    """Return mean events per recording, polarity (OFF, ON) and time bin, (2, bins)."""
    edges = np.arange(0, end_ms + bin_ms / 2, bin_ms)
    t, on = (events >> 13) / 1000, (events >> 12 & 1).astype(bool)
    counts = np.stack([np.histogram(t[m], edges)[0] for m in (~on, on)])
    return counts / (len(offsets) - 1)


def map_correlations(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the correlation of two maps (n, 34, 34) for each recording, (n,)."""
    a, b = (m.reshape(len(m), -1).astype(float) for m in (ours, theirs))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))


def intervals(events: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return how many intervals within a pixel fall into INTERVALS_MS, (2, bins).

    First between events of the same polarity, then of opposite ones.
    """
    place = recording_of(offsets) * 4096 + (events & 4095)
    order = np.argsort(place, kind="stable")
    place, t, p = place[order], (events >> 13)[order] / 1000, (events >> 12 & 1)[order]
    within = place[1:] == place[:-1]
    gap, same = np.diff(t)[within], (p[1:] == p[:-1])[within]
    return np.stack([np.histogram(gap[m], INTERVALS_MS)[0] for m in (same, ~same)])
