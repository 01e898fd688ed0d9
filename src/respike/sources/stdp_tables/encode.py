"""The document's encoders: images into spike trains, as BindsNET 0.3.4 encodes them.

poisson: intervals between spikes are Poisson numbers of mean 1000 / (intensity in Hz), 0 taken as
1. bernoulli: a pixel fires at each step with its intensity over that of the brightest one.
rank_order: one spike per pixel, at a time proportional to 1 / intensity such that the faintest
pixel's falls on the last step, which BindsNET leaves out.

Poisson and Bernoulli trains have BindsNET's distribution; each draw is a hash of (key, image,
pixel, draw), so trains do not depend on batches. Rank order is BindsNET's own, bit by bit. Images
without ink give no spikes (BindsNET divides by their maximum, 0). Trains are event lists: the
pixels of one image that fire at step t are `pixels[start[b, t]:start[b, t + 1]]`, ascending.
"""

import functools
from dataclasses import dataclass

import numpy as np

from respike.sources.stdp_tables.model import ENCODERS, N_PIXELS, StdpError
from respike.spiking.numba_cache import njit, uint64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # increment of splitmix64 (Steele et al., 2014)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
GUIDE = 1024  # entries of the table that says where a search starts


@dataclass(frozen=True)
class Events:
    """Spike trains of a batch of images."""

    start: np.ndarray  # int64 (batch, num_steps + 1), into pixels
    pixels: np.ndarray  # int16 (spikes,)

    @property
    def num_steps(self) -> int:
        """Steps of a presentation."""
        return self.start.shape[1] - 1

    def counts(self) -> np.ndarray:
        """Return the spikes of each image, int64 (batch,)."""
        return self.start[:, -1] - self.start[:, 0]

    def dense(self) -> np.ndarray:
        """Return the trains as uint8 (num_steps, batch, 784)."""
        batch, steps = len(self.start), self.num_steps
        spk = np.zeros((steps, batch, N_PIXELS), np.uint8)
        per_step = np.diff(self.start, axis=1).ravel()
        b, t = np.divmod(np.repeat(np.arange(batch * steps), per_step), steps)
        spk[t, b, self.pixels] = 1
        return spk

    @classmethod
    def of(cls, spk: np.ndarray) -> "Events":
        """Return the event lists of trains (num_steps, batch, 784)."""
        steps, batch = spk.shape[:2]
        counts = np.count_nonzero(spk, axis=2).T  # (batch, num_steps)
        ends = counts.ravel().cumsum().reshape(batch, steps)
        start = np.concatenate([ends[:, -1:] - counts.sum(axis=1, keepdims=True), ends], axis=1)
        pixels = np.nonzero(spk.transpose(1, 0, 2))[2].astype(np.int16)
        return cls(start.astype(np.int64), pixels)


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


def intensities(intensity: float) -> np.ndarray:
    """Return what the 256 pixel values become before encoding, float32, as the authors' code.

    `ToTensor` divides by 255, then the image is multiplied by the maximum intensity.
    """
    return np.arange(256, dtype=np.float32) / np.float32(255) * np.float32(intensity)


@functools.cache
def _interval_table(num_steps: int, intensity: float):
    """Return P(interval <= k) for k = 0..num_steps of each pixel value, and where to search."""
    from scipy import special

    rate = np.zeros(256)
    # 1 / datum * (1000 / dt), in float32 as BindsNET computes it.
    rate[1:] = np.float32(1) / intensities(intensity)[1:] * np.float32(1000)
    k = np.arange(num_steps + 1)
    cdf = np.zeros((256, num_steps + 1))
    cdf[1:] = special.pdtr(k, rate[1:, None])  # of a Poisson number
    cdf[:, 0] = 0  # an interval of 0 is taken as 1
    at = np.arange(GUIDE) / GUIDE
    guide = np.stack([np.searchsorted(row, at, side="right") for row in cdf]).astype(np.int16)
    return cdf, guide


@njit(cache=True)
def _count_to_start(start, b, first):
    """Turn the counts in start[b, 1:] into offsets from `first`; return the end."""
    start[b, 0] = first
    for t in range(1, start.shape[1]):
        start[b, t] += start[b, t - 1]
    return start[b, start.shape[1] - 1]


@njit(cache=True)
def _sorted_by_step(t_of, p_of, n, first, start, b, pixels):
    """Write n spikes (step, pixel), pixels ascending, to the list of image b, ordered by step."""
    for t in range(start.shape[1]):
        start[b, t] = 0
    for k in range(n):
        start[b, t_of[k] + 1] += 1
    end = _count_to_start(start, b, first)
    at = start[b, :-1].copy()
    for k in range(n):
        pixels[at[t_of[k]]] = p_of[k]
        at[t_of[k]] += 1
    return end


