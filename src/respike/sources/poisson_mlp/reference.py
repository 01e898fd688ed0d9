"""`cpu` written plainly in NumPy float64, one image and one step at a time.

Source: poisson-mlp-report.md, Steps 2 and 3. Slow (about 30 ms per image); tests hold the fast path
against it, and the benchmark counts it as the document's own loop.
"""

import numpy as np


def forward(spikes, w1, w2, beta, v_thresh):
    """Return V1, s1, V2, s2 for one image, V before the reset.

    spikes (num_steps, n_in), w1 (n_in, n_hidden), w2 (n_out, n_hidden).
    """
    v1, v2 = np.zeros(w1.shape[1]), np.zeros(w2.shape[0])
    record = []
    for x in spikes:
        v1 = beta * v1 + x @ w1
        s1 = (v1 >= v_thresh).astype(float)
        v2 = beta * v2 + w2 @ s1
        s2 = (v2 >= v_thresh).astype(float)
        record.append((v1, s1, v2, s2))
        v1, v2 = v1 * (1 - s1), v2 * (1 - s2)
    return [np.array(one) for one in zip(*record, strict=True)]


def surrogate(v, v_thresh, alpha, clip):
    """Return the document's derivative with v - theta clipped to [-clip, clip]."""
    e = np.exp(-alpha * np.clip(v - v_thresh, -clip, clip))
    return alpha * e / (1 + e) ** 2


def gradients(spikes, label, w1, w2, beta, v_thresh, alpha, clip, target_rate, error):
    """Return the time-averaged gradients of W1 and W2 for one image."""
    v1, s1, v2, s2 = forward(spikes, w1, w2, beta, v_thresh)
    target = np.zeros(w2.shape[0])
    target[label] = target_rate
    grad1, grad2 = np.zeros_like(w1), np.zeros_like(w2)
    for t in range(len(spikes)):
        e = s2[t] - target if error == "per_step" else s2.mean(axis=0) - target
        d2 = e * surrogate(v2[t], v_thresh, alpha, clip)
        d1 = (w2.T @ d2) * surrogate(v1[t], v_thresh, alpha, clip)
        grad2 += np.outer(d2, s1[t])
        grad1 += np.outer(spikes[t], d1)
    return grad1 / len(spikes), grad2 / len(spikes)


def train_epoch(
    spikes, labels, order, w1, w2, beta, v_thresh, lr, alpha, surrogate_clip, grad_clip,
    target_rate, error, batch_size,
):  # fmt: skip
    """Train one epoch in place; spikes (n, num_steps, n_in), the rest as in the fast path."""
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        pairs = [
            gradients(
                spikes[i], labels[i], w1, w2, beta, v_thresh, alpha, surrogate_clip, target_rate,
                error,
            )
            for i in batch
        ]  # fmt: skip
        for w, grads in zip((w1, w2), zip(*pairs, strict=True), strict=True):
            w -= lr * np.clip(np.mean(grads, axis=0), -grad_clip, grad_clip)
