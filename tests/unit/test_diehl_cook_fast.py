"""The fast path of diehl_cook_2015 against plain NumPy, spike for spike, and cases worked by hand."""

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
