"""Encoders against BindsNET's: rank order and probabilities exactly, Poisson as a distribution."""

import numpy as np
import pytest
import torch
from bindsnet.encoding import bernoulli, poisson, rank_order
from scipy import stats
from test_stdp_cpu import images

from respike.sources.stdp_tables.encode import encode, intensities
from respike.sources.stdp_tables.model import ENCODERS, N_PIXELS, StdpError, check_images
from respike.spiking.encoding import stream_key


def grey(value, n=40):
    return np.full((n, N_PIXELS), value, np.uint8)


def ours(pictures, encoder, steps=100, intensity=128.0, key=None):
    key = stream_key(0, 0) if key is None else key
    return encode(pictures, np.arange(len(pictures)), encoder, steps, intensity, key)


def datum(picture, intensity=128.0):
    """Return what the authors' transform makes of an image; a fresh copy, BindsNET changes it."""
    return torch.from_numpy(intensities(intensity)[picture].copy())


def test_rank_order_is_bindsnets_bit_by_bit():
    pictures = np.concatenate([images(40), grey(1, 1), grey(255, 1)])
    pictures[0, :5] = [1, 2, 3, 254, 255]
    for steps in (1, 10, 100, 350):
        found = ours(pictures, "rank_order", steps).dense()
        for k, picture in enumerate(pictures):
            assert (found[:, k] == rank_order(datum(picture), time=steps).numpy()).all()


def test_rank_order_does_not_depend_on_the_intensity_unit_or_the_key():
    a = ours(images(5), "rank_order").dense()
    assert (a == ours(images(5), "rank_order", key=stream_key(9, 9)).dense()).all()


def test_bernoulli_probabilities_are_bindsnets():
    pictures = np.concatenate([images(3), grey(100, 1), grey(1, 1)])
    steps = 4000
    found = ours(pictures, "bernoulli", steps).dense().mean(axis=0)
    for k, picture in enumerate(pictures):
        p = datum(picture)
        p = (p / p.max() if p.max() > 1 else p).numpy()
        sure = (p == 0) | (p == 1)
        assert (found[k][sure] == p[sure]).all()
        z = (found[k] - p)[~sure] / np.sqrt(p * (1 - p) / steps)[~sure]
        assert (np.abs(z) < 5.5).all() and (z.size < 50 or abs(z.std() - 1) < 0.25)


def test_bernoulli_steps_are_independent():
    spk = ours(grey(100, 10) // 2 * 2, "bernoulli", 400)
    assert spk.counts().sum() == 10 * N_PIXELS * 400  # an even grey is its own maximum
    pictures = grey(255, 10)
    pictures[:, ::2] = 128
    spk = ours(pictures, "bernoulli", 400).dense()[:, :, ::2].astype(float) - 128 / 255
    lagged = (spk[1:] * spk[:-1]).mean() / spk.var()
    assert abs(lagged) < 5 / np.sqrt(spk[1:].size)


@pytest.mark.parametrize("value", [1, 8, 40, 128, 255])
def test_poisson_trains_have_bindsnets_distribution(value):
    # The train of a pixel is a renewal process: first spike times and counts give it away.
    torch.manual_seed(0)
    steps, n = 100, 60
    mine = ours(grey(value, n), "poisson", steps).dense().reshape(steps, -1)
    theirs = poisson(datum(grey(value, n).ravel()), time=steps).numpy()
    for measure in (first_spike, lambda s: s.sum(axis=0), second_interval):
        a, b = measure(mine), measure(theirs)
        assert stats.ks_2samp(a, b).pvalue > 1e-4
        spread = np.sqrt(a.var() / a.size + b.var() / b.size)
        assert abs(a.mean() - b.mean()) < 5 * max(spread, 1e-9)
    # exactly: P(first interval <= k) of a Poisson number, 0 taken as 1
    rate = 1000 / float(intensities(128.0)[value])
    for k in (1, 10, 50, 99):
        p = stats.poisson.cdf(k, rate)
        share = (first_spike(mine) < k).mean()
        assert abs(share - p) < 5 * np.sqrt(max(p * (1 - p), 1e-9) / mine.shape[1]) + 1e-9


def first_spike(spk):
    return np.where(spk.any(axis=0), spk.argmax(axis=0), len(spk))


def second_interval(spk):
    later = spk * (np.arange(len(spk))[:, None] > first_spike(spk))
    return np.where(later.any(axis=0), later.argmax(axis=0) - first_spike(spk), 0)


def test_trains_do_not_depend_on_the_batch_and_depend_on_key_and_image():
    pictures, key = images(6), stream_key(1, 0)
    for encoder in ("poisson", "bernoulli"):
        whole = encode(pictures, np.arange(6), encoder, 50, 128.0, key).dense()
        part = encode(pictures[4:], np.arange(4, 6), encoder, 50, 128.0, key).dense()
        assert (whole[:, 4:] == part).all()
        other = encode(pictures[4:], np.arange(4, 6), encoder, 50, 128.0, stream_key(2, 0))
        assert (other.dense() != part).any()
        moved = encode(pictures[4:], np.arange(2), encoder, 50, 128.0, key).dense()
        assert (moved != part).any()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_images_without_ink_give_no_spikes_and_leave_the_others_alone(encoder):
    pictures = images(3)
    before = ours(pictures, encoder).dense()
    pictures[1] = 0
    after = ours(pictures, encoder).dense()
    assert after[:, 1].sum() == 0
    assert (after[:, [0, 2]] == before[:, [0, 2]]).all()


def test_images_are_not_changed():
    pictures = images(4)
    kept = pictures.copy()
    for encoder in ENCODERS:
        ours(pictures, encoder)
    assert (pictures == kept).all()
    x = datum(pictures[0])
    bernoulli(x, time=3)
    assert x.max() == 1  # why BindsNET must be given a copy


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("latency", 100, 128.0), ["encoder", "latency", "rank_order"]),
        (("poisson", 0, 128.0), ["num_steps", "0"]),
        (("poisson", 100, 0.0), ["intensity", "0.0"]),
        (("poisson", 100, float("nan")), ["intensity", "nan"]),
    ],
)
def test_impossible_codings_are_named(arguments, names):
    with pytest.raises(StdpError) as error:
        encode(images(1), np.arange(1), *arguments, 0)
    assert all(name in str(error.value) for name in names)


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 784)), np.zeros((2, 100), np.uint8), np.zeros(784, "u1")]
)
def test_impossible_images_are_named(bad):
    with pytest.raises(StdpError, match="images"):
        check_images(bad)
