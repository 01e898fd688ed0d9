"""Event-driven products equal the dense ones.

Weights and gradients are small multiples of 2^-10: their float32 sums are exact in any order, so
the comparison is exact.
"""

import numpy as np
import pytest

from respike.spiking.encoding import n_words
from respike.spiking.events import add_input, add_weight_grad, count_bits, lowest_bit

N = 17


def dyadic(rng, *shape):
    return (rng.integers(-64, 65, shape) / 1024).astype(np.float32)


def pack(spikes):
    """Return spikes (num_steps, n_pixels) as words (n_pixels, n_words)."""
    words = np.zeros((spikes.shape[1], n_words(len(spikes))), np.uint64)
    for t, row in enumerate(spikes):
        words[:, t // 64] |= row.astype(np.uint64) << np.uint64(t % 64)
    return words


def train(rng, num_steps, rates):
    return (rng.random((num_steps, len(rates))) < rates).astype(np.uint8)


RATES = {
    "silent": np.zeros(60),
    "sparse": np.full(60, 0.02),
    "half": np.full(60, 0.5),
    "dense": np.full(60, 0.95),
    "always": np.ones(60),
    "mixed": np.linspace(0, 1, 60),
}
cases = pytest.mark.parametrize("num_steps", [1, 2, 50, 63, 64, 65, 100, 130])
rates = pytest.mark.parametrize("rate", RATES)


@cases
@rates
def test_input_is_the_dense_product(rate, num_steps):
    rng = np.random.default_rng(num_steps)
    spikes = train(rng, num_steps, RATES[rate])
    weights, bias = dyadic(rng, 60, N), dyadic(rng, N)
    cur = np.full((num_steps, N), np.nan, np.float32)
    # Working space is dirty on purpose.
    base, listed = np.full(N, np.nan, np.float32), np.full((64, 60), -7, np.int32)
    add_input(pack(spikes), weights, bias, cur, base, listed, np.full(64, 99))
    assert np.array_equal(cur, spikes.astype(np.float32) @ weights + bias)


@cases
@rates
def test_weight_gradient_is_the_dense_product(rate, num_steps):
    rng = np.random.default_rng(num_steps)
    spikes = train(rng, num_steps, RATES[rate])
    delta, grad, grad_bias = dyadic(rng, num_steps, N), dyadic(rng, 60, N), dyadic(rng, N)
    wanted = grad + spikes.T.astype(np.float32) @ delta
    wanted_bias = grad_bias + delta.sum(axis=0)
    total, row_sum = np.full((2, N), np.nan, np.float32)
    add_weight_grad(pack(spikes), delta, grad, grad_bias, total, row_sum)
    assert np.array_equal(grad, wanted)
    assert np.array_equal(grad_bias, wanted_bias)


def test_bits():
    for t in range(64):
        above = np.uint64((0xA5A5A5A5A5A5A5A5 << (t + 1)) & 0xFFFFFFFFFFFFFFFF)
        assert lowest_bit(np.uint64(1 << t) | above) == t
    rng = np.random.default_rng(0)
    for word in [0, 1, 2**64 - 1, *rng.integers(0, 2**63, 50).tolist()]:
        assert count_bits(np.uint64(word)) == word.bit_count()
