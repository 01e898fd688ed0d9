"""The fast path of diehl_cook_2015 against plain NumPy, spike by spike; cases worked by hand."""

import dataclasses
import math

import numpy as np
import pytest

from respike.sources.diehl_cook_2015 import cpu, encode, model, reference
from respike.sources.diehl_cook_2015.model import DiehlCookError, start_state
from respike.sources.diehl_cook_2015.settings import Parameters
from respike.spiking.encoding import stream_key

P = Parameters(
    n_exc=12, dt_ms=0.5, present_ms=60, rest_ms=60, intensity=2, min_spikes=2, max_intensity=6,
    delay_max_ms=10, tau_mem_exc_ms=100, v_rest_exc_mV=-65, v_reset_exc_mV=-65,
    v_thresh_exc_mV=-52, refrac_exc_ms=5, theta_start_mV=14, theta_offset_mV=20,
    theta_plus_mV=0.05, tc_theta_ms=1e7, tau_mem_inh_ms=10, v_rest_inh_mV=-60, v_reset_inh_mV=-45,
    v_thresh_inh_mV=-40, refrac_inh_ms=2, tau_ge_ms=1, tau_gi_ms=2, e_exc_mV=0, e_inh_mV=-100,
    w_exc_inh=10.4, w_inh_exc=17, w_start=0.3, w_max=1, norm=78, nu_pre=1e-4, nu_post=1e-2,
    tc_pre_ms=20, tc_post1_ms=20, tc_post2_ms=40, potential="exponential", conductances="exact",
    synapses="conductance", inhibition="population", rule="triplet", one_spike=False,
    reset_state=False, batch_size=1,
)  # fmt: skip
KEY = stream_key(0, 1)


def change(p=P, **changes):
    return dataclasses.replace(p, **changes)


