"""Pixel to spikes: the count of every pixel value, the rate curve, and what the printed forms do.

Source: kulkarni-forward-paper.md, Sections III and VI, Figure 2. Claims K-a, K-b and K-c; choice
U1. Deterministic: no image, no random number. Cost: seconds.
"""

import dataclasses

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.kulkarni_forward.comparison import rank_correlation
from respike.sources.kulkarni_forward.neuron import (
    VARIANTS,
    Constants,
    current_to_spikes,
    pixel_current,
    pixel_trains,
)
from respike.sources.kulkarni_forward.reference import (
    double_exponential,
    kernel_trace,
    printed_kernel,
    printed_recursion,
    synaptic_trace,
)
from respike.sources.kulkarni_forward.settings import Encode as Settings

AXIS = (0, 45, 95, 135, 185, 205, 255)  # source, Figure 2: pixel values on its axis


def rate_Hz(cur_pA: np.ndarray, c: Constants) -> np.ndarray:
    """Return the firing rate of the corrected neuron for a constant current, in continuous time.

    1 / (t_ref + tau ln(I / (I - I_rheobase))), 0 at and below the rheobase.
    """
    rheobase = c.g_leak_nS * (c.v_thresh_mV - c.v_rest_mV)
    above = np.maximum(cur_pA - rheobase, 0.0)
    with np.errstate(divide="ignore"):
        period_ms = c.refrac_ms + c.c_pF / c.g_leak_nS * np.log(cur_pA / above)
    return np.where(above > 0, 1000 / period_ms, 0.0)


def growth_exponent(x: np.ndarray, y: np.ndarray) -> float:
    """Return p of the least-squares fit y ~ x^p where y > 0; NaN if y does not vary."""
    used = (y > 0) & (x > 0)
    if used.sum() < 2 or np.ptp(y[used]) == 0:
        return float("nan")
    return float(np.polyfit(np.log(x[used]), np.log(y[used]), 1)[0])


def steepest_exponent(c: Constants) -> float:
    """Return the largest local exponent d ln(rate) / d ln(current) between pixel values 1 and 255.

    Of the neuron in continuous time, where counts have no steps. Above 1 the rate grows faster than
    the current.
    """
    cur = pixel_current(np.linspace(1, 255, 2550), c)
    return float(np.gradient(np.log(rate_Hz(cur, c)), np.log(cur)).max())


def interval_spread(spk: np.ndarray) -> float:
    """Return the largest difference, in steps, between two intervals of one train (steps, n)."""
    gaps = [np.diff(np.flatnonzero(train)) for train in spk.T]
    return float(max((np.ptp(g) for g in gaps if len(g)), default=0))


def deviation_left(c: Constants, leak_sign: int) -> tuple[float, np.ndarray]:
    """Return the share of a 1 mV deviation from rest left after one time constant C / g_L.

    Without input and below threshold. And the whole potential (num_steps,).
    """
    quiet = dataclasses.replace(c, v_thresh_mV=1e300)  # no spikes: the equation alone
    # 1 mV above rest is a current pulse of C * 1 mV in the first step.
    cur = np.zeros((c.num_steps, 1))
    cur[0] = c.c_pF / c.dt_ms
    trace = np.empty((c.num_steps, 1))
    current_to_spikes(cur, quiet, VARIANTS["corrected"], leak_sign, trace)
    deviation = trace[:, 0] - c.v_rest_mV
    steps = min(round(c.c_pF / c.g_leak_nS / c.dt_ms), c.num_steps - 1)
    return float(deviation[steps] / deviation[0]), deviation


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Return counts, exponents and the printed forms beside the corrected ones."""
    s = settings
    variant = VARIANTS[s.variant]
    pixels = np.arange(256)
    spk = pixel_trains(s, variant)  # (num_steps, 256)
    counts = spk.sum(axis=0)
    cur = pixel_current(pixels, s)
    rates = counts / (s.num_steps * s.dt_ms) * 1000
    metrics = {f"spikes_pixel_{k}": counts[k] for k in AXIS}
    metrics |= {
        "distinct_counts": len(np.unique(counts)),
        "rank_correlation": rank_correlation(pixels, counts),
        "falling_pairs": float((np.diff(counts) < 0).mean()),
        "growth_exponent_current": growth_exponent(cur, rates),
        "growth_exponent_pixel": growth_exponent(pixels, rates),
        "interval_spread_steps": interval_spread(spk),
        "highest_rate_Hz": rates.max(),
    }
    upright = dataclasses.replace(s, v_rest_mV=-abs(s.v_rest_mV))  # E_L below V_T
    metrics["steepest_exponent_current"] = steepest_exponent(upright)
    one_less = dataclasses.replace(s, refrac_ms=s.refrac_ms - s.dt_ms)  # U1
    metrics["spikes_pixel_255_one_step_less"] = pixel_trains(one_less, variant)[:, -1].sum()
    arrays = {
        "counts": counts, "counts_one_step_less": pixel_trains(one_less, variant).sum(axis=0),
        "current_pA": cur, "rate_Hz": rate_Hz(cur, upright), "trains": np.packbits(spk, axis=0),
    }  # fmt: skip
    progress("part", 1, 2)

    # The printed membrane equation: its sign turns the leak into growth.
    for name, sign in (("printed", 1), ("corrected", -1)):
        metrics[f"deviation_left_{name}_sign"], arrays[f"deviation_{name}_sign"] = deviation_left(
            s, sign
        )
    arrays["counts_printed_sign"] = current_to_spikes(
        np.broadcast_to(cur, (s.num_steps, 256)), s, variant, leak_sign=1
    ).sum(axis=0)
    traces = np.empty((s.num_steps, 256))
    current_to_spikes(np.broadcast_to(cur, (s.num_steps, 256)), s, variant, trace=traces)
    arrays["traces"] = traces[:, list(AXIS)]

    # The printed synapse: its kernel grows, its recursion has one decay.
    arrays["kernel_printed"], arrays["kernel"] = printed_kernel(s), double_exponential(s)
    one_spike = np.zeros((s.num_steps, 1), bool)
    one_spike[0] = True
    for name, sign in (("printed", 1), ("with_minus", -1)):
        arrays[f"recursion_{name}"] = printed_recursion(one_spike, s, sign)[:, 0]
    peak = arrays["kernel"].max()
    gaps = {
        name: np.abs(arrays[f"recursion_{name}"] - arrays["kernel"]).max() / peak
        for name in ("printed", "with_minus")
    }
    train = spk[:, -1:]
    exact, states = kernel_trace(train, arrays["kernel"]), synaptic_trace(train, s)
    metrics |= {
        "kernel_peak": peak,
        "kernel_largest_printed": np.abs(arrays["kernel_printed"]).max(),
        "recursion_gap_printed": gaps["printed"],
        "recursion_gap_with_minus": gaps["with_minus"],
        "two_states_gap": np.abs(states - exact).max() / np.abs(exact).max(),
    }
    progress("part", 2, 2)
    return Result(metrics=metrics, arrays=arrays)
