"""Rate coding: the right distribution, and draws that depend on nothing they should not."""

import numpy as np
import pytest
import torch
from scipy import stats

from respike.spiking.encoding import (
    WORD_STEPS,
    encode,
    n_words,
    scale_intensity,
    stream_key,
    unpack,
)

KEY = stream_key(0, 0)


def draw(images, num_steps, index=None, key=KEY):
    """Return spikes (num_steps, batch, n_pixels)."""
    index = np.arange(len(images)) if index is None else index
    return unpack(encode(images, index, num_steps, key), num_steps)


def assert_uncorrelated(a, b):
    """Two 0/1 arrays of one shape: Pearson's r times sqrt(n) is standard normal if independent."""
    a, b = a.ravel().astype(float), b.ravel().astype(float)
    assert abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(a.size) < 4.5


@pytest.mark.parametrize("num_steps", [1, 50, 100])
def test_every_intensity_fires_with_its_probability(num_steps):
    copies = 20_000 // num_steps
    images = np.tile(np.arange(256, dtype=np.uint8), (copies, 1))
    counts = draw(images, num_steps).sum(axis=(0, 1), dtype=np.int64)
    n = copies * num_steps
    assert counts[0] == 0 and counts[255] == n
    p = np.arange(1, 255) / 255
    z = (counts[1:255] - n * p) / np.sqrt(n * p * (1 - p))
    # Too far from the expected counts is wrong, and so is too near: both tails.
    low, high = stats.chi2.ppf([1e-5, 1 - 1e-5], z.size)
    assert low < (z**2).sum() < high
    assert np.abs(z).max() < 4.8


