"""Whole passes of the Kulkarni network over many images: original, modified, and both compared.

Source: kulkarni-forward-paper.md, Sections VII and VIII. Images run side by side on the threads;
each needs only its own events, so 10,000 images take no more memory than one per thread, beside the
results.
"""

from dataclasses import dataclass, field

import numpy as np

from respike.sources.kulkarni_forward.cpu import (
    hidden_events,
    input_trains,
    layer,
    output_layer,
    padded,
    synapse_decays,
)
from respike.sources.kulkarni_forward.modified_pass import (
    ModifiedTable,
    features_of,
    modified_events,
    modified_table,
)
from respike.sources.kulkarni_forward.neuron import Constants, Variant
from respike.sources.kulkarni_forward.reference import MAP, N_CLASSES, check_images
from respike.spiking.numba_cache import njit, prange

NEAR_STEPS = 10  # two spikes within 1 ms of each other are taken for the same one


@dataclass(frozen=True)
class Network:
    """The network with everything that a pass needs; builds the tables of the fast path once."""

    c: Constants
    variant: Variant
    filters: np.ndarray  # float64 (n_filters, 3, 3)
    gain_pA: float  # per unit of the convolution of spikes
    weights: np.ndarray  # float64 (n_hidden, 10), one row per hidden neuron
    gain_out_pA: float  # per unit of weight
    inhibit_pA: float = 0.0  # lateral inhibition of the output layer
    tables: tuple = field(init=False)

    def __post_init__(self):
        n = len(self.filters) * MAP * MAP
        if self.weights.shape != (n, N_CLASSES):
            raise ValueError(
                f"weights: found shape {self.weights.shape}, allowed: ({n}, {N_CLASSES})"
            )
        for name in ("weights", "gain_pA", "gain_out_pA", "inhibit_pA"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name}: found NaN or infinity; check what trained it")
        trains = input_trains(self.c, self.variant)
        tables = (
            (trains.offsets, trains.times),
            padded(self.filters),
            layer(self.c, self.variant).numbers(),
        )
        object.__setattr__(self, "tables", tables)

    def most_spikes(self) -> int:
        """Return a bound of the hidden spikes of one image."""
        per_neuron = self.c.num_steps // max(1, self.c.refrac_steps) + 2
        return min(per_neuron, self.c.num_steps) * len(self.weights)

    def table(self, gain_pA: float, decay: float) -> ModifiedTable:
        """Return the look-up table of the modified pass for these filters."""
        largest = float(np.maximum(self.filters, 0).sum(axis=(1, 2)).max())
        return modified_table(self.c, self.variant, gain_pA, decay, max(largest, 1e-300))

    def output_numbers(self) -> tuple:
        """Return what `output_layer` takes after the weights, but for the layer."""
        return (self.gain_out_pA, synapse_decays(self.c), self.inhibit_pA)


def table_numbers(table: ModifiedTable | None) -> tuple:
    """Return (modified pass or not, edges, trains) as the kernels take them."""
    if table is None:
        return False, np.zeros(0), (np.zeros(2, np.int64), np.zeros(0, np.int32))
    return True, table.edges, (table.trains.offsets, table.trains.times)


@njit(parallel=True, cache=True)
def _pass(
    images, tables, n_filters, gain, weights, out, modified, edges, trains, room, hidden, counts
):
    pixel_trains, filters, layer = tables
    gain_out, decays, inhibit = out
    num_steps = len(layer[0]) - 1
    for i in prange(len(images)):
        spk_t, spk_n = np.empty(room, np.int32), np.empty(room, np.int32)
        spk = np.zeros((num_steps, N_CLASSES), np.uint8)
        if modified:
            features = np.empty(hidden.shape[1])
            features_of(images[i], filters, n_filters, features)
            n = modified_events(features, edges, trains, spk_t, spk_n, num_steps)
        else:
            n = hidden_events(
                images[i], pixel_trains, filters, n_filters, gain, layer, num_steps, spk_t, spk_n
            )
        for k in range(n):
            hidden[i, spk_n[k]] += 1
        for w in range(len(weights)):
            output_layer(
                spk_t, spk_n, n, weights[w], gain_out, decays, inhibit, layer, num_steps, spk
            )
            for t in range(num_steps):
                for j in range(N_CLASSES):
                    counts[w, i, j] += spk[t, j]


