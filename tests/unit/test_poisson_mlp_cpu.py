"""The fast path of the from-scratch network against plain NumPy and by hand.

Initial weights are multiples of 2^-10 and beta is 0.5 or 1, so that float32 and float64 give the
same potentials and spikes are compared exactly.
"""

import numpy as np
import pytest

from respike.data import mnist
from respike.sources.poisson_mlp import cpu as fast
from respike.sources.poisson_mlp import reference as plain
from respike.spiking.encoding import encode, stream_key, unpack

NUM_STEPS = 20


def dyadic_weights(n_in, n_hidden, n_out, std, seed=0):
    w1, w2 = fast.initial_weights(n_in, n_hidden, n_out, std, seed)
    return [(np.rint(w * 1024) / 1024).astype(np.float32) for w in (w1, w2)]


@pytest.fixture(scope="module")
def toy():
    """Return words (30, 40, 1), their spikes (30, T, 40) and labels of 4 classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 511, (30, 40)).clip(0, 255)
    images = np.where(rng.random((30, 40)) < 0.6, 0, images).astype(np.uint8)
    words = encode(images, np.arange(30), NUM_STEPS, stream_key(0, 0))
    return words, unpack(words, NUM_STEPS).transpose(1, 0, 2), rng.integers(0, 4, 30)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_forward_equals_the_reference(toy, beta):
    words, spikes, _ = toy
    w1, w2 = dyadic_weights(40, 25, 4, 0.15)
    counts, hidden = fast.spike_counts(words, w1, w2, beta, 0.5, NUM_STEPS)
    total = 0
    for i in range(30):
        wanted = plain.forward(spikes[i], w1.astype(float), w2.astype(float), beta, 0.5)
        found = fast.trace_sample(words[i], w1, w2, beta, 0.5, NUM_STEPS)
        for a, b in zip(found[1::2], wanted[1::2], strict=True):
            assert np.array_equal(a, b)  # spikes of both layers
        for a, b in zip(found[::2], wanted[::2], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
        assert np.array_equal(counts[i], wanted[3].sum(axis=0))
        assert hidden[i] == wanted[1].sum()
        total += counts[i].sum()
    assert 50 < total < 30 * NUM_STEPS * 4 * 0.9


def test_forward_by_hand():
    # One pixel that always fires, one hidden neuron, one output; beta 0.5, threshold 0.5.
    words = np.array([[0b11111]], np.uint64)
    w1, w2 = np.array([[0.375]], np.float32), np.array([[0.25]], np.float32)
    v1, s1, v2, s2 = fast.trace_sample(words, w1, w2, 0.5, 0.5, 5)
    # 0.375 | 0.1875 + 0.375 = 0.5625 spike, reset to 0 | and again
    assert v1.ravel().tolist() == [0.375, 0.5625, 0.375, 0.5625, 0.375]
    assert s1.ravel().tolist() == [0, 1, 0, 1, 0]
    # 0 | 0.25 | 0.125 | 0.0625 + 0.25 | 0.15625
    assert v2.ravel().tolist() == [0, 0.25, 0.125, 0.3125, 0.15625]
    assert s2.ravel().tolist() == [0, 0, 0, 0, 0]


def test_a_potential_at_the_threshold_spikes():
    words = np.array([[0b1]], np.uint64)
    w = np.array([[0.5]], np.float32)
    _, s1, _, s2 = fast.trace_sample(words, w, w, 0.5, 0.5, 2)
    assert s1.ravel().tolist() == [1, 0] and s2.ravel().tolist() == [1, 0]


@pytest.mark.parametrize("error", ["per_step", "count"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("grad_clip", [None, 1.0, 0.004])
def test_training_equals_the_reference(toy, error, batch_size, grad_clip):
    words, spikes, labels = toy
    w1, w2 = dyadic_weights(40, 25, 4, 0.15)
    r1, r2 = w1.astype(float), w2.astype(float)
    order = np.random.default_rng(1).permutation(30)[:11]  # the last batch of 3 is not full
    settings = {"lr": 1e-2, "alpha": 5.0, "target_rate": 0.8, "error": error}
    correct, largest, clipped, entries = fast.train_epoch(
        words, labels, order, w1, w2, 0.5, 0.5, surrogate_clip=10.0, grad_clip=grad_clip,
        batch_size=batch_size, num_steps=NUM_STEPS, **settings,
    )  # fmt: skip
    plain.train_epoch(
        spikes, labels, order, r1, r2, 0.5, 0.5, surrogate_clip=10.0,
        grad_clip=np.inf if grad_clip is None else grad_clip, batch_size=batch_size, **settings,
    )  # fmt: skip
    before = dyadic_weights(40, 25, 4, 0.15)
    for found, wanted, start in zip((w1, w2), (r1, r2), before, strict=True):
        assert np.abs(wanted - start).max() > 1e-4
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-7)  # float32 at weights of 0.5
    assert 0 <= correct <= 11 and entries > 0
    assert (clipped > 0) == (grad_clip == 0.004)
    assert largest > 0.004


@pytest.mark.parametrize("error", ["per_step", "count"])
def test_one_update_has_the_gradient_of_the_reference(toy, error):
    words, spikes, labels = toy
    w1, w2 = dyadic_weights(40, 25, 4, 0.15)
    before = w1.astype(float), w2.astype(float)
    wanted = plain.gradients(
        spikes[7], labels[7], *before, 0.5, 0.5, 5.0, 10.0, 1.0, error
    )  # fmt: skip
    # lr 1: the update itself is the gradient.
    _, largest, _, _ = fast.train_epoch(
        words, labels, np.array([7]), w1, w2, 0.5, 0.5, 1.0, 5.0, 10.0, None, 1.0, error, 1,
        NUM_STEPS,
    )  # fmt: skip
    for found, old, grad in zip((w1, w2), before, wanted, strict=True):
        assert np.abs(grad).max() > 1e-3
        np.testing.assert_allclose(old - found, grad, rtol=1e-5, atol=1e-7)
    assert largest == pytest.approx(max(np.abs(g).max() for g in wanted), rel=1e-5)


def surrogate(v, alpha, limit):
    v = np.asarray(v, np.float32)
    h, exponent = np.empty_like(v), np.empty(v.shape, np.int32)
    fast._surrogate(v, np.float32(0.5), np.float32(alpha), np.float32(limit), h, exponent)
    return h


@pytest.mark.parametrize("alpha", [0.5, 1.0, 5.0, 8.0])
def test_surrogate_is_the_formula(alpha):
    v = np.linspace(-15, 15, 20_001).astype(np.float32)
    x = np.clip(v.astype(float) - 0.5, -10, 10)
    e = np.exp(-alpha * x)
    found = surrogate(v, alpha, 10)
    # alpha x is rounded to float32 before the exponential: its error grows with the argument.
    wanted = alpha * e / (1 + e) ** 2
    near = alpha * np.abs(x) < 10
    np.testing.assert_allclose(found[near], wanted[near], rtol=2e-6)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(wanted, plain.surrogate(v.astype(float), 0.5, alpha, 10))


def test_surrogate_beyond_the_clip_is_constant_and_without_it_does_not_overflow():
    assert surrogate([0.5], 5, 10)[0] == pytest.approx(1.25)  # alpha / 4
    at_clip = surrogate([10.5], 5, 10)[0]
    assert at_clip > 0
    assert (surrogate([-9.5, 11, -50, 1e6, -1e30], 5, 10) == at_clip).all()
    free = surrogate([-1e30, -200, 1e30, np.inf], 5, np.inf)
    assert (free >= 0).all() and (free < 1e-30).all()


def test_an_unknown_error_is_refused(toy):
    words, _, labels = toy
    w1, w2 = dyadic_weights(40, 25, 4, 0.15)
    with pytest.raises(ValueError, match="error: found 'mse', allowed: per_step, count"):
        fast.train_epoch(
            words, labels, np.arange(3), w1, w2, 0.5, 0.5, 1.0, 5.0, 10.0, 1.0, 1.0, "mse", 1,
            NUM_STEPS,
        )  # fmt: skip


def test_equal_seeds_give_equal_runs_and_weights_have_the_asked_spread():
    a, b = fast.initial_weights(784, 250, 10, 0.02, 3), fast.initial_weights(784, 250, 10, 0.02, 3)
    assert all(np.array_equal(x, y) and x.dtype == np.float32 for x, y in zip(a, b, strict=True))
    assert a[0].shape == (784, 250) and a[1].shape == (10, 250)
    assert a[0].std() == pytest.approx(0.02, rel=0.01)
    assert not np.array_equal(a[0], fast.initial_weights(784, 250, 10, 0.02, 4)[0])


def test_training_on_real_images_helps(mnist_folder):
    data = mnist.load(mnist_folder)
    train, test = data.train_images[:1000].reshape(-1, 784), data.test_images[:500].reshape(-1, 784)
    words = encode(train, np.arange(1000), NUM_STEPS, stream_key(0, 0))
    test_words = encode(test, np.arange(500), NUM_STEPS, stream_key(0, 1))
    w1, w2 = fast.initial_weights(784, 100, 10, 0.02, 0)

    def accuracy():
        counts, _ = fast.spike_counts(test_words, w1, w2, 0.98, 0.5, NUM_STEPS)
        return (counts.argmax(axis=1) == data.test_labels[:500]).mean()

    before = accuracy()
    for _ in range(3):
        fast.train_epoch(
            words, data.train_labels[:1000], np.arange(1000), w1, w2, 0.98, 0.5, 2e-3, 5.0, 10.0,
            1.0, 1.0, "count", 1, NUM_STEPS,
        )  # fmt: skip
    assert before < 0.25 and accuracy() > 0.5
