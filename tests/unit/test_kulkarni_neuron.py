"""The neuron against spike times worked by hand, and its clear errors."""

import dataclasses
import math

import numpy as np
import pytest

from respike.sources.kulkarni_forward.neuron import (
    VARIANTS,
    Constants,
    current_to_spikes,
    euler_step,
    heun_step,
    pixel_current,
    pixel_trains,
    resume_steps,
)

PRINTED, CODED, CORRECTED = (VARIANTS[v] for v in ("as_documented", "as_coded", "corrected"))
C = Constants(
    num_steps=1000, dt_ms=0.1, c_pF=300, g_leak_nS=30, v_rest_mV=-70, v_thresh_mV=20,
    refrac_ms=3, tau1_ms=5, tau2_ms=1.25, i0_pA=2700, ip_pA=101.2,
)  # fmt: skip
PRINTED_C = dataclasses.replace(C, v_rest_mV=70)


def times(spk, neuron=0):
    return list(np.flatnonzero(spk[:, neuron]))


def constant(current, c=C):
    return np.full((c.num_steps, 1), float(current))


def test_the_current_of_a_pixel():
    assert list(pixel_current(np.array([0, 1, 255]), C)) == pytest.approx([2700, 2801.2, 28506])


def test_one_step_by_hand():
    # 10 mV above rest leaks 30 nS * 10 mV = 300 pA; 600 pA - 300 pA over 300 pF is 1 mV / ms.
    assert euler_step(-60.0, 600.0, C) == pytest.approx(-59.9)
    # Heun: the slope at -59.9 is (600 - 303) / 300 = 0.99; the mean of both is 0.995.
    assert heun_step(-60.0, 600.0, C) == pytest.approx(-59.9005)
    # The printed sign: (300 + 600) / 300 = 3 mV / ms.
    assert euler_step(-60.0, 600.0, C, leak_sign=1) == pytest.approx(-59.7)


def test_spike_times_of_the_brightest_pixel_by_hand():
    # u_n = I / g (1 - 0.99^n) with I / g = 28506 / 30 = 950.2 mV first reaches 90 mV at n = 10
    # (0.99^10 = 0.90438 < 1 - 90 / 950.2 = 0.90528 < 0.99^9 = 0.91352), which is step 9. Then 30
    # steps at rest and 10 steps up: a spike every 40 steps, 25 in all.
    spk = current_to_spikes(constant(28506), C, CORRECTED)
    assert times(spk) == list(range(9, 1000, 40))
    assert spk.sum() == 25


def test_one_refractory_step_less_gives_one_spike_more():
    spk = current_to_spikes(constant(28506), dataclasses.replace(C, refrac_ms=2.9), CORRECTED)
    assert times(spk) == list(range(9, 1000, 39))
    assert spk.sum() == 26


def test_the_rheobase_never_fires_and_a_little_more_does():
    # At 2700 pA u tends to 90 mV from below; 1 - 0.99^1000 = 0.99996 of it is reached in 100 ms.
    assert current_to_spikes(constant(2700), C, CORRECTED).sum() == 0
    first = times(current_to_spikes(constant(2801.2), C, CORRECTED))[0]
    n = math.ceil(math.log(1 - 90 / (2801.2 / 30)) / math.log(0.99))
    assert first == n - 1


def test_threshold_reached_exactly():
    # Without leak on the way (one step from rest): u = 0.1 / 300 * I = 90 mV for I = 270,000 pA.
    cur = np.zeros((C.num_steps, 1))
    cur[5] = 270_000
    c = dataclasses.replace(C, v_rest_mV=-64, v_thresh_mV=26, dt_ms=0.125, num_steps=10)
    cur = cur[:10] * 0.8  # exact in binary: 0.125 / 300 * 216000 = 90
    assert times(current_to_spikes(cur, c, CORRECTED)) == [5]
    not_at = dataclasses.replace(CORRECTED, fires_at_threshold=False)
    assert times(current_to_spikes(cur, c, not_at)) == []


def test_as_coded_all_neurons_start_refractory():
    # Held while i * 1e-4 < 3e-3: until step 29. From rest, Heun's factor is 0.99005 a step: step 39
    # is the tenth free one.
    spk = current_to_spikes(constant(28506), C, CODED)
    assert times(spk)[0] == 39
    assert spk.sum() == 25


