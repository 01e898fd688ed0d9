"""NormAD against its formula in plain NumPy, and the rounding of weights."""

import math

import numpy as np
import pytest
from test_kulkarni_neuron import CORRECTED, C

from respike.data import mnist
from respike.sources.kulkarni_forward import normad, normad_cpu
from respike.sources.kulkarni_forward import passes as kulkarni_pass
from respike.sources.kulkarni_forward import reference as model

RNG = np.random.default_rng(5)
FILTERS = RNG.uniform(-1 / 3, 1 / 3, (12, 3, 3)) + 0.1


def plain_update(hidden, out, label, desired, rate, tau_leak_ms):
    """Return the change of the weights (n_hidden, 10) for dense spikes, by the formula."""
    trace = model.synaptic_trace(hidden, C)
    leak, d = math.exp(-C.dt_ms / tau_leak_ms), np.zeros(hidden.shape[1])
    change = np.zeros((hidden.shape[1], 10))
    for t in range(C.num_steps):
        d = leak * d + trace[t]
        error = -out[t].astype(float)
        error[label] += desired[t]
        norm = np.sqrt((d * d).sum())
        if norm > 0:
            change += rate * np.outer(d / norm, error)
    return change


@pytest.fixture(scope="module")
def data(mnist_folder):
    return mnist.load(mnist_folder)


def network(weights, **more):
    return kulkarni_pass.Network(C, CORRECTED, FILTERS, 1e6, weights, 1.0, **more)


def test_training_on_one_image_is_the_formula(data):
    start = RNG.normal(20, 20, (8112, 10))
    net = network(start.copy())
    desired = normad.desired_train(C, 3.5)
    right, errors = normad.train_images(
        net, data.train_images, data.train_labels, np.array([7]), desired, 100.0, 1.0
    )
    image, label = data.train_images[7], data.train_labels[7]
    hidden, out = model.forward(image, FILTERS, start.T, C, CORRECTED, 1e6, 1.0)
    change = plain_update(hidden, out, label, desired, 100.0, 1.0)
    assert np.abs(change).max() > 1
    assert net.weights - start == pytest.approx(change, abs=1e-6)
    wanted = np.zeros((1000, 10), int)
    wanted[:, label] = desired
    assert errors == np.abs(wanted - out).sum()
    assert right == (model.decide(out.sum(axis=0)) == label)


@pytest.mark.parametrize("modified", [False, True])
def test_training_on_kept_spikes_is_the_plain_training(data, modified):
    nets = [network(np.zeros((8112, 10)), inhibit_pA=2e4) for _ in range(2)]
    own = nets[0].table(5e5, model.modified_decay(C)) if modified else None
    desired = normad.desired_train(C, 3.5)
    spikes = normad_cpu.hidden_spikes(nets[1], data.train_images[:12], own)
    for _ in range(2):
        order = np.random.default_rng(4).permutation(12)
        plain = normad.train_images(
            nets[0], data.train_images, data.train_labels, order, desired, 100.0, 1.0, own
        )
        fast = normad_cpu.train_on(nets[1], spikes, data.train_labels, order, desired, 100.0, 1.0)
        assert fast == plain
    assert np.abs(nets[0].weights).max() > 10
    assert nets[1].weights == pytest.approx(nets[0].weights, rel=1e-9, abs=1e-9)


def test_kept_spikes_are_those_of_the_pass(data):
    net = network(np.zeros((8112, 10)))
    spikes = normad_cpu.hidden_spikes(net, data.train_images[:3])
    hidden, _ = kulkarni_pass.run(net, data.train_images[:3])
    for neurons, per_step, counts in zip(spikes.neurons, spikes.counts, hidden, strict=True):
        assert (np.bincount(neurons, minlength=8112) == counts).all()
        assert per_step.shape == (C.num_steps,) and per_step.sum() == counts.sum()


def test_weights_of_silent_neurons_stay(data):
    net = network(np.zeros((8112, 10)))
    normad.train_images(
        net, data.train_images, data.train_labels, np.array([3]), normad.desired_train(C, 5), 9.0, 1
    )
    hidden, _ = kulkarni_pass.run(net, data.train_images[3:4])
    changed = net.weights.any(axis=1)
    assert not changed[hidden[0] == 0].any() and changed[hidden[0] > 3].all()


def test_without_an_error_nothing_is_learned(data):
    # The outputs as they are, asked for: impossible for 10 neurons, so ask a network that is silent
    # for silence.
    net = network(np.zeros((8112, 10)))
    silence = np.zeros(C.num_steps, np.uint8)
    _, errors = normad.train_images(
        net, data.train_images, data.train_labels, np.arange(3), silence, 9.0, 1.0
    )
    assert errors == 0 and not net.weights.any()


def test_a_network_learns_a_few_images(data):
    net = network(np.zeros((8112, 10)))
    table = net.table(5e5, model.modified_decay(C))
    desired = normad.desired_train(C, 3.5)
    for own in (None, table):
        net.weights[:] = 0.0
        for _ in range(4):
            right, _ = normad.train_images(
                net, data.train_images, data.train_labels, np.arange(20), desired, 100.0, 1.0, own
            )
        assert right > 0.6
        _, counts = kulkarni_pass.run(net, data.train_images[:20], own)
        assert (model.decide(counts) == data.train_labels[:20]).mean() > 0.8


def test_lateral_inhibition_lowers_the_others(data):
    weights = np.zeros((8112, 10))
    weights[:, 0], weights[:, 1:] = 40.0, 25.0
    _, free = kulkarni_pass.run(network(weights), data.test_images[:5])
    _, held = kulkarni_pass.run(network(weights, inhibit_pA=2e4), data.test_images[:5])
    assert free[:, 1:].sum() > 20
    assert held[:, 1:].sum() < 0.7 * free[:, 1:].sum()
    assert (held[:, 0] > held[:, 1:].max(axis=1)).all()


def test_the_desired_train():
    train = normad.desired_train(C, 3.5)
    assert list(np.flatnonzero(train)) == list(range(34, 1000, 35))
    assert train.sum() == 28  # 280 Hz
    with pytest.raises(ValueError, match="period_ms: found 3.0, allowed: above the refractory"):
        normad.desired_train(C, 3.0)


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_rounded_weights_have_as_many_levels_as_bits_allow(bits):
    weights = RNG.normal(0, 3, (400, 10))
    rounded = normad.quantise(weights, bits)
    levels = np.unique(rounded)
    assert 2 ** (bits - 1) < len(levels) <= 2**bits
    spacing = np.diff(levels).min()
    assert levels / spacing - 0.5 == pytest.approx(np.round(levels / spacing - 0.5), abs=1e-6)
    assert levels[0] == pytest.approx(-levels[-1], rel=0.1)
    error = ((rounded - weights) ** 2).mean()
    # The least error of a uniform quantiser for a normal variable, in units of its variance
    # (J. Max, 1960): 0.363, 0.119, 0.0374 for 1 to 3 bits.
    best = {1: 0.363, 2: 0.119, 3: 0.0374, 8: 0.0001}[bits]
    assert 9 * best * 0.95 < error < 9 * best * 1.3


def test_more_bits_lose_less():
    weights = RNG.normal(0, 3, (400, 10))
    errors = [np.abs(normad.quantise(weights, b) - weights).mean() for b in range(1, 9)]
    assert (np.diff(errors) < 0).all()


def test_nothing_rounds_to_nothing():
    assert not normad.quantise(np.zeros((3, 10)), 3).any()