def run(
    net: Network,
    images: np.ndarray,
    table: ModifiedTable | None = None,
    weights: np.ndarray | None = None,
):
    """Return spike counts of the hidden layer and of the outputs for every image.

    The first is uint16 (n, n_hidden), the second int64 (n, 10); images uint8 (n, 28, 28). With
    `table` the modified pass of Section VIII runs. With `weights` (k, n_hidden, 10) these stand in
    for the network's own, the second is (k, n, 10) and the hidden layer is passed once for all; k
    may be 0. Raises ValueError for images of another size.
    """
    flat = check_images(images).reshape(len(images), -1)
    sets = net.weights[None] if weights is None else np.ascontiguousarray(weights)
    hidden = np.zeros((len(images), len(net.weights)), np.uint16)
    counts = np.zeros((len(sets), len(images), N_CLASSES), np.int64)
    _pass(
        flat, net.tables, len(net.filters), net.gain_pA, sets, net.output_numbers(),
        *table_numbers(table), net.most_spikes(), hidden, counts,
    )  # fmt: skip
    return hidden, counts[0] if weights is None else counts


@njit(cache=True)
def _by_neuron(spk_t, spk_n, n, start, times):
    """Sort events by neuron: those of neuron i are times[start[i]:start[i + 1]], rising."""
    start[:] = 0
    for k in range(n):
        start[spk_n[k] + 1] += 1
    for i in range(len(start) - 1):
        start[i + 1] += start[i]
    at = start[:-1].copy()
    for k in range(n):
        times[at[spk_n[k]]] = spk_t[k]
        at[spk_n[k]] += 1


@njit(cache=True)
def matches(a, b, near):
    """Return how many spikes of a and b, rising times, pair up within `near` steps, one to one."""
    found, i, j = 0, 0, 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= near:
            found += 1
            i += 1
            j += 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return found


@njit(parallel=True, cache=True)
def _timing(images, tables, n_filters, gain, edges, trains, room, near, out):
    pixel_trains, filters, layer = tables
    num_steps = len(layer[0]) - 1
    n_hidden = n_filters * MAP * MAP
    for i in prange(len(images)):
        spk_t, spk_n = np.empty(room, np.int32), np.empty(room, np.int32)
        start_a, times_a = np.empty(n_hidden + 1, np.int64), np.empty(room, np.int32)
        start_b, times_b = np.empty(n_hidden + 1, np.int64), np.empty(room, np.int32)
        n = hidden_events(
            images[i], pixel_trains, filters, n_filters, gain, layer, num_steps, spk_t, spk_n
        )
        _by_neuron(spk_t, spk_n, n, start_a, times_a)
        features = np.empty(n_hidden)
        features_of(images[i], filters, n_filters, features)
        n = modified_events(features, edges, trains, spk_t, spk_n, num_steps)
        _by_neuron(spk_t, spk_n, n, start_b, times_b)
        paired, latency, both = 0, 0.0, 0
        for k in range(n_hidden):
            a = times_a[start_a[k] : start_a[k + 1]]
            b = times_b[start_b[k] : start_b[k + 1]]
            if len(a) > 0 and len(b) > 0:
                paired += matches(a, b, near)
                latency += abs(a[0] - b[0])
                both += 1
        spikes = start_a[n_hidden] + start_b[n_hidden]
        out[i, 0] = 2 * paired / spikes if spikes else np.nan
        out[i, 1] = latency / both if both else np.nan


def timing(net: Network, images: np.ndarray, table: ModifiedTable) -> np.ndarray:
    """Return how well the hidden trains of both passes agree in time, float64 (n, 2), per image.

    Column 0: share of all spikes that have a partner within `NEAR_STEPS` in the other pass's train
    of the same neuron. Column 1: mean difference of the first spikes, in steps, over the neurons
    that fire in both. NaN where nothing fires.
    """
    flat = check_images(images).reshape(len(images), -1)
    out = np.zeros((len(images), 2))
    _timing(
        flat, net.tables, len(net.filters), net.gain_pA, *table_numbers(table)[1:],
        net.most_spikes(), NEAR_STEPS, out,
    )  # fmt: skip
    return out
