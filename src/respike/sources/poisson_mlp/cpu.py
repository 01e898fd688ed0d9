"""The from-scratch spiking network of the Poisson-coded MLP report: forward pass and local updates.

Source: poisson-mlp-report.md, Steps 2 and 3. No automatic differentiation and no gradient through
time: at every step the output error is multiplied by the surrogate derivatives of that step alone,

    x[t] -> V1[t] = beta V1[t-1] + W1 x[t] -> s1[t] -> V2[t] = beta V2[t-1] + W2 s1[t] -> s2[t]
    d2[t] = e[t] h(V2[t])      d1[t] = (W2^T d2[t]) h(V1[t])
    W2 -= lr clip(mean over t, batch of d2[t] s1[t]^T)      W1 likewise with d1[t] x[t]^T

h is the document's sigmoid derivative of sharpness alpha with v - theta clipped to [-10, 10]. A
neuron spikes at V >= theta and is reset to 0 within the step; h is taken before the reset. The
input product is event-driven (`respike.spiking.events`). `reference` is the same
network in plain NumPy; tests hold the two together.
"""

import math

import numpy as np

from respike.spiking.events import add_input, add_weight_grad
from respike.spiking.numba_cache import njit

ERRORS = ("per_step", "count")  # U6: which reading of the error, see the ledger
ARGUMENT_LIMIT = 10.0  # source, "Surrogate Gradient Overflow": clip(v - theta, -10, 10)


_LOG2_E = np.float32(1 / math.log(2))
_TERMS = tuple(np.float32(math.log(2) ** k / math.factorial(k)) for k in range(7))


