"""Products of weights with spike trains whose cost follows the events, not the pixels.

Spike trains are bit masks (`respike.spiking.encoding`). A pixel that spikes at most of its steps is
taken as always on, and only its silent steps are visited: an MNIST image at rate coding has 102
spikes a step in the mean but 21 such exceptions. Sums are taken in a fixed order that does not
depend on the number of threads.
"""

import numpy as np

from respike.spiking.numba_cache import njit, uint64

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)  # its 64 windows of 6 bits all differ


def _bit_positions() -> np.ndarray:
    table = np.zeros(64, np.int64)
    for t in range(64):
        table[((int(_DE_BRUIJN) << t) & 0xFFFFFFFFFFFFFFFF) >> 58] = t
    return table


_POSITION = _bit_positions()


@njit(cache=True, inline="always")
def lowest_bit(word):
    """Return the position of the lowest set bit of a non-zero 64-bit word."""
    return _POSITION[((word & (~word + uint64(1))) * _DE_BRUIJN) >> uint64(58)]


@njit(cache=True, inline="always")
def count_bits(word):
    """Return how many bits of a 64-bit word are set."""
    word = word - ((word >> uint64(1)) & uint64(0x5555555555555555))
    word = (word & uint64(0x3333333333333333)) + ((word >> uint64(2)) & uint64(0x3333333333333333))
    word = (word + (word >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return (word * uint64(0x0101010101010101)) >> uint64(56)


@njit(cache=True)
def add_input(words, weights, bias, cur, base, listed, n_listed):
    """Set cur[t] to bias plus the sum of the weight rows of the pixels that spike at step t.

    words uint64 (n_pixels, n_words), weights float32 (n_pixels, n), bias float32 (n,),
    cur float32 (num_steps, n).
    Working space: base float32 (n,), listed int32 (64, n_pixels), n_listed int64 (64,).
    """
    num_steps, n = cur.shape
    for w in range(words.shape[1]):
        start = 64 * w
        steps = min(64, num_steps - start)
        lanes = ~uint64(0) >> uint64(64 - steps)
        base[:] = bias
        n_listed[:] = 0
        for i in range(words.shape[0]):
            word = words[i, w]
            if word == uint64(0):
                continue
            entry = i
            if uint64(2) * count_bits(word) > uint64(steps):
                row = weights[i]
                for h in range(n):
                    base[h] += row[h]
                word = ~word & lanes
                entry = ~i  # negative: subtract this row
            while word != uint64(0):
                t = lowest_bit(word)
                listed[t, n_listed[t]] = entry
                n_listed[t] += 1
                word &= word - uint64(1)
        for t in range(steps):
            out = cur[start + t]
            for h in range(n):
                out[h] = base[h]
            for e in range(n_listed[t]):
                i = listed[t, e]
                if i >= 0:
                    row = weights[i]
                    for h in range(n):
                        out[h] += row[h]
                else:
                    row = weights[~i]
                    for h in range(n):
                        out[h] -= row[h]


@njit(cache=True)
def add_weight_grad(words, delta, grad, grad_bias, total, row_sum):
    """Add to grad[i] the sum of delta[t] over the steps t at which pixel i spikes.

    grad_bias gets the sum over all steps. words uint64 (n_pixels, n_words), delta float32
    (num_steps, n), grad float32 (n_pixels, n), grad_bias float32 (n,); total and row_sum
    float32 (n,) are working space.
    """
    num_steps, n = delta.shape
    for w in range(words.shape[1]):
        start = 64 * w
        steps = min(64, num_steps - start)
        lanes = ~uint64(0) >> uint64(64 - steps)
        total[:] = 0.0
        for t in range(start, start + steps):
            for h in range(n):
                total[h] += delta[t, h]
        for h in range(n):
            grad_bias[h] += total[h]
        for i in range(words.shape[0]):
            word = words[i, w]
            if word == uint64(0):
                continue
            often = uint64(2) * count_bits(word) > uint64(steps)
            if often:
                word = ~word & lanes
            row_sum[:] = 0.0
            while word != uint64(0):
                d = delta[start + lowest_bit(word)]
                for h in range(n):
                    row_sum[h] += d[h]
                word &= word - uint64(1)
            out = grad[i]
            if often:
                for h in range(n):
                    out[h] += total[h] - row_sum[h]
            else:
                for h in range(n):
                    out[h] += row_sum[h]
