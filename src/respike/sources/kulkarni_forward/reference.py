"""The network of kulkarni-forward-paper.md, one function per step, in plain NumPy.

Sections IV to VIII, written step by step for reading and as the reference for the fast paths
(`cpu`, `gpu`). Neurons, units and variants are those of
`neuron`; time is the first axis.
"""

import math

import numpy as np

from respike.sources.kulkarni_forward.neuron import (
    Constants,
    Variant,
    current_to_spikes,
    pixel_trains,
)

SIDE, FIELD = 28, 3  # pixels of an image's side and of a filter's side
MAP = SIDE - FIELD + 1  # 26: side of a feature map
N_CLASSES = 10


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