def images(count=5):
    """Return some blots of ink, uint8 (count, 784)."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:28, :28]
    at = rng.uniform(9, 19, (count, 2, 1, 1))
    ink = 255 * np.exp(-((y - at[:, 0]) ** 2 + (x - at[:, 1]) ** 2) / 40)
    return np.where(ink > 30, ink, 0).astype(np.uint8).reshape(count, 784)


def fast_raster(p, state, start, pixels, learn):
    num_steps = model.steps(p.present_ms + p.rest_ms, p)
    raster = np.zeros((num_steps, p.n_exc), np.uint8)
    counts = np.zeros(p.n_exc, np.int32)
    computed = cpu.present(
        start, pixels, num_steps, cpu.parts(state), cpu.numbers(p), cpu.traces(p), np.uint64(KEY),
        learn, counts, raster,
    )  # fmt: skip
    np.testing.assert_array_equal(counts, raster[: len(start) - 1].sum(axis=0))
    return raster, computed


VARIANTS = {
    "as documented": {},
    "one tile is not enough": {"n_exc": 300},
    "euler potential": {"potential": "euler"},
    "euler conductances": {"conductances": "euler"},
    "currents": {"synapses": "current"},
    "currents, euler": {"synapses": "current", "potential": "euler"},
    "direct inhibition": {"inhibition": "direct"},
    "pair rule": {"rule": "pair"},
    "one spike": {"one_spike": True, "w_inh_exc": 0.1},
    "reset": {"v_reset_exc_mV": -60},
    "set back, no rest": {"rest_ms": 0, "reset_state": True},
    "no delays": {"delay_max_ms": 0},
    "steps of 1 ms": {"dt_ms": 1},
    "thresholds move fast": {"tc_theta_ms": 300, "theta_plus_mV": 2},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("learn", [True, False])
def test_spikes_are_those_of_the_reference(changes, learn):
    p = change(**changes)
    ours, theirs = start_state(p, 0), start_state(p, 0)
    if not learn:
        reference.normalise(p, ours), reference.normalise(p, theirs)
    number = np.arange(5)
    counts, repeats, rasters = reference.show(p, theirs, images(), number, KEY, learn)
    at, computed, num_steps = 0, 0, model.steps(p.present_ms + p.rest_ms, p)
    for image, k, shows in zip(images(), number, repeats, strict=True):
        for tried in range(shows):
            if p.reset_state:
                reference.set_back(p, ours)
            if learn:
                cpu.normalise(ours.w, ours.changed, float(p.norm))
            place = k * model.MAX_REPEATS + tried
            start, pixels = encode.encode(image, p.intensity + tried, KEY, place, p)
            raster, steps = fast_raster(p, ours, start, pixels, learn)
            np.testing.assert_array_equal(raster, rasters[at])
            at, computed = at + 1, computed + steps
    assert sum(r.sum() for r in rasters) > 10 and at == len(rasters)
    assert computed <= at * num_steps
    for name, value in theirs.arrays().items():
        np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-6, atol=1e-6, err_msg=name)
    # The loop over images makes the same of them.
    again = start_state(p, 0)
    if not learn:
        reference.normalise(p, again)
    found = cpu.show(p, again, images(), number, KEY, learn)
    np.testing.assert_array_equal(found[0], counts)
    np.testing.assert_array_equal(found[1], repeats)
    for name, value in ours.arrays().items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)


NOTHING = np.zeros(0, np.int16)


def silent_input(p=P):
    return np.zeros(model.steps(p.present_ms, p) + 1, np.int64), NOTHING


def one_input(pixel, step, p=P):
    start = np.zeros(model.steps(p.present_ms, p) + 1, np.int64)
    start[step + 1 :] = 1
    return start, np.array([pixel], np.int16)


def short(steps, **changes):
    """Return settings of a presentation of so many steps without a rest."""
    return change(present_ms=steps * 0.5, rest_ms=0, **changes)


def about_to_fire(p, *neurons):
    """Return a network whose neurons named here fire at the first step."""
    state = start_state(p, 0)
    state.v[list(neurons)] = -40
    return state


@pytest.mark.parametrize("x", [0, 0.005, 0.1, 1.0, 7.5, 31.0, 700.0])
def test_the_decay_is_the_exponential_to_a_billionth(x):
    assert cpu.decayed(x) == pytest.approx(math.exp(-x), abs=1e-9)


def test_silence_stays_silent_and_at_rest():
    state = start_state(P, 0)
    raster, computed = fast_raster(P, state, *silent_input(), learn=True)
    assert raster.sum() == 0 and (state.v == -65).all() and (state.v_inh == -60).all()
    assert computed < len(raster) == 240  # the rest of the pause is one step
    assert state.now == 240 and not state.g_e.any() and not state.arriving.any()


def test_an_input_arrives_after_its_delay_and_drives_by_the_equation():
    p = short(6)
    state = start_state(p, 0)
    state.delay[:] = 9  # later than this presentation
    state.delay[5, 3], state.w[5, 3] = 2, 0.25
    fast_raster(p, state, *one_input(5, 1, p), learn=False)
    # Spike at step 1, conductance from the end of step 3, potential from step 4 on.
    v, g = -65.0, 0.25
    for _ in range(2):
        v = -65 / (1 + g) + (v + 65 / (1 + g)) * math.exp(-(1 + g) * 0.5 / 100)
        g *= math.exp(-0.5)
    assert state.v[3] == pytest.approx(v, abs=1e-9) and state.g_e[3] == pytest.approx(g)
    assert (np.delete(state.v, 3) == -65).all()


def test_an_output_spike_inhibits_all_others_one_step_later():
    p = short(2)
    state = about_to_fire(p, 4)
    raster, _ = fast_raster(p, state, *silent_input(p), learn=False)
    assert raster[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0] and raster[1].sum() == 0
    # 10.4 drives the inhibitory neuron from -60 to -36 mV in one step, above its -40.
    to = -60 / 11.4
    assert to + (-60 - to) * math.exp(-11.4 * 0.05) > -40
    assert state.v_inh[4] == -45 and state.g_inh[4] == pytest.approx(10.4 * math.exp(-0.5))
    assert state.g_i[4] == 0 and (np.delete(state.g_i, 4) == 17).all()
    assert state.v[4] == -65


def test_direct_inhibition_comes_in_the_step_of_the_spike():
    p = short(1, inhibition="direct")
    state = about_to_fire(p, 4)
    fast_raster(p, state, *silent_input(p), learn=False)
    assert state.g_i[4] == 0 and (np.delete(state.g_i, 4) == 17).all()


def test_a_neuron_is_held_for_its_refractory_time():
    p = short(30, w_inh_exc=0, v_reset_exc_mV=-50)  # above threshold: it fires when it may
    raster, _ = fast_raster(p, about_to_fire(p, 0), *silent_input(p), learn=False)
    assert np.flatnonzero(raster[:, 0]).tolist() == [0, 11, 22]  # 5 ms are ten steps between


def test_of_several_neurons_one_spikes_and_all_are_reset():
    p = short(1, one_spike=True)
    state = about_to_fire(p, 2, 7, 9)
    raster, _ = fast_raster(p, state, *silent_input(p), learn=True)
    assert raster.sum() == 1 and (state.v[[2, 7, 9]] == -65).all()
    assert (np.sort(state.theta)[-3:] > 14.04).all()


def test_a_threshold_rises_with_a_spike_and_decays_slowly():
    p = short(4, tc_theta_ms=100)
    state = about_to_fire(p, 1)
    fast_raster(p, state, *silent_input(p), learn=True)
    keep = math.exp(-0.5 / 100)
    assert state.theta[0] == pytest.approx(14 * keep**4)
    assert state.theta[1] == pytest.approx((14 * keep + 0.05) * keep**3)
    frozen = about_to_fire(p, 1)
    fast_raster(p, frozen, *silent_input(p), learn=False)
    assert (frozen.theta == 14).all()


def after_spikes(rule, pre_at, post_before):
    """Return the change of a weight: input at step pre_at, output at step 0 and some steps before.

    The output fires at step 0 of a presentation that starts at step 1000.
    """
    p = short(6, rule=rule)
    state = about_to_fire(p, 4)
    state.now[:] = 1000
    if post_before is not None:
        state.last_post[4] = 1000 - post_before
    if pre_at < 0:
        state.last_pre[7], given = 1000 + pre_at, silent_input(p)
    else:
        given = one_input(7, pre_at, p)
    before = float(state.w[7, 4])
    fast_raster(p, state, *given, learn=True)
    others = np.delete(state.w, 7, axis=0)
    assert (others == np.delete(start_state(p, 0).w, 7, axis=0)).all()
    return float(state.w[7, 4]) - before


def test_weights_rise_at_output_spikes_by_the_traces_before_them():
    near = {"abs": 1e-8}
    assert after_spikes("triplet", -6, None) == 0  # no earlier output spike
    found = after_spikes("triplet", -6, 30)
    assert found == pytest.approx(0.01 * math.exp(-3 / 20) * math.exp(-15 / 40), **near)
    assert after_spikes("pair", -6, None) == pytest.approx(0.01 * math.exp(-3 / 20), **near)
    assert after_spikes("triplet", -6, 20_000) == 0  # D3


def test_weights_fall_at_input_spikes_by_the_first_trace():
    found = after_spikes("triplet", 4, None)
    assert found == pytest.approx(-1e-4 * math.exp(-2 / 20), abs=1e-8)
    # At the same step: the input first, by the trace before, then the output.
    both = after_spikes("triplet", 0, 30)
    down, up = -1e-4 * math.exp(-15 / 20), 0.01 * math.exp(-15 / 40)
    assert both == pytest.approx(down + up, abs=1e-8)


def test_weights_stay_between_their_bounds():
    p = short(3, rule="pair", nu_post=5, nu_pre=5)
    state = about_to_fire(p, 4)
    fast_raster(p, state, *one_input(7, 0, p), learn=True)
    assert state.w[7, 4] == 1
    fast_raster(p, state, *one_input(7, 0, p), learn=True)
    assert state.w[7, 4] == 0


def test_only_neurons_whose_weights_changed_are_normalised():
    state = start_state(P, 0)
    kept = state.w[:, 5].copy()
    state.changed[5] = False
    cpu.normalise(state.w, state.changed, 78.0)
    np.testing.assert_allclose(np.delete(state.w.sum(axis=0), 5), 78, rtol=1e-5)
    np.testing.assert_array_equal(state.w[:, 5], kept)
    assert not state.changed.any()


def test_a_dim_image_is_shown_again_with_more_intensity():
    p = change(min_spikes=10_000)
    _, repeats = cpu.show(p, start_state(p, 0), images(2), np.arange(2), KEY, True)
    assert repeats.tolist() == [5, 5]  # intensity 2 to 6
    dark = np.zeros((1, 784), np.uint8)
    counts, repeats = cpu.show(P, start_state(P, 0), dark, np.arange(1), KEY, True)
    assert repeats.tolist() == [5] and counts.sum() == 0
    _, repeats = cpu.show(
        change(min_spikes=0), start_state(P, 0), dark, np.arange(1), KEY, True
    )  # fmt: skip
    assert repeats.tolist() == [1]


def test_input_has_its_rate_and_every_presentation_its_own_draws():
    p = change(present_ms=10_000)
    image = np.zeros(784, np.uint8)
    image[10:60], image[60:110] = 255, 80
    trains = [encode.encode(image, 2, KEY, number, p) for number in (0, 0, 1)]
    start, pixels = trains[0]
    for first, value in ((10, 255), (60, 80)):
        rate_hz = ((pixels >= first) & (pixels < first + 50)).sum() / 50 / 10
        assert rate_hz == pytest.approx(value / 8 * 2, rel=0.05)
    assert set(pixels) <= set(range(10, 110)) and start[-1] == len(pixels)
    for t in range(200):
        own = pixels[start[t] : start[t + 1]]
        assert (np.diff(own) > 0).all()
    np.testing.assert_array_equal(pixels, trains[1][1])
    assert not np.array_equal(pixels, trains[2][1])


def test_changes_of_a_batch_add_up():
    p = change(batch_size=2, reset_state=True, rest_ms=0)
    single = change(p, batch_size=1)
    start = start_state(p, 0)
    cpu.normalise(start.w, start.changed, float(p.norm))
    apart = []
    for k in range(2):
        state = start.copy()
        cpu.show(single, state, images(2)[[k]], [k], KEY, True)
        apart.append(state)
    together = start.copy()
    cpu.show(p, together, images(2), np.arange(2), KEY, True)
    w = start.w + sum(state.w - start.w for state in apart)
    np.testing.assert_allclose(together.w, np.clip(w, 0, 1), atol=1e-6)
    theta = start.theta + sum(state.theta - start.theta for state in apart)
    np.testing.assert_allclose(together.theta, theta, rtol=1e-12)
    assert (together.theta > start.theta).any()
    np.testing.assert_array_equal(together.changed, apart[0].changed | apart[1].changed)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"max_intensity": 1}, "max_intensity"), ({"max_intensity": 70}, "max_intensity"),
     ({"present_ms": 0.1}, "present_ms"), ({"delay_max_ms": 200}, "delay_max_ms")],
)  # fmt: skip
def test_settings_that_fit_no_network_are_named(changes, named):
    with pytest.raises(DiehlCookError, match=named):
        start_state(change(**changes), 0)