def test_as_coded_three_ms_are_30_or_31_steps_as_rounding_falls():
    resume = resume_steps(C, CODED)
    lengths = resume[:-1] - np.arange(C.num_steps)
    inside = lengths[:960]
    assert set(inside) == {30, 31}
    for s in (0, 26, 500):  # the comparison of the code, written out
        held = [i for i in range(s + 1, s + 40) if i * 0.1e-3 - s * 0.1e-3 < 3e-3]
        assert resume[s] == held[-1] + 1
    assert resume_steps(C, CORRECTED)[26] == 26 + 31


def test_as_coded_the_first_neuron_is_held_with_any_other():
    cur = np.zeros((C.num_steps, 2))
    cur[:, 0] = 28506
    alone = current_to_spikes(cur, C, CODED)
    cur[:, 1] = 1e9  # fires as soon as it may
    together = current_to_spikes(cur, C, CODED)
    assert alone[:, 0].sum() == 25
    assert together[:, 1].sum() == 32
    assert together[:, 0].sum() == 0  # never free for ten steps


def test_as_printed_every_pixel_fires_at_the_refractory_limit():
    # Rest at 70 mV is above the threshold of 20 mV: step 0, then every 31 steps, for every pixel.
    spk = pixel_trains(PRINTED_C, PRINTED)
    for pixel in (0, 1, 255):
        assert times(spk, pixel) == list(range(0, 1000, 31))


def test_the_printed_sign_has_no_rheobase():
    # u_n = 90 mV (1.01^n - 1) reaches 90 mV at n = 70 (1.01^69 = 1.987, 1.01^70 = 2.007).
    spk = current_to_spikes(constant(2700), C, CORRECTED, leak_sign=1)
    assert times(spk)[0] == 69


@pytest.mark.parametrize("variant", [CODED, CORRECTED], ids=lambda v: v.name)
def test_silence_stays_silent_and_the_future_changes_no_past(variant):
    rng = np.random.default_rng(0)
    assert current_to_spikes(np.zeros((C.num_steps, 3)), C, variant).sum() == 0
    cur = rng.normal(5e3, 2e4, (C.num_steps, 20))
    changed = cur.copy()
    changed[400:] = rng.normal(5e3, 2e4, (600, 20))
    a, b = current_to_spikes(cur, C, variant), current_to_spikes(changed, C, variant)
    assert a[:400].sum() > 50
    assert (a[:400] == b[:400]).all() and (a[400:] != b[400:]).any()


def test_the_trace_holds_the_potentials():
    trace = np.empty((C.num_steps, 1))
    current_to_spikes(constant(1500), C, CORRECTED, trace=trace)
    n = np.arange(1, C.num_steps + 1)
    assert trace[:, 0] == pytest.approx(-70 + 50 * (1 - 0.99**n))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dt_ms": 20.0}, r"dt_ms: found 20.0, the integration of the membrane is unstable from"),
        ({"dt_ms": 0.0}, "dt_ms: found 0.0, allowed: a finite number above 0"),
        ({"dt_ms": math.nan}, "dt_ms: found nan"),
        ({"c_pF": -300.0}, "c_pF: found -300.0"),
        ({"tau2_ms": math.inf}, "tau2_ms: found inf"),
        ({"refrac_ms": -1.0}, "refrac_ms: found -1.0, allowed: 0 or more"),
        ({"num_steps": 0}, "num_steps: found 0"),
    ],
)
def test_wrong_constants_are_one_clear_error(change, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(C, **change)


def test_the_largest_stable_step_is_the_one_named():
    # Just below 2 C / g_L = 20 ms a deviation still shrinks; above, it would grow.
    c = dataclasses.replace(C, dt_ms=19.9, num_steps=400, v_thresh_mV=1e9)
    cur = np.zeros((400, 1))
    cur[0] = 100.0
    trace = np.empty((400, 1))
    current_to_spikes(cur, c, CORRECTED, trace=trace)
    deviation = np.abs(trace[:, 0] - c.v_rest_mV)
    assert deviation[-1] < 0.1 * deviation[0]


def test_currents_that_are_not_finite_name_the_place():
    cur = np.zeros((C.num_steps, 4))
    cur[17, 2] = np.nan
    with pytest.raises(ValueError, match=r"1 of 4000 are not finite, the first .* \(17, 2\)"):
        current_to_spikes(cur, C, CORRECTED)
    cur[17, 2] = np.inf
    with pytest.raises(ValueError, match="check the filters"):
        current_to_spikes(cur, C, CODED)
