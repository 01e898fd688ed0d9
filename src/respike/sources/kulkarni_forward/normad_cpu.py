"""Fast path of `normad`: the same training, by events.

Source: the rule is that of `normad`. Two facts make it fast:

- The filters are fixed, so an image has the same hidden spikes in every epoch: they are kept.
- Between two input spikes a neuron's synaptic states and trace d only relax, and the rule reads d
  only in a step with an output error. A neuron is brought up to date at its spikes and at errors,
  over any number of steps at once, not in each of 1000 steps.

Equal to the plain path within rounding: the jumps are powers of a step's factors
(tests/unit/test_kulkarni_normad.py).
"""

import math
from dataclasses import dataclass

import numpy as np

from respike.sources.kulkarni_forward.cpu import hidden_events, output_layer
from respike.sources.kulkarni_forward.modified_pass import (
    ModifiedTable,
    features_of,
    modified_events,
)
from respike.sources.kulkarni_forward.neuron import Constants
from respike.sources.kulkarni_forward.passes import Network, table_numbers
from respike.sources.kulkarni_forward.reference import N_CLASSES, check_images
from respike.spiking.numba_cache import njit


@dataclass(frozen=True)
class HiddenSpikes:
    """Hidden spikes of some images, two arrays for each; 2 bytes a spike, 2 kB an image.

    neurons: uint16 numbers of the hidden neurons that fire, in order of time; counts: uint16
    (num_steps,), how many fire in each step.
    """

    neurons: list[np.ndarray]
    counts: list[np.ndarray]


@njit(cache=True)
def _hidden(image, tables, n_filters, gain, modified, edges, trains, features, spk_t, spk_n):
    pixel_trains, filters, layer = tables
    num_steps = len(layer[0]) - 1
    if modified:
        features_of(image, filters, n_filters, features)
        return modified_events(features, edges, trains, spk_t, spk_n, num_steps)
    return hidden_events(
        image, pixel_trains, filters, n_filters, gain, layer, num_steps, spk_t, spk_n
    )


def hidden_spikes(net: Network, images: np.ndarray, table: ModifiedTable | None = None):
    """Return the `HiddenSpikes` of images uint8 (n, 28, 28); with `table`, of the modified pass.

    Raises ValueError for images of another size.
    """
    room = net.most_spikes()
    spk_t, spk_n = np.empty(room, np.int32), np.empty(room, np.int32)
    features = np.empty(len(net.weights))
    found = HiddenSpikes([], [])
    for image in check_images(images).reshape(len(images), -1):
        n = _hidden(
            image, net.tables, len(net.filters), net.gain_pA, *table_numbers(table), features,
            spk_t, spk_n,
        )  # fmt: skip
        found.neurons.append(spk_n[:n].astype(np.uint16))  # of 8112
        counts = np.bincount(spk_t[:n], minlength=net.c.num_steps)
        found.counts.append(counts.astype(np.uint16))
    return found


def jumps(c: Constants, decays: tuple[float, float], leak: float) -> np.ndarray:
    """Return what n steps without input do to (slow, fast, d), float64 (num_steps + 1, 5).

    Row n: the shares of slow, fast and d that are left, and what 1 in slow and in fast adds to d.
    A step is slow *= decays[0], fast *= decays[1], d = d leak + slow - fast.
    """
    rows = np.zeros((c.num_steps + 1, 5))
    rows[0, :3] = 1.0
    for n in range(1, len(rows)):
        before = rows[n - 1]
        rows[n, 0] = before[0] * decays[0]
        rows[n, 1] = before[1] * decays[1]
        rows[n, 2] = before[2] * leak
        rows[n, 3] = before[3] * leak + rows[n, 0]
        rows[n, 4] = before[4] * leak + rows[n, 1]
    return rows


@njit(cache=True)
def _update(spk_t, spk_n, spk, label, desired, weights, rate, jump, where):
    """Change the weights by one image as `normad.normad_update` does; return the errors."""
    n = len(spk_t)
    active = np.empty(min(n, len(weights)), np.int64)
    m = 0
    for k in range(n):
        if where[spk_n[k]] < 0:
            where[spk_n[k]] = m
            active[m] = spk_n[k]
            m += 1
    slow, fast, d = np.zeros(m), np.zeros(m), np.zeros(m)
    last = np.zeros(m, np.int64)  # step of the last jump; all is 0 before the first spike
    change = np.zeros((N_CLASSES, m))
    error = np.zeros(N_CLASSES)
    errors, k = 0, 0
    for t in range(len(desired)):
        while k < n and spk_t[k] == t:
            i = where[spk_n[k]]
            row = jump[t - last[i]]
            d[i] = d[i] * row[2] + slow[i] * row[3] - fast[i] * row[4]
            slow[i] = slow[i] * row[0] + 1.0  # a spike adds the same to both: d stays
            fast[i] = fast[i] * row[1] + 1.0
            last[i] = t
            k += 1
        wrong = 0
        for j in range(N_CLASSES):
            wanted = desired[t] if j == label else 0
            error[j] = float(wanted) - float(spk[t, j])
            wrong += error[j] != 0.0
        if wrong == 0:
            continue
        errors += wrong
        square = 0.0
        for i in range(m):
            row = jump[t - last[i]]
            d[i] = d[i] * row[2] + slow[i] * row[3] - fast[i] * row[4]
            slow[i] *= row[0]
            fast[i] *= row[1]
            last[i] = t
            square += d[i] * d[i]
        if square > 0.0:
            for j in range(N_CLASSES):
                if error[j] != 0.0:
                    q = rate * error[j] / math.sqrt(square)
                    for i in range(m):
                        change[j, i] += q * d[i]
    for i in range(m):
        where[active[i]] = -1
        for j in range(N_CLASSES):
            weights[active[i], j] += change[j, i]
    return errors


@njit(cache=True)
def _learn(neurons, counts, label, weights, out, layer, desired, rate, jump, where, spk):
    gain_out, decays, inhibit = out
    spk_t = np.repeat(np.arange(len(counts)), counts)
    output_layer(
        spk_t, neurons, len(spk_t), weights, gain_out, decays, inhibit, layer, len(desired), spk
    )
    right = spk.sum(axis=0).argmax() == label
    return right, _update(spk_t, neurons, spk, label, desired, weights, rate, jump, where)


def train_on(
    net: Network, spikes: HiddenSpikes, labels, order, desired, rate_pA: float, tau_leak_ms: float
) -> tuple[float, float]:
    """Train the network's weights in place, as `normad.train_images` does, on kept hidden spikes.

    order: indices into `spikes` and labels of the images to train on, one after the other.

    Returns
    -------
    Share of images that were right when they were shown, and mean number of errors in an image.
    """
    out, layer = net.output_numbers(), net.tables[2]
    jump = jumps(net.c, out[1], math.exp(-net.c.dt_ms / tau_leak_ms))
    where = np.full(len(net.weights), -1, np.int64)
    spk = np.zeros((len(desired), N_CLASSES), np.uint8)
    right, errors = 0, 0
    for i in order:
        found = _learn(
            spikes.neurons[i], spikes.counts[i], labels[i], net.weights, out, layer, desired,
            rate_pA, jump, where, spk,
        )  # fmt: skip
        right += found[0]
        errors += found[1]
    return right / len(order), errors / len(order)
