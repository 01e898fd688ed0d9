"""The network of kulkarni-forward-paper.md, one function per step, in plain NumPy.

Sections III to VIII, written step by step for reading and as the reference for the fast paths
(`respike.kulkarni_fast`, `respike.kulkarni_torch`). Three variants of each step that the sources
disagree about: `as_documented` (as printed), `as_coded` (the authors' repository) and `corrected`.

Units: pA, mV, ms, pF, nS, so that pA / pF = nS mV / pF = mV / ms. Time is the first axis; step t
turns the potential before it into the potential after it, and a spike at step t is one that the
potential after step t earns.
"""

import math
from dataclasses import dataclass

import numpy as np

SIDE, FIELD = 28, 3  # pixels of an image's side and of a filter's side
MAP = SIDE - FIELD + 1  # 26: side of a feature map
N_CLASSES = 10


@dataclass(frozen=True)
class Constants:
    """Constants of Sections III and VI, in the document's units.

    Raises
    ------
    ValueError
        If a constant has no meaning, or the step makes the integration unstable.
    """

    num_steps: int  # source: 1000
    dt_ms: float  # source: 0.1 (100 ms in 1000 steps)
    c_pF: float  # membrane capacitance, source: 300
    g_leak_nS: float  # leak conductance, source: 30
    v_rest_mV: float  # E_L, source: 70 as printed, -70 in the code
    v_thresh_mV: float  # V_T, source: 20
    refrac_ms: float  # source: 3
    tau1_ms: float  # slow time constant of the synapse, source: 5
    tau2_ms: float  # fast one, source: 1.25
    i0_pA: float  # current of pixel value 0, source: 2700
    ip_pA: float  # current per unit of pixel value, source: 101.2

    def __post_init__(self):
        for name in ("num_steps", "dt_ms", "c_pF", "g_leak_nS", "tau1_ms", "tau2_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: found {value}, allowed: a finite number above 0")
        if self.refrac_ms < 0:
            raise ValueError(f"refrac_ms: found {self.refrac_ms}, allowed: 0 or more")
        limit = 2 * self.c_pF / self.g_leak_nS
        if self.dt_ms >= limit:
            raise ValueError(
                f"dt_ms: found {self.dt_ms}, the integration of the membrane is unstable from "
                f"2 C / g_L = {limit:g} ms on; choose a smaller step"
            )

    @property
    def refrac_steps(self) -> int:
        """Steps for which a neuron is held at rest after a spike."""
        return round(self.refrac_ms / self.dt_ms)


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


def check_images(images: np.ndarray) -> np.ndarray:
    """Return images as uint8 (n, 28, 28); raise ValueError for another size or pixel value."""
    images = np.asarray(images)
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"images: found shape {images.shape}, allowed: (n, {SIDE}, {SIDE})")
    if images.dtype != np.uint8:
        if not np.isfinite(images).all() or images.min() < 0 or images.max() > 255:
            raise ValueError(
                f"images: found pixels from {images.min()} to {images.max()}, allowed: 0 to 255"
            )
        if (images != np.floor(images)).any():
            raise ValueError(
                "images: found pixels that are not whole numbers, allowed: 0 to 255 (multiply "
                "images in [0, 1] by 255 and round)"
            )
    return images.astype(np.uint8)


def check_currents(cur: np.ndarray) -> None:
    """Raise ValueError if a current is NaN or infinite."""
    bad = ~np.isfinite(cur)
    if bad.any():
        at = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"currents: {int(bad.sum())} of {bad.size} are not finite, the first at (step, neuron) "
            f"{at}; check the filters, the weights and the synapse's gain"
        )


# ------------------------------------------------------------------------- Section III: neurons


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


# ---------------------------------------------------------------- Section IV: input to hidden