@njit(cache=True)
def _surrogate(v, v_thresh, alpha, limit, h, exponent):
    """Set h = alpha e / (1 + e)^2 with e = exp(-alpha |clip(v - theta)|), one row of neurons.

    The derivative is even in v - theta; as printed, a negative argument would overflow float32 at
    alpha > 8.8 in spite of the clip (claim P1-f). exp(y) is 2^n 2^r, with n the nearest integer to
    y / ln 2 and the series of 2^r on [-1/2, 1/2] up to r^6 (relative error below 2e-7): a call of
    exp per neuron was a third of the training time. `exponent` int32 (n,) is working space.
    """
    one = np.float32(1.0)
    c0, c1, c2, c3, c4, c5, c6 = _TERMS
    for i in range(v.shape[0]):
        x = abs(min(max(v[i] - v_thresh, -limit), limit))
        y = max(-alpha * x * _LOG2_E, np.float32(-126.0))
        whole = np.floor(y + np.float32(0.5))
        r = y - whole
        h[i] = c0 + r * (c1 + r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * c6)))))
        exponent[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    power = exponent.view(np.float32)
    for i in range(v.shape[0]):
        e = h[i] * power[i]
        h[i] = alpha * e / ((one + e) * (one + e))


@njit(cache=True, fastmath={"reassoc", "nsz"})
def _dot(row, spk):
    """Return the sum of row over the spikes; the compiler may reorder it (and so vectorise)."""
    total = np.float32(0.0)
    for h in range(row.shape[0]):
        total += row[h] * spk[h]
    return total


@njit(cache=True)
def _forward(words, w1, w2, beta, v_thresh, v1, s1, v2, s2, base, listed, n_listed):
    """Run one sample; v1 and v2 get the potentials before reset, s1 and s2 the spikes.

    words uint64 (n_pixels, n_words), w1 float32 (n_pixels, n_hidden), w2 float32 (n_out, n_hidden),
    v1, s1 float32 (num_steps, n_hidden), v2, s2 float32 (num_steps, n_out).
    """
    num_steps, n_hidden = v1.shape
    n_out = w2.shape[0]
    base[:] = 0.0
    add_input(words, w1, base.copy(), v1, base, listed, n_listed)
    one, zero = np.float32(1.0), np.float32(0.0)
    for t in range(num_steps):
        v, s = v1[t], s1[t]
        out, out_s = v2[t], s2[t]
        if t > 0:
            v_before, s_before = v1[t - 1], s1[t - 1]
            for h in range(n_hidden):
                v[h] += beta * (one - s_before[h]) * v_before[h]
            out_before, out_s_before = v2[t - 1], s2[t - 1]
            for o in range(n_out):
                out[o] = beta * (one - out_s_before[o]) * out_before[o]
        else:
            out[:] = zero
        for h in range(n_hidden):
            s[h] = one if v[h] >= v_thresh else zero
        for o in range(n_out):
            out[o] += _dot(w2[o], s)
        for o in range(n_out):
            out_s[o] = one if out[o] >= v_thresh else zero


@njit(cache=True)
def _error(s2, label, target_rate, by_count, error):
    """Set error (num_steps, n_out): actual minus target spikes, a step or in the mean."""
    num_steps, n_out = s2.shape
    for o in range(n_out):
        target = target_rate if o == label else np.float32(0.0)
        count = np.float32(0.0)
        for t in range(num_steps):
            error[t, o] = s2[t, o] - target
            count += s2[t, o]
        if by_count:
            error[:, o] = count / num_steps - target


@njit(cache=True)
def _apply(weights, grad, touched, scale, lr, clip, stats):
    """Take one clipped step on the touched rows; stats: largest |gradient|, clipped, entries."""
    for r in range(grad.shape[0]):
        if not touched[r]:
            continue
        row, g = weights[r], grad[r]
        largest = np.float32(0.0)
        clipped = 0
        for c in range(g.shape[0]):
            g[c] *= scale
            largest = max(largest, abs(g[c]))
            clipped += abs(g[c]) > clip
        for c in range(g.shape[0]):
            row[c] -= lr * min(max(g[c], -clip), clip)
        stats[0] = max(stats[0], largest)
        stats[1] += clipped
        stats[2] += g.shape[0]


@njit(cache=True)
def _train_epoch(
    words, labels, order, w1, w2, beta, v_thresh, lr, alpha, limit, clip,
    target_rate, by_count, batch_size, num_steps,
):  # fmt: skip
    n_pixels, n_hidden = w1.shape
    n_out = w2.shape[0]
    v1 = np.empty((num_steps, n_hidden), np.float32)
    s1 = np.empty_like(v1)
    d1 = np.empty_like(v1)
    v2 = np.empty((num_steps, n_out), np.float32)
    s2 = np.empty_like(v2)
    d2 = np.empty_like(v2)
    base = np.empty(n_hidden, np.float32)
    total = np.empty(n_hidden, np.float32)
    listed = np.empty((64, n_pixels), np.int32)
    n_listed = np.empty(64, np.int64)
    grad1 = np.zeros_like(w1)
    grad2 = np.zeros_like(w2)
    unused_bias = np.zeros(n_hidden, np.float32)
    h1, exponent1 = np.empty(n_hidden, np.float32), np.empty(n_hidden, np.int32)
    h2, exponent2 = np.empty(n_out, np.float32), np.empty(n_out, np.int32)
    touched = np.zeros(n_pixels, np.bool_)  # rows that had a spike in this batch
    all_rows = np.ones(n_out, np.bool_)
    stats = np.zeros(3)
    correct = 0
    n = order.shape[0]
    for k in range(n):
        i = order[k]
        _forward(words[i], w1, w2, beta, v_thresh, v1, s1, v2, s2, base, listed, n_listed)
        correct += np.argmax(s2.sum(axis=0)) == labels[i]
        _error(s2, labels[i], target_rate, by_count, d2)
        for t in range(num_steps):
            _surrogate(v2[t], v_thresh, alpha, limit, h2, exponent2)
            for o in range(n_out):
                d2[t, o] *= h2[o]
            d1[t] = np.float32(0.0)
            for o in range(n_out):
                d, row, spk, out, grad = d2[t, o], w2[o], s1[t], d1[t], grad2[o]
                for h in range(n_hidden):
                    out[h] += d * row[h]
                for h in range(n_hidden):
                    grad[h] += d * spk[h]
            _surrogate(v1[t], v_thresh, alpha, limit, h1, exponent1)
            for h in range(n_hidden):
                d1[t, h] *= h1[h]
        add_weight_grad(words[i], d1, grad1, unused_bias, total, base)
        for p in range(n_pixels):
            for w in range(words.shape[2]):
                touched[p] |= words[i, p, w] != 0
        in_batch = k % batch_size + 1
        if in_batch == batch_size or k == n - 1:
            scale = np.float32(1.0 / (num_steps * in_batch))
            _apply(w1, grad1, touched, scale, lr, clip, stats)
            _apply(w2, grad2, all_rows, scale, lr, clip, stats)
            for p in range(n_pixels):
                if touched[p]:
                    grad1[p] = np.float32(0.0)
                    touched[p] = False
            grad2[:] = np.float32(0.0)
    return correct, stats[0], stats[1], stats[2]


@njit(cache=True)
def _spike_counts(words, w1, w2, beta, v_thresh, num_steps):
    n = words.shape[0]
    n_hidden, n_out = w1.shape[1], w2.shape[0]
    v1 = np.empty((num_steps, n_hidden), np.float32)
    s1 = np.empty_like(v1)
    v2 = np.empty((num_steps, n_out), np.float32)
    s2 = np.empty_like(v2)
    base = np.empty(n_hidden, np.float32)
    listed = np.empty((64, w1.shape[0]), np.int32)
    n_listed = np.empty(64, np.int64)
    counts = np.empty((n, n_out), np.int64)
    hidden = np.empty(n, np.int64)
    for i in range(n):
        _forward(words[i], w1, w2, beta, v_thresh, v1, s1, v2, s2, base, listed, n_listed)
        for o in range(n_out):
            counts[i, o] = int(s2[:, o].sum())
        hidden[i] = int(s1.sum())
    return counts, hidden


def initial_weights(n_in: int, n_hidden: int, n_out: int, w_std: float, seed: int):
    """Return W1 (n_in, n_hidden) and W2 (n_out, n_hidden), float32, normal with `w_std` (U2).

    W1 is kept transposed: the weights of one input are contiguous.
    """
    rng = np.random.default_rng([seed, 0])
    w1 = rng.normal(0, w_std, (n_in, n_hidden)).astype(np.float32)
    w2 = rng.normal(0, w_std, (n_out, n_hidden)).astype(np.float32)
    return w1, w2


def train_epoch(
    words, labels, order, w1, w2, beta, v_thresh, lr, alpha, surrogate_clip, grad_clip,
    target_rate, error, batch_size, num_steps,
):  # fmt: skip
    """Train one epoch in place.

    Parameters
    ----------
    words
        Encoded images, uint64 (n, n_pixels, n_words).
    labels, order
        int64 (n,); `order` is the sequence in which the images are shown.
    w1, w2
        float32 (n_pixels, n_hidden) and (n_out, n_hidden), changed in place.
    surrogate_clip, grad_clip
        None for no bound.
    error
        `per_step`: spike minus target at that step; `count`: mean over the steps of both.

    Returns
    -------
    correct answers during training, largest gradient entry, clipped entries, all entries.

    Raises
    ------
    ValueError
        On an unknown `error`.
    """
    if error not in ERRORS:
        raise ValueError(f"error: found {error!r}, allowed: {', '.join(ERRORS)}")
    f = np.float32
    bounds = [f(np.inf) if bound is None else f(bound) for bound in (surrogate_clip, grad_clip)]
    return _train_epoch(
        words, labels, order, w1, w2, f(beta), f(v_thresh), f(lr), f(alpha), *bounds,
        f(target_rate), error == "count", batch_size, num_steps,
    )  # fmt: skip


def spike_counts(words, w1, w2, beta, v_thresh, num_steps):
    """Return output spike counts int64 (n, n_out) and hidden spikes per image int64 (n,)."""
    return _spike_counts(words, w1, w2, np.float32(beta), np.float32(v_thresh), num_steps)


def trace_sample(words, w1, w2, beta, v_thresh, num_steps):
    """Return V1, s1 (num_steps, n_hidden) and V2, s2 (num_steps, n_out) of one image, float32.

    V is the potential before the reset. `words` uint64 (n_pixels, n_words).
    """
    v1 = np.empty((num_steps, w1.shape[1]), np.float32)
    v2 = np.empty((num_steps, w2.shape[0]), np.float32)
    s1, s2 = np.empty_like(v1), np.empty_like(v2)
    _forward(
        words, w1, w2, np.float32(beta), np.float32(v_thresh), v1, s1, v2, s2,
        np.empty(w1.shape[1], np.float32),
        np.empty((64, w1.shape[0]), np.int32), np.empty(64, np.int64),
    )  # fmt: skip
    return v1, s1, v2, s2
