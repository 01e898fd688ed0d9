"""The modified pass of the Kulkarni network by look-up.

Source: kulkarni-forward-paper.md, Section VIII: the image is convolved once, and each value k of
the feature map drives its neuron by k e^{-t / tau1}. A larger k never means a later next spike, so
the possible trains are constant on intervals of k, found once by bisection.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from respike.sources.kulkarni_forward.cpu import LANES, POSITIONS, Trains
from respike.sources.kulkarni_forward.neuron import Constants, Variant, current_to_spikes
from respike.sources.kulkarni_forward.reference import FIELD, MAP, SIDE
from respike.spiking.numba_cache import njit


@dataclass(frozen=True)
class ModifiedTable:
    """Every train that a current k decay^t can cause: k in [edges[i-1], edges[i]) gives train i."""

    edges: np.ndarray  # float64 (n - 1,), rising
    trains: Trains  # n


def modified_table(
    c: Constants, variant: Variant, gain_pA: float, decay: float, largest: float
) -> ModifiedTable:
    """Return the table for features up to `largest`, exact to the last bit of k.

    Why intervals: given the same spikes so far, u is k times a fixed function of time from the last
    reset on, so a larger k reaches the threshold no later. By induction all k with one train lie
    together, and two k of one train have nothing else between them. The first neuron of the layer
    is no exception: `holds_first` matters only where its input is not dark.
    """
    drive = gain_pA * decay ** np.arange(c.num_steps)

    alone = dataclasses.replace(variant, holds_first=False)  # feels nothing of the others

    def trains_of(k: np.ndarray) -> np.ndarray:
        return current_to_spikes(drive[:, None] * k, c, alone)

    # Positive doubles sort like their bits: halving bits finds each edge in at most 63 rounds.
    low, high = np.float64(0.0).view(np.int64), np.float64(largest).view(np.int64)
    bits = np.array([low, high])
    packed = np.packbits(trains_of(bits.view(np.float64)), axis=0).T
    while True:
        differ = (packed[1:] != packed[:-1]).any(axis=1) & (np.diff(bits) > 1)
        if not differ.any():
            break
        middle = (bits[:-1] + np.diff(bits) // 2)[differ]
        more = np.packbits(trains_of(middle.view(np.float64)), axis=0).T
        bits = np.concatenate([bits, middle])
        packed = np.concatenate([packed, more])
        order = np.argsort(bits)
        bits, packed = bits[order], packed[order]
        # Of a run of equal trains only the two ends matter.
        same = (packed[1:] == packed[:-1]).all(axis=1)
        inner = np.zeros(len(bits), bool)
        inner[1:-1] = same[1:] & same[:-1]
        bits, packed = bits[~inner], packed[~inner]
    new = np.append(True, (packed[1:] != packed[:-1]).any(axis=1))
    spk = np.unpackbits(packed[new].T, axis=0)[: c.num_steps].astype(bool)
    return ModifiedTable(bits.view(np.float64)[new][1:], Trains.of(spk))


@njit(cache=True)
def features_of(image, filters, n_filters, out):
    """Write the feature map of one image (784,) in [0, 1] units of pixels to out (n * 676,)."""
    row = np.empty(LANES)
    for q in range(POSITIONS):
        y, x = q // MAP, q % MAP
        row[:] = 0.0
        for dy in range(FIELD):
            for dx in range(FIELD):
                value = image[(y + dy) * SIDE + x + dx] / 255.0
                if value != 0.0:
                    for f in range(LANES):
                        row[f] += filters[dy, dx, f] * value
        for f in range(n_filters):
            out[f * POSITIONS + q] = row[f]


@njit(cache=True)
def modified_events(features, edges, trains, spk_t, spk_n, num_steps):
    """Write the hidden spikes of the modified pass in order of time; return how many.

    features float64 (n,); edges, trains from `ModifiedTable`.
    """
    offsets, times = trains
    train = np.searchsorted(edges, features, side="right")
    start = np.zeros(num_steps + 1, np.int64)
    for k in train:
        for j in range(offsets[k], offsets[k + 1]):
            start[times[j] + 1] += 1
    for t in range(num_steps):
        start[t + 1] += start[t]
    n = start[num_steps]
    for i in range(len(train)):
        for j in range(offsets[train[i]], offsets[train[i] + 1]):
            t = times[j]
            spk_t[start[t]] = t
            spk_n[start[t]] = i
            start[t] += 1
    return n