@pytest.mark.parametrize("intensity", [3, 64, 128, 250])
def test_spikes_of_a_pixel_over_time_are_binomial(intensity):
    num_steps, n = 40, 20_000
    counts = draw(np.full((20, n // 20), intensity, np.uint8), num_steps).sum(axis=0).ravel()
    expected = n * stats.binom.pmf(np.arange(num_steps + 1), num_steps, intensity / 255)
    observed = np.bincount(counts, minlength=num_steps + 1)
    usual = expected >= 10  # the rest is pooled into one class
    f_obs = [*observed[usual], observed[~usual].sum()]
    f_exp = [*expected[usual], expected[~usual].sum()]
    assert stats.chisquare(f_obs, f_exp).pvalue > 1e-4


def test_steps_pixels_images_streams_and_seeds_are_independent():
    images = np.full((50, 200), 100, np.uint8)
    spikes = draw(images, 130)
    for lag in (1, 63, 64, 65):
        assert_uncorrelated(spikes[lag:], spikes[:-lag])
    for lag in (1, 2, 28):
        assert_uncorrelated(spikes[:, :, lag:], spikes[:, :, :-lag])
    assert_uncorrelated(spikes[:, 1:], spikes[:, :-1])
    assert_uncorrelated(spikes, draw(images, 130, key=stream_key(0, 1)))
    assert_uncorrelated(spikes, draw(images, 130, key=stream_key(1, 0)))
    # The last pixel of an image and the first of the next are neighbours in the counter.
    assert_uncorrelated(spikes[:, :-1, -1], spikes[:, 1:, 0])


def test_equal_arguments_give_equal_spikes_and_keys_differ():
    images = np.random.default_rng(0).integers(0, 256, (4, 30), dtype=np.uint8)
    assert np.array_equal(draw(images, 50), draw(images, 50))
    assert stream_key(3, 4) == stream_key(3, 4)
    assert len({int(stream_key(s, k)) for s in range(20) for k in range(20)}) == 400


def test_draws_do_not_depend_on_batch_order_or_threads(threads):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (60, 40), dtype=np.uint8)
    threads(1)
    whole = draw(images, 70)
    order = rng.permutation(60)
    assert np.array_equal(draw(images[order], 70, order), whole[:, order])
    parts = [draw(images[i : i + 7], 70, np.arange(60)[i : i + 7]) for i in range(0, 60, 7)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    # Within a word, the first steps of a longer train are the shorter train.
    assert np.array_equal(draw(images, 65), whole[:65])
    threads(2)
    assert np.array_equal(draw(images, 70), whole)


@pytest.mark.parametrize("num_steps", [1, 63, 64, 65, 100, 128])
def test_word_borders(num_steps):
    images = np.array([[0, 255, 1, 128, 254]], np.uint8)
    words = encode(images, np.zeros(1, np.int64), num_steps, KEY)
    assert words.shape == (1, 5, n_words(num_steps)) and words.dtype == np.uint64
    assert n_words(num_steps) == (num_steps + 63) // 64
    spikes = unpack(words, num_steps)
    assert spikes.shape == (num_steps, 1, 5) and spikes.dtype == np.uint8
    assert spikes[:, 0, 0].sum() == 0 and spikes[:, 0, 1].sum() == num_steps
    # Events are read off the words alone: no bit may be set after the last step.
    ones = sum(int(word).bit_count() for word in words.ravel())
    assert ones == spikes.sum()


def test_unpack_inverts_packing():
    spikes = np.random.default_rng(2).integers(0, 2, (150, 3, 7)).astype(np.uint8)
    words = np.zeros((3, 7, 3), np.uint64)
    for t in range(150):
        words[:, :, t // WORD_STEPS] |= spikes[t].astype(np.uint64) << np.uint64(t % WORD_STEPS)
    assert np.array_equal(unpack(words, 150), spikes)


@pytest.mark.parametrize("num_steps", [1, 50, 64, 65, 130])
def test_unpack_torch_equals_unpack(num_steps):
    from respike.spiking.lif_gpu import unpack_torch

    images = np.random.default_rng(3).integers(0, 256, (6, 20), dtype=np.uint8)
    words = encode(images, np.arange(6), num_steps, KEY)
    unpacked = unpack_torch(words, num_steps, "cpu")
    assert unpacked.dtype == torch.float32
    assert np.array_equal(unpacked.numpy(), unpack(words, num_steps))


def test_same_statistics_as_snntorch():
    from snntorch import spikegen

    torch.manual_seed(0)
    images = np.random.default_rng(4).integers(0, 256, (200, 100), dtype=np.uint8)
    ours = draw(images, 50).sum(axis=0, dtype=np.int64)
    theirs = spikegen.rate(torch.from_numpy(images) / 255, num_steps=50).sum(dim=0).numpy()
    p = images / 255
    variance = 2 * 50 * p * (1 - p)
    z = (ours - theirs)[variance > 0] / np.sqrt(variance[variance > 0])
    assert abs(z.mean()) * np.sqrt(z.size) < 4
    assert abs(z.var() - 1) * np.sqrt(z.size / 2) < 5


def test_gain_scales_the_intensity():
    images = np.array([[0, 1, 100, 255]], np.uint8)
    assert scale_intensity(images, 1.0).tolist() == [[0, 1, 100, 255]]
    assert scale_intensity(images, 0.2).tolist() == [[0, 0, 20, 51]]
    assert scale_intensity(images, 3.0).tolist() == [[0, 3, 255, 255]]


@pytest.mark.parametrize(
    ("images", "num_steps", "says"),
    [
        (np.zeros((2, 3), np.float32), 10, "uint8"),
        (np.zeros((2, 3, 3), np.uint8), 10, r"\(2, 3, 3\)"),
        (np.zeros((2, 3), np.uint8), 0, "num_steps must be at least 1, got 0"),
        (np.zeros((2, 3), np.uint8), -1, "got -1"),
    ],
)
def test_wrong_arguments_are_refused(images, num_steps, says):
    with pytest.raises(ValueError, match=says):
        encode(images, np.arange(2), num_steps, KEY)
