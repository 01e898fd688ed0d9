"""NormAD: supervised training of the output weights of the Kulkarni network.

Source: the article that kulkarni-forward-paper.md re-implements, reference [6] (Kulkarni and
Rajendran, Neural Networks 103, 2018), and Anwani and Rajendran, IJCNN 2015, who define the rule:

    dw_ij = r sum over t of e_j(t) d_i(t) / ||d(t)||,    e = desired spike minus output spike,

with d the synaptic trace c(t) filtered by the leak of the membrane, d = c * exp(-t / tau_L), and
||d|| over all hidden neurons. Weights are in pA. The update of an image is applied after it.
What the abstract of [6] leaves open: choices U5 to U8 of the ledger.
"""

import math

import numpy as np

from respike.sources.kulkarni_forward.cpu import hidden_events, output_layer
from respike.sources.kulkarni_forward.modified_pass import features_of, modified_events
from respike.sources.kulkarni_forward.neuron import Constants
from respike.sources.kulkarni_forward.passes import table_numbers
from respike.sources.kulkarni_forward.reference import N_CLASSES
from respike.spiking.numba_cache import njit


def desired_train(c: Constants, period_ms: float) -> np.ndarray:
    """Return the train asked of the true class, uint8 (num_steps,): one spike every period."""
    period = round(period_ms / c.dt_ms)
    if period <= c.refrac_steps:
        raise ValueError(
            f"period_ms: found {period_ms}, allowed: above the refractory time {c.refrac_ms} ms"
        )
    train = np.zeros(c.num_steps, np.uint8)
    train[period - 1 :: period] = 1
    return train


@njit(cache=True)
def normad_update(spk_t, spk_n, n, spk, label, desired, weights, rate, decays, leak, where):
    """Change the weights, float64 (n_hidden, 10), by one image; return the number of errors.

    spk_t, spk_n: the n hidden spikes in order of time; spk uint8 (num_steps, 10): output spikes;
    decays: of the two synaptic states; leak: exp(-dt / tau_L); where: int64 (n_hidden,) scratch
    space, -1 everywhere before and after.
    """
    active = np.empty(min(n, len(weights)), np.int64)  # silent neurons have no trace: left out
    m = 0
    for k in range(n):
        if where[spk_n[k]] < 0:
            where[spk_n[k]] = m
            active[m] = spk_n[k]
            m += 1
    slow, fast, d = np.zeros(m), np.zeros(m), np.zeros(m)
    change = np.zeros((N_CLASSES, m))
    error = np.zeros(N_CLASSES)
    errors, k = 0, 0
    for t in range(len(desired)):
        for i in range(m):
            slow[i] *= decays[0]
            fast[i] *= decays[1]
        while k < n and spk_t[k] == t:
            slow[where[spk_n[k]]] += 1.0
            fast[where[spk_n[k]]] += 1.0
            k += 1
        wrong = 0
        for j in range(N_CLASSES):
            wanted = desired[t] if j == label else 0
            error[j] = float(wanted) - float(spk[t, j])
            wrong += error[j] != 0.0
        if wrong == 0:
            for i in range(m):
                d[i] = d[i] * leak + slow[i] - fast[i]
            continue
        errors += wrong
        square = 0.0
        for i in range(m):
            d[i] = d[i] * leak + slow[i] - fast[i]
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
def _train(
    images, labels, order, tables, n_filters, gain, weights, out, modified, edges, trains, desired,
    rate, leak, room,
):  # fmt: skip
    pixel_trains, filters, layer = tables
    gain_out, decays, inhibit = out
    num_steps = len(desired)
    spk_t, spk_n = np.empty(room, np.int32), np.empty(room, np.int32)
    spk = np.zeros((num_steps, N_CLASSES), np.uint8)
    where = np.full(len(weights), -1, np.int64)
    features = np.empty(len(weights))
    right, errors = 0, 0
    for i in order:
        if modified:
            features_of(images[i], filters, n_filters, features)
            n = modified_events(features, edges, trains, spk_t, spk_n, num_steps)
        else:
            n = hidden_events(
                images[i], pixel_trains, filters, n_filters, gain, layer, num_steps, spk_t, spk_n
            )
        output_layer(spk_t, spk_n, n, weights, gain_out, decays, inhibit, layer, num_steps, spk)
        right += spk.sum(axis=0).argmax() == labels[i]
        errors += normad_update(
            spk_t, spk_n, n, spk, labels[i], desired, weights, rate, decays, leak, where
        )
    return right, errors


def train_images(
    net, images, labels, order, desired, rate_pA: float, tau_leak_ms: float, table=None
):
    """Train the network's weights in place, one image after the other.

    net is a `kulkarni_pass.Network` with gain_out_pA 1 (weights in pA); images uint8 (n, 28, 28),
    order: indices of the images to train on. With `table` the hidden spikes are those of the
    modified pass.

    Returns
    -------
    Share of images that were right when they were shown, and mean number of errors in an image.
    """
    right, errors = _train(
        images.reshape(len(images), -1), labels, order, net.tables, len(net.filters), net.gain_pA,
        net.weights, net.output_numbers(), *table_numbers(table), desired, rate_pA,
        math.exp(-net.c.dt_ms / tau_leak_ms), net.most_spikes(),
    )  # fmt: skip
    return right / len(order), errors / len(order)


def quantise(weights: np.ndarray, bits: int) -> np.ndarray:
    """Return weights rounded to 2^bits levels, evenly spaced and symmetric about 0.

    The levels are (k + 1/2) s for 2^bits whole k; s is the one of 64 steps up to the largest weight
    that leaves the least mean cube of the error (U9): the few large weights decide, and the least
    square clips too many of them. No data are used.
    """
    half = 2 ** (bits - 1)
    best, best_error = weights, math.inf
    for k in range(1, 65):
        s = np.abs(weights).max() * k / 64 / half
        if s == 0:
            break
        rounded = (np.clip(np.floor(weights / s), -half, half - 1) + 0.5) * s
        error = float((np.abs(rounded - weights) ** 3).mean())
        if error < best_error:
            best, best_error = rounded, error
    return best
