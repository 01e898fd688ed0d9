"""Poisson input: at every step a pixel fires with its rate times the step.

Gaps between spikes are geometric numbers; each draw is a hash of (key, presentation, pixel, draw),
so that trains depend on nothing else. Trains are event lists: the pixels that fire at step t are
`pixels[start[t]:start[t + 1]]`, ascending.
"""

import math

import numpy as np

from respike.sources.diehl_cook_2015.model import N_PIXELS, Parameters, rate, steps
from respike.spiking.numba_cache import njit, uint64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # increment of splitmix64 (Steele et al., 2014)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@njit(cache=True, inline="always")
def mixed(x):
    """Return the splitmix64 hash of a 64-bit counter."""
    x = (x ^ (x >> uint64(30))) * _MIX_1
    x = (x ^ (x >> uint64(27))) * _MIX_2
    return x ^ (x >> uint64(31))


@njit(cache=True, inline="always")
def uniform(stream, k):
    """Return draw k of a stream, float64 in [0, 1)."""
    return (mixed(stream + uint64(k + 1) * _GOLDEN) >> uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def draw(key, step):
    """Return the draw of one step, float64 in [0, 1)."""
    return uniform(mixed(uint64(key) + uint64(step)), 0)


@njit(cache=True)
def poisson(image, per_step, key, number, start, pixels, t_of, p_of):
    """Write the train of presentation `number` of an image uint8 (784,); return its spikes.

    A pixel fires at a step with `per_step` times its value. start int64 (num_steps + 1,) and
    pixels int16 (784 * num_steps,) take the train; t_of and p_of are work space as pixels.
    """
    num_steps = len(start) - 1
    n = 0
    for i in range(N_PIXELS):
        if image[i] == 0:
            continue
        stream = mixed(key + (uint64(number) * uint64(N_PIXELS) + uint64(i)) * _GOLDEN)
        scale = 1.0 / math.log1p(-per_step * image[i])
        at, k = -1, 0
        while True:
            gap = math.log(1.0 - uniform(stream, k)) * scale
            k += 1
            if gap >= num_steps - 1 - at:
                break
            at += 1 + int(gap)
            t_of[n] = at
            p_of[n] = i
            n += 1
    start[:] = 0
    for k in range(n):
        start[t_of[k] + 1] += 1
    for t in range(num_steps):
        start[t + 1] += start[t]
    for k in range(n):
        t = t_of[k]
        pixels[start[t]] = p_of[k]
        start[t] += 1
    for t in range(num_steps, 0, -1):  # each start has moved on to the next one's place
        start[t] = start[t - 1]
    start[0] = 0
    return n


def encode(image, intensity: float, key, number: int, p: Parameters):
    """Return start int64 (num_steps + 1,) and pixels int16 (spikes,) of one presentation."""
    num_steps = steps(p.present_ms, p)
    start = np.zeros(num_steps + 1, np.int64)
    pixels, t_of, p_of = (np.empty(N_PIXELS * num_steps, np.int16) for _ in range(3))
    n = poisson(
        np.ascontiguousarray(image), rate(1, intensity, p), np.uint64(key), number, start, pixels,
        t_of, p_of,
    )  # fmt: skip
    return start, pixels[:n]
