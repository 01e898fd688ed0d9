"""The neuron of kulkarni-forward-paper.md, Section III: constants, variants, current to spikes.

Plain NumPy, step by step, for reading and as the reference for the fast paths. Three variants of
what the sources disagree about: `as_documented` (as printed), `as_coded` (the authors' repository)
and `corrected`.

Units: pA, mV, ms, pF, nS, so that pA / pF = nS mV / pF = mV / ms. Time is the first axis; step t
turns the potential before it into the potential after it, and a spike at step t is one that the
potential after step t earns.
"""

from dataclasses import dataclass

import numpy as np

from respike.sources.kulkarni_forward.settings import Constants


@dataclass(frozen=True)
class Variant:
    """Where print, code and correction differ."""

    name: str
    integrator: str  # euler | heun
    starts_at_rest: bool  # False: at 0 mV
    fires_at_threshold: bool  # True: V >= V_T; False: V > V_T
    clock: str  # steps: whole steps; float: seconds as floating-point numbers, compared with <
    holds_first: bool  # the first neuron of a layer is held whenever any neuron is refractory
    synapse: str  # two_states | printed_kernel


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("as_documented", "euler", True, True, "steps", False, "printed_kernel"),
        # The repository starts at 0 mV with all neurons refractory, and its indexing holds neuron 0
        # of a layer at rest together with any refractory one.
        Variant("as_coded", "heun", False, False, "float", True, "two_states"),
        Variant("corrected", "euler", True, True, "steps", False, "two_states"),
    )
}


def check_currents(cur: np.ndarray) -> None:
    """Raise ValueError if a current is NaN or infinite."""
    bad = ~np.isfinite(cur)
    if bad.any():
        at = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"currents: {int(bad.sum())} of {bad.size} are not finite, the first at (step, neuron) "
            f"{at}; check the filters, the weights and the synapse's gain"
        )


def pixel_current(pixels: np.ndarray, c: Constants) -> np.ndarray:
    """Return the constant current of each pixel value in pA: I_k = I_0 + k I_p."""
    return c.i0_pA + np.asarray(pixels, float) * c.ip_pA


def membrane_slope(v_mV, cur_pA, c: Constants, leak_sign: int = -1):
    """Return dV/dt in mV / ms; `leak_sign` +1 is the equation as printed, g_L (V - E_L) + I."""
    return (leak_sign * c.g_leak_nS * (v_mV - c.v_rest_mV) + cur_pA) / c.c_pF


def euler_step(v_mV, cur_pA, c: Constants, leak_sign: int = -1):
    """Return V one step later by forward Euler (Section III)."""
    return v_mV + c.dt_ms * membrane_slope(v_mV, cur_pA, c, leak_sign)


def heun_step(v_mV, cur_pA, c: Constants, leak_sign: int = -1):
    """Return V one step later by Heun's method (the authors' code)."""
    first = membrane_slope(v_mV, cur_pA, c, leak_sign)
    second = membrane_slope(v_mV + c.dt_ms * first, cur_pA, c, leak_sign)
    return v_mV + c.dt_ms * (first + second) / 2


def resume_steps(c: Constants, variant: Variant) -> np.ndarray:
    """Return r, int64 (num_steps + 1,): a neuron that fires at step s is held until step r[s] - 1.

    r[-1] is where the first step is that no neuron is held for at the start. As coded, times are
    floating-point seconds: 3 ms are 30 or 31 steps, as rounding falls.
    """
    steps = np.arange(c.num_steps)
    if variant.clock == "steps":
        return np.append(steps + 1 + c.refrac_steps, 0)
    seconds = steps * (c.dt_ms * 1e-3)
    refrac_s = c.refrac_ms * 1e-3
    held = [(seconds - since < refrac_s) & (steps > s) for s, since in enumerate(seconds)]
    after = [int(np.flatnonzero(h)[-1]) + 1 if h.any() else s + 1 for s, h in enumerate(held)]
    start = int(np.flatnonzero(seconds < refrac_s)[-1]) + 1 if refrac_s > 0 else 0
    return np.array([*after, start])


def current_to_spikes(
    cur_pA: np.ndarray,
    c: Constants,
    variant: Variant,
    leak_sign: int = -1,
    trace: np.ndarray | None = None,
) -> np.ndarray:
    """Return the spikes of a layer, bool (num_steps, n), for its input currents (Section III).

    `trace`, float64 (num_steps, n), receives the potential after each step, before a reset. Raises
    ValueError if a current is not finite.
    """
    check_currents(cur_pA)
    step = {"euler": euler_step, "heun": heun_step}[variant.integrator]
    resume = resume_steps(c, variant)
    n = cur_pA.shape[1]
    v = np.full(n, c.v_rest_mV if variant.starts_at_rest else 0.0)
    free_at = np.full(n, resume[-1])
    spk = np.zeros((c.num_steps, n), bool)
    for t in range(c.num_steps):
        v = step(v, cur_pA[t], c, leak_sign)
        held = t < free_at
        if variant.holds_first and held.any():
            held[0] = True
        v[held] = c.v_rest_mV
        if trace is not None:
            trace[t] = v
        fired = v >= c.v_thresh_mV if variant.fires_at_threshold else v > c.v_thresh_mV
        fired &= ~held  # "during which another spike cannot be issued"
        spk[t] = fired
        v[fired] = c.v_rest_mV
        free_at[fired] = resume[t]
    return spk


def pixel_trains(c: Constants, variant: Variant) -> np.ndarray:
    """Return the spike train of every pixel value, bool (num_steps, 256)."""
    cur = pixel_current(np.arange(256), c)
    return current_to_spikes(np.broadcast_to(cur, (c.num_steps, 256)), c, variant)
