"""The event-driven STDP network against stock BindsNET, step by step, for every neuron and rule."""

import dataclasses

import numpy as np
import pytest

from respike.sources.stdp_tables import cpu, reference
from respike.sources.stdp_tables.encode import Events, encode
from respike.sources.stdp_tables.model import (
    N_PIXELS,
    NEURONS,
    RULES,
    Constants,
    State,
    StdpError,
    check,
    check_state,
    start_state,
)
from respike.spiking.encoding import stream_key

C = Constants(
    neuron="diehl_cook", rule="PostPre", n_neurons=100, v_thresh_mV=-52, v_rest_mV=-65,
    v_reset_mV=-60, refrac_ms=5, tc_decay_ms=100, theta_plus_mV=0.05, tc_theta_decay_ms=1e7,
    d_thresh_mV=5, inhibit_mV=120, nu_pre=1e-4, nu_post=1e-2, w_max=1, w_start=0.3, norm=78.4,
    tc_trace_ms=20,
)  # fmt: skip


def images(n, seed=0):
    """Return uint8 images (n, 784) with a blob of ink each, as digits have."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:28, :28]
    made = []
    for _ in range(n):
        spots = sum(
            np.exp(-((y - a) ** 2 + (x - b) ** 2) / 9) for a, b in rng.uniform(7, 21, (3, 2))
        )
        made.append(np.clip(spots * 330 - 40, 0, 255))
    return np.array(made).reshape(n, N_PIXELS).astype(np.uint8)


def side_by_side(c, encoder="poisson", batch=16, steps=60, batches=2, learn=True, state=None):
    """Return (spikes, state) of ours and of BindsNET after each batch, given the same spikes in."""
    state = state or start_state(c, 0)
    net = reference.build(c, state, batch)
    net.train(learn)
    for k in range(batches):
        index, key = np.arange(k * batch, (k + 1) * batch), stream_key(0, k)
        events = encode(images(batch, k), index, encoder, steps, 128.0, key)
        spk = np.zeros((steps, batch, c.n_neurons), np.uint8)
        cpu.present(c, state, events, index, key, learn, spk=spk)
        choice = cpu.uniforms(key, index, steps) if c.neuron == "diehl_cook" else None
        fires = cpu.uniforms(key, index, steps, c.n_neurons) if c.neuron == "srm0" else None
        yield (
            (spk, state),
            (reference.run(net, events.dense(), choice, fires), reference.state_of(net)),
        )


def assert_equal(pairs):
    """Spikes equal at every step; weights and thresholds within float32 rounding."""
    total = 0
    for (spk, state), (spk_stock, state_stock) in pairs:
        assert (spk == spk_stock).all(), np.argwhere(spk != spk_stock)[0]
        np.testing.assert_allclose(state.w, state_stock.w, rtol=0, atol=2e-6)
        np.testing.assert_allclose(state.theta, state_stock.theta, rtol=0, atol=1e-6)
        total += int(spk.sum())
    assert total > 0
    return total


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("neuron", NEURONS)
def test_same_spikes_in_same_spikes_weights_and_thresholds_out(neuron, rule):
    assert_equal(side_by_side(dataclasses.replace(C, neuron=neuron, rule=rule)))


@pytest.mark.parametrize("encoder", ["bernoulli", "rank_order"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_the_other_encoders_too(neuron, encoder):
    assert_equal(side_by_side(dataclasses.replace(C, neuron=neuron), encoder, batch=8))


@pytest.mark.parametrize(
    "change",
    [
        {"n_neurons": 7}, {"refrac_ms": 0}, {"inhibit_mV": 2}, {"nu_pre": 0.0}, {"nu_post": 0.0},
        {"theta_plus_mV": 1.0, "tc_theta_decay_ms": 100}, {"w_max": 0.2, "w_start": 0.2},
        {"norm": 300.0}, {"tc_decay_ms": 10},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("rule", ["PostPre", "WeightDependentPostPre"])
def test_with_other_constants(change, rule):
    assert_equal(side_by_side(dataclasses.replace(C, rule=rule, **change), batch=8))


def test_a_batch_of_one():
    assert_equal(side_by_side(C, batch=1, batches=6))


def test_without_learning_nothing_changes():
    state = start_state(C, 0)
    state.theta += 0.5
    cpu.normalise(state.w, C.norm)
    before = state.copy()
    pairs = list(side_by_side(C, learn=False, state=state))
    for (spk, _), (spk_stock, _) in pairs:
        assert (spk == spk_stock).all()
    assert (state.w == before.w).all() and (state.theta == before.theta).all()


def test_counts_are_the_spikes_and_do_not_depend_on_the_batch():
    index, key, state = np.arange(12), stream_key(3, 0), start_state(C, 1)
    events = encode(images(12), index, "poisson", 80, 128.0, key)
    spk = np.zeros((80, 12, 100), np.uint8)
    counts = cpu.present(C, state, events, index, key, False, spk=spk)
    assert (counts == spk.sum(axis=0)).all()
    for part in (index[:5], index[5:]):
        events = encode(images(12)[part], part, "poisson", 80, 128.0, key)
        assert (cpu.present(C, state, events, part, key, False) == counts[part]).all()


def test_silence_in_silence_out_but_for_srm0():
    nothing = Events.of(np.zeros((50, 3, N_PIXELS), np.uint8))
    for neuron in NEURONS:
        c = dataclasses.replace(C, neuron=neuron)
        counts = cpu.present(c, start_state(c, 0), nothing, np.arange(3), 1, True)
        assert (counts.sum() > 0) == (neuron == "srm0") == (cpu.rest_rate(c) > 0)


def test_input_reaches_a_neuron_one_step_later():
    c = dataclasses.replace(C, neuron="lif", n_neurons=1)
    spk = np.zeros((6, 1, N_PIXELS), np.uint8)
    spk[2, 0, :20] = 1
    mem, out = np.zeros((6, 1, 1), np.float32), np.zeros((6, 1, 1), np.uint8)
    w = np.ones((N_PIXELS, 1), np.float32)
    cpu.present(c, State(w, np.zeros(1, np.float32)), Events.of(spk), np.zeros(1), 0, False,
                 spk=out, mem=mem)  # fmt: skip
    assert (mem[:3, 0, 0] == c.v_rest_mV).all()
    assert out[:, 0, 0].tolist() == [0, 0, 0, 1, 0, 0] and mem[3, 0, 0] == c.v_reset_mV


def test_events_and_dense_trains_are_the_same():
    spk = (np.random.default_rng(0).random((9, 4, N_PIXELS)) < 0.02).astype(np.uint8)
    events = Events.of(spk)
    assert (events.dense() == spk).all()
    assert (events.counts() == spk.sum(axis=(0, 2))).all()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"neuron": "alif"}, ["neuron", "alif", "diehl_cook"]),
        ({"rule": "post_pre"}, ["rule", "post_pre", "PostPre"]),
        ({"v_reset_mV": -50}, ["v_reset_mV", "-50", "-52"]),
        ({"v_rest_mV": -52}, ["v_rest_mV", "-52"]),
        ({"w_start": 2.0}, ["w_start", "w_max"]),
        ({"norm": 0}, ["norm", "above 0"]),
        ({"n_neurons": 0}, ["n_neurons", "at least 1"]),
        ({"nu_post": float("nan")}, ["nu_post", "nan"]),
        ({"tc_trace_ms": 0.0}, ["tc_trace_ms", "above 0"]),
    ],
)
def test_impossible_constants_are_named(change, names):
    with pytest.raises(StdpError) as error:
        check(dataclasses.replace(C, **change))
    assert all(name in str(error.value) for name in names)


def test_the_rest_of_an_if_neuron_does_not_matter():
    check(dataclasses.replace(C, neuron="if", v_rest_mV=0))


@pytest.mark.parametrize(
    ("w", "theta", "names"),
    [
        (np.full((784, 100), np.nan), None, ["w", "78400", "NaN"]),
        (np.ones((784, 99)), None, ["w", "(784, 99)", "(784, 100)"]),
        (-np.ones((784, 100)), None, ["w", "-1"]),
        (np.ones((784, 100)), np.full(100, np.inf), ["theta", "infinite"]),
        (np.ones((784, 100)), np.zeros(3), ["theta", "(3,)"]),
        (np.full((784, 100), "x"), None, ["w", "real numbers"]),
    ],
)
def test_impossible_weights_are_named(w, theta, names):
    with pytest.raises(StdpError) as error:
        check_state(C, w, theta)
    assert all(name in str(error.value) for name in names)