@njit(cache=True)
def _poisson(images, index, key, cdf, guide, start, pixels):
    steps = start.shape[1] - 1
    t_of = np.empty(N_PIXELS * steps, np.int16)
    p_of = np.empty(N_PIXELS * steps, np.int16)
    end = 0
    for b in range(len(images)):
        n = 0
        for i in range(N_PIXELS):
            value = images[b, i]
            if value == 0:
                continue
            stream = mixed(key + (uint64(index[b]) * uint64(N_PIXELS) + uint64(i)) * _GOLDEN)
            time, k = 0, 0
            row, first = cdf[value], guide[value]
            while True:
                u = uniform(stream, k)
                k += 1
                interval = first[int(u * GUIDE)]
                while interval <= steps and row[interval] <= u:
                    interval += 1
                time += interval
                if time > steps:
                    break
                t_of[n] = time - 1
                p_of[n] = i
                n += 1
        end = _sorted_by_step(t_of, p_of, n, end, start, b, pixels)
    return end


@njit(cache=True)
def _bernoulli(images, index, key, values, start, pixels):
    steps = start.shape[1] - 1
    lit = np.empty(N_PIXELS, np.int16)
    stream = np.empty(N_PIXELS, np.uint64)
    p = np.empty(N_PIXELS, np.float64)
    end = 0
    for b in range(len(images)):
        most = values[images[b].max()]
        n = 0
        for i in range(N_PIXELS):
            if images[b, i] > 0:
                lit[n] = i
                # datum /= datum.max() only where that is above 1
                p[n] = values[images[b, i]] / most if most > 1 else values[images[b, i]]
                stream[n] = mixed(key + (uint64(index[b]) * uint64(N_PIXELS) + uint64(i)) * _GOLDEN)
                n += 1
        start[b, 0] = end
        for t in range(steps):
            for k in range(n):
                if uniform(stream[k], t) < p[k]:
                    pixels[end] = lit[k]
                    end += 1
            start[b, t + 1] = end
    return end


def rank_order_steps(images: np.ndarray, num_steps: int, intensity: float) -> np.ndarray:
    """Return the step at which each pixel fires, int16 (batch, 784); -1: never.

    The arithmetic is BindsNET's in float32, step by step.
    """
    values = intensities(intensity)[images]  # (batch, 784)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        datum = values / values.max(axis=1, keepdims=True)
        times = np.where(datum > 0, np.float32(1) / datum, np.float32(0))
        times *= np.float32(num_steps) / times.max(axis=1, keepdims=True)
        times = np.ceil(times)
    times = np.where(np.isfinite(times), times, 0)  # an image without ink
    return np.where((times > 0) & (times < num_steps), times - 1, -1).astype(np.int16)


@njit(cache=True)
def _rank_order(steps_of, start, pixels):
    t_of = np.empty(N_PIXELS, np.int16)
    p_of = np.empty(N_PIXELS, np.int16)
    end = 0
    for b in range(len(steps_of)):
        n = 0
        for i in range(N_PIXELS):
            if steps_of[b, i] >= 0:
                t_of[n] = steps_of[b, i]
                p_of[n] = i
                n += 1
        end = _sorted_by_step(t_of, p_of, n, end, start, b, pixels)
    return end


def check_encoding(encoder: str, num_steps: int, intensity: float) -> None:
    """Raise StdpError for an encoder, length or intensity that cannot be."""
    if encoder not in ENCODERS:
        raise StdpError(f"encoder: found {encoder!r}, allowed: {', '.join(ENCODERS)}")
    if not 1 <= num_steps <= 32767:
        raise StdpError(f"num_steps: found {num_steps}, allowed: 1 to 32767")
    if not (np.isfinite(intensity) and intensity > 0):
        raise StdpError(f"intensity: found {intensity}, allowed is above 0 (maximum rate in Hz)")


def encode(images, index, encoder: str, num_steps: int, intensity: float, key) -> Events:
    """Return the spike trains of images uint8 (batch, 784).

    `index` int64 (batch,) says which image of the data set each one is; with `key` (from
    `respike.spiking.encoding.stream_key`) it selects the draws. `intensity` is the rate of a white
    pixel in Hz for poisson; the other encoders divide it out again.
    """
    check_encoding(encoder, num_steps, intensity)
    images = np.ascontiguousarray(images)
    index = np.ascontiguousarray(index, np.int64)
    start = np.zeros((len(images), num_steps + 1), np.int64)
    key = np.uint64(key)
    if encoder == "rank_order":
        pixels = np.empty(images.size, np.int16)
        end = _rank_order(rank_order_steps(images, num_steps, intensity), start, pixels)
    elif encoder == "bernoulli":
        pixels = np.empty(np.count_nonzero(images) * num_steps, np.int16)
        end = _bernoulli(images, index, key, intensities(intensity), start, pixels)
    else:
        pixels = np.empty(np.count_nonzero(images) * num_steps, np.int16)
        cdf, guide = _interval_table(num_steps, float(intensity))
        end = _poisson(images, index, key, cdf, guide, start, pixels)
    return Events(start, pixels[:end])
