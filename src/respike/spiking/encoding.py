"""Bernoulli rate coding of images into spike trains, called Poisson rate coding by the sources.

Sources: poisson-mlp-report.md, Step 1; snn-mnist-readme.md, section 1. At every step a pixel of
intensity k (0..255) fires with probability k / 255.

Each draw is a hash of (seed, stream, image index, pixel, step). It does not depend on the batch
size, on the order of the images or on the number of threads; trains of 64 steps or fewer are
beginnings of one another. Spike trains are kept as bit masks: bit t of word t // 64 is the spike
at step t, 8 bytes for 64 steps of one pixel.
"""

import math

import numpy as np

from respike.spiking.numba_cache import njit, prange, uint64

WORD_STEPS = 64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # increment of splitmix64 (Steele et al., 2014)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)  # multipliers of splitmix64, variant 13
_MIX_2 = np.uint64(0x94D049BB133111EB)


@njit(cache=True, inline="always")
def _hash(x):
    """Return the splitmix64 hash of a 64-bit counter."""
    x = (x ^ (x >> uint64(30))) * _MIX_1
    x = (x ^ (x >> uint64(27))) * _MIX_2
    return x ^ (x >> uint64(31))


def stream_key(seed: int, stream: int) -> np.uint64:
    """Return the 64-bit key of one independent stream (an epoch, a test pass) of a seed."""
    return np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]


def n_words(num_steps: int) -> int:
    """Return how many 64-bit words hold `num_steps` spikes of one pixel."""
    return math.ceil(num_steps / WORD_STEPS)


@njit(cache=True, inline="always")
def _bernoulli_word(limit, lanes, counter):
    """Return 64 draws of a Bernoulli variable of probability limit / 2^32, one per bit of `lanes`.

    Each lane compares a uniform number u with p bit by bit, highest first; a lane is decided at the
    first bit in which they differ, so about log2(64) random words serve all 64 lanes.
    """
    spikes = uint64(0)
    undecided = lanes
    for j in range(32):
        if undecided == uint64(0):
            break
        random = _hash(counter + uint64(j + 1) * _GOLDEN)
        if (limit >> uint64(31 - j)) & uint64(1):
            spikes |= undecided & ~random
            undecided &= random
        else:
            undecided &= ~random
    return spikes


@njit(parallel=True, cache=True)
def _encode(images, image_index, num_steps, key, words):
    batch, n_pixels = images.shape
    for b in prange(batch):
        for w in range(words.shape[2]):
            steps = min(64, num_steps - 64 * w)
            lanes = ~uint64(0) >> uint64(64 - steps)
            for i in range(n_pixels):
                k = images[b, i]
                if k == 0:
                    words[b, i, w] = uint64(0)
                elif k == 255:
                    words[b, i, w] = lanes
                else:
                    # P(spike) = k / 255 to within 2^-33.
                    limit = (uint64(k) * uint64(4294967296) + uint64(127)) // uint64(255)
                    pixel = uint64(image_index[b]) * uint64(n_pixels) + uint64(i)
                    counter = (
                        key + (pixel * uint64(words.shape[2]) + uint64(w)) * uint64(32) * _GOLDEN
                    )
                    words[b, i, w] = _bernoulli_word(limit, lanes, counter)


def encode(images: np.ndarray, image_index: np.ndarray, num_steps: int, key) -> np.ndarray:
    """Return the spike trains of `images` as bit masks.

    Parameters
    ----------
    images
        uint8 (batch, n_pixels), intensity 0..255.
    image_index
        int64 (batch,): which image of the data set each row is; it selects the random draws.
    num_steps
        Time steps T.
    key
        From `stream_key`.

    Returns
    -------
    uint64 (batch, n_pixels, ceil(T / 64)).

    Raises
    ------
    ValueError
        If `images` is not a uint8 matrix, `image_index` has another length, or `num_steps` is not
        positive.
    """
    if images.dtype != np.uint8 or images.ndim != 2:
        raise ValueError(
            f"images must be uint8 (batch, n_pixels), got {images.dtype} {images.shape}"
        )
    if len(image_index) != len(images):
        raise ValueError(f"image_index has {len(image_index)} entries for {len(images)} images")
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    words = np.empty((*images.shape, n_words(num_steps)), np.uint64)
    _encode(images, np.ascontiguousarray(image_index, np.int64), num_steps, np.uint64(key), words)
    return words


def unpack(words: np.ndarray, num_steps: int) -> np.ndarray:
    """Return bit masks (batch, n_pixels, words) as uint8 spikes (num_steps, batch, n_pixels)."""
    t = np.arange(num_steps)
    spikes = (words[:, :, t // WORD_STEPS] >> (t % WORD_STEPS).astype(np.uint64)) & np.uint64(1)
    return np.ascontiguousarray(spikes.astype(np.uint8).transpose(2, 0, 1))


def scale_intensity(images: np.ndarray, gain: float) -> np.ndarray:
    """Return uint8 images with intensity times `gain`, rounded and clipped to 0..255."""
    return np.clip(np.rint(images * gain), 0, 255).astype(np.uint8)