def convolve(maps: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return valid convolutions (num_steps, n_filters, 26, 26) of maps (num_steps, 28, 28).

    As in neural networks the filters (n_filters, 3, 3) are not flipped. Summed over the field in
    reading order, one term at a time: the fast path adds in the same order.
    """
    out = np.zeros((len(maps), len(filters), MAP, MAP))
    for dy in range(FIELD):
        for dx in range(FIELD):
            part = maps[:, None, dy : dy + MAP, dx : dx + MAP]
            out += filters[None, :, dy, dx, None, None] * part
    return out


def hidden_currents(image: np.ndarray, filters: np.ndarray, gain_pA: float, trains: np.ndarray):
    """Return currents in pA, (num_steps, n_filters * 676): each step's spikes convolved."""
    maps = trains[:, image].astype(float)  # (num_steps, 28, 28)
    return gain_pA * convolve(maps, filters).reshape(len(maps), -1)


# ------------------------------------------------------------- Section VI: hidden to output


def synaptic_trace(spk: np.ndarray, c: Constants) -> np.ndarray:
    """Return c(t) (num_steps, n): e^{-t/tau1} - e^{-t/tau2} after each spike, by two states."""
    slow = fast = np.zeros(spk.shape[1])
    keep_slow, keep_fast = math.exp(-c.dt_ms / c.tau1_ms), math.exp(-c.dt_ms / c.tau2_ms)
    trace = np.empty(spk.shape)
    for t in range(len(spk)):
        slow = slow * keep_slow + spk[t]
        fast = fast * keep_fast + spk[t]
        trace[t] = slow - fast
    return trace


def printed_kernel(c: Constants) -> np.ndarray:
    """Return e^{-t/tau1} - e^{t/tau2}, float64 (num_steps,), as printed: it grows without bound."""
    t_ms = np.arange(c.num_steps) * c.dt_ms
    return np.exp(-t_ms / c.tau1_ms) - np.exp(t_ms / c.tau2_ms)


def double_exponential(c: Constants) -> np.ndarray:
    """Return e^{-t/tau1} - e^{-t/tau2}, float64 (num_steps,)."""
    t_ms = np.arange(c.num_steps) * c.dt_ms
    return np.exp(-t_ms / c.tau1_ms) - np.exp(-t_ms / c.tau2_ms)


def printed_recursion(spk: np.ndarray, c: Constants, fast_sign: int = 1) -> np.ndarray:
    """Return c(t) = e^{-dt/tau1} e^{dt/tau2} c(t-1) + spike, as printed (fast_sign +1).

    fast_sign -1 puts the missing minus in: one decay, still no double exponential.
    """
    keep = math.exp(-c.dt_ms / c.tau1_ms) * math.exp(fast_sign * c.dt_ms / c.tau2_ms)
    trace = np.zeros(spk.shape)
    before = np.zeros(spk.shape[1])
    for t in range(len(spk)):
        trace[t] = before = keep * before + spk[t]
    return trace


def kernel_trace(spk: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the sum over spikes of the kernel since each, (num_steps, n); any kernel."""
    trace = np.zeros(spk.shape)
    for t in range(len(spk)):
        now = np.flatnonzero(spk[t])
        trace[t:, now] += kernel[: len(spk) - t, None]
    return trace


def output_currents(spk: np.ndarray, weights: np.ndarray, gain_pA: float, c: Constants, variant):
    """Return currents of the output layer in pA, (num_steps, 10); weights (10, n)."""
    if variant.synapse == "two_states":
        trace = synaptic_trace(spk, c)
    else:
        trace = kernel_trace(spk, printed_kernel(c))
    return gain_pA * (trace @ weights.T)


# ------------------------------------------------------- Sections VII and VIII: decision, short cut


def decide(counts: np.ndarray) -> np.ndarray:
    """Return the class with most spikes for counts (..., 10); the lowest of equals."""
    return np.asarray(counts).argmax(axis=-1)


def modified_decay(c: Constants) -> float:
    """Return the share of the modified pass's current left after a step, e^{-dt/tau1}."""
    return math.exp(-c.dt_ms / c.tau1_ms)


def feature_map(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return the convolved image (n_filters * 676,), pixels scaled to [0, 1] (Section VIII)."""
    return convolve(image[None] / 255.0, filters).reshape(-1)


def modified_currents(features: np.ndarray, gain_pA: float, decay: float, num_steps: int):
    """Return k decay^t in pA, (num_steps, n), for features k (n,) (Section VIII)."""
    return gain_pA * decay ** np.arange(num_steps)[:, None] * features


def forward(
    image: np.ndarray,
    filters: np.ndarray,
    weights: np.ndarray,
    c: Constants,
    variant: Variant,
    gain_pA: float,
    gain_out_pA: float,
    decay: float | None = None,
    trains: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the hidden spikes (num_steps, n) and output spikes (num_steps, 10) of one image.

    Steps 1 to 5 of Section VII; with `decay` the modified pass of Section VIII. weights (10, n);
    `trains` may hold `pixel_trains`, made once.
    """
    if decay is None:
        trains = pixel_trains(c, variant) if trains is None else trains
        cur = hidden_currents(image, filters, gain_pA, trains)
    else:
        cur = modified_currents(feature_map(image, filters), gain_pA, decay, c.num_steps)
    spk = current_to_spikes(cur, c, variant)
    out = output_currents(spk, weights, gain_out_pA, c, variant)
    return spk, current_to_spikes(out, c, variant)
