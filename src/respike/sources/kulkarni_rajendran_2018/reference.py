"""The network of Kulkarni and Rajendran (2018) step by step: for reading, and to test `cpu`.

Plain NumPy. Units: pA, mV, ms, pF, nS, so that pA / pF = nS mV / pF = mV / ms. Time is the first
axis; a current in step t moves the potential of step t.
"""

import math

import numpy as np

from respike.sources.kulkarni_rajendran_2018.settings import Constants

SIDE, FIELD = 28, 3  # pixels of an image's side and of a kernel's
MAP = SIDE - FIELD + 1  # 26: side of a hidden map
N_CLASSES = 10
NONE = N_CLASSES  # answer where no output fires
# Two correlations within rounding of one another are equal: the same spikes in another order.
EQUAL = 1e-9


class Layer:
    """Leaky integrate-and-fire neurons (Section 2); `clips`: V stays in [E_L, V_T]."""

    def __init__(self, n: int, c: Constants, clips: bool):
        self.c, self.clips = c, clips
        self.v = np.full(n, c.v_rest_mV)
        self.free_at = np.zeros(n, int)
        self.t = 0

    def step(self, cur_pA: np.ndarray) -> np.ndarray:
        """Return who fires in the next step, bool (n,), for the currents in it."""
        c = self.c
        self.v = self.v + c.dt_ms * (-c.g_leak_nS * (self.v - c.v_rest_mV) + cur_pA) / c.c_pF
        if self.clips:
            self.v = np.clip(self.v, c.v_rest_mV, c.v_thresh_mV)
        self.v[self.t < self.free_at] = c.v_rest_mV
        fired = self.v >= c.v_thresh_mV
        self.v[fired] = c.v_rest_mV
        self.free_at[fired] = self.t + 1 + c.refrac_steps
        self.t += 1
        return fired


def check_images(images: np.ndarray) -> np.ndarray:
    """Return images uint8 (n, 28, 28) as they are; raise ValueError for others."""
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise ValueError(
            f"images: found shape {images.shape}, {images.dtype}, allowed: (n, {SIDE}, {SIDE}), "
            "uint8"
        )
    return images


def pixel_current(pixels: np.ndarray, c: Constants) -> np.ndarray:
    """Return the constant current of pixel values in pA."""
    return c.i0_pA + np.asarray(pixels, float) * c.ip_pA


def desired_train(c: Constants, period_ms: float) -> np.ndarray:
    """Return the train asked of the label's neuron, uint8 (num_steps,): a spike every period.

    The first comes a period after the start (U7). Raises ValueError where the refractory time
    allows no such train.
    """
    period = round(period_ms / c.dt_ms)
    if period <= c.refrac_steps:
        raise ValueError(
            f"period_ms: found {period_ms}, allowed: above the refractory time, {c.refrac_ms}"
        )
    train = np.zeros(c.num_steps, np.uint8)
    train[period - 1 :: period] = 1
    return train


def synaptic_trace(spk: np.ndarray, c: Constants) -> np.ndarray:
    """Return c(t), (num_steps, n): exp(-t / tau1) - exp(-t / tau2) since each spike, summed."""
    slow, fast = (math.exp(-c.dt_ms / tau) for tau in (c.tau1_ms, c.tau2_ms))
    return low_pass(spk, slow) - low_pass(spk, fast)


def convolve(maps: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Return maps (num_steps, n_kernels, 26, 26) of (num_steps, 28, 28), stride 1, no border.

    As in neural networks the kernels (n_kernels, 3, 3) are not flipped.
    """
    out = np.zeros((len(maps), len(kernels), MAP, MAP))
    for dy in range(FIELD):
        for dx in range(FIELD):
            part = maps[:, None, dy : dy + MAP, dx : dx + MAP]
            out += kernels[None, :, dy, dx, None, None] * part
    return out


def layer_spikes(cur_pA: np.ndarray, c: Constants, clips: bool) -> np.ndarray:
    """Return the spikes of a layer, bool (num_steps, n), for its currents (num_steps, n)."""
    layer = Layer(cur_pA.shape[1], c, clips)
    return np.array([layer.step(cur) for cur in cur_pA])


def input_spikes(image: np.ndarray, c: Constants) -> np.ndarray:
    """Return the spikes of the pixels, bool (num_steps, 784), of an image uint8 (28, 28)."""
    cur = pixel_current(image.reshape(-1), c)
    return layer_spikes(np.tile(cur, (c.num_steps, 1)), c, clips=True)


def hidden_spikes(
    spk: np.ndarray, kernels: np.ndarray, gain_pA: float, c: Constants, synapse: str, clips: bool
) -> np.ndarray:
    """Return the hidden spikes, bool (num_steps, n_kernels * 676), for those of the pixels.

    synapse: double_exponential, or pulse: a spike is a current of `gain_pA` in its step alone (U3).
    """
    trace = synaptic_trace(spk, c) if synapse == "double_exponential" else spk.astype(float)
    maps = convolve(trace.reshape(len(spk), SIDE, SIDE), kernels)
    return layer_spikes(gain_pA * maps.reshape(len(spk), -1), c, clips)


def output_spikes(
    spk: np.ndarray, weights: np.ndarray, inhibit_pA: float, c: Constants, clips: bool
) -> np.ndarray:
    """Return the output spikes, bool (num_steps, 10), for those below and weights (n, 10) in pA.

    Each output spike gives the nine others -inhibit_pA c(t) from the next step on (U13).
    """
    driven = synaptic_trace(spk, c) @ weights
    layer = Layer(N_CLASSES, c, clips)
    slow = fast = fired = np.zeros(N_CLASSES)
    keep_slow, keep_fast = math.exp(-c.dt_ms / c.tau1_ms), math.exp(-c.dt_ms / c.tau2_ms)
    out = np.zeros((len(spk), N_CLASSES), bool)
    for t in range(len(spk)):
        others = fired.sum() - fired
        slow, fast = slow * keep_slow + others, fast * keep_fast + others
        out[t] = layer.step(driven[t] - inhibit_pA * (slow - fast))
        fired = out[t].astype(float)
    return out


def low_pass(x: np.ndarray, keep: float) -> np.ndarray:
    """Return x filtered along time: y(t) = keep y(t - 1) + x(t)."""
    y = np.zeros(x.shape)
    before = np.zeros(x.shape[1:])
    for t in range(len(x)):
        y[t] = before = keep * before + x[t]
    return y


def normad_change(
    spk: np.ndarray, out: np.ndarray, label: int, desired: np.ndarray, c: Constants,
    tau_leak_ms: float,
) -> np.ndarray:  # fmt: skip
    """Return the change of the weights (n, 10) by one image, over the learning rate (Section 3.3).

    The sum over t of e(t) d(t) / ||d(t)||, d the trace filtered with exp(-t / tau_L), e the desired
    spikes of the label's neuron (none of the others) minus those of the outputs.
    """
    e = -out.astype(float)
    e[:, label] += desired
    d = low_pass(synaptic_trace(spk, c), math.exp(-c.dt_ms / tau_leak_ms))
    norm = np.linalg.norm(d, axis=1)
    unit = np.divide(d, norm[:, None], out=np.zeros(d.shape), where=norm[:, None] > 0)
    return unit.T @ e


# ------------------------------------------------------------------------------------ read-outs


def highest(values: np.ndarray) -> np.ndarray:
    """Return the lowest class within rounding of the highest value, for values (..., 10)."""
    return (values >= values.max(axis=-1, keepdims=True) * (1 - EQUAL)).argmax(axis=-1)


def correlations(out: np.ndarray, desired: np.ndarray, c: Constants, tau_ms: float) -> np.ndarray:
    """Return the cosine of each output train (num_steps, 10) and the desired one, float64 (10,).

    Both are filtered with exp(-t / tau) (Equations 11 and 12). 0 for a train without spikes.
    """
    keep = math.exp(-c.dt_ms / tau_ms)
    y, wanted = low_pass(out.astype(float), keep), low_pass(desired.astype(float), keep)
    norms = np.linalg.norm(y, axis=0) * np.linalg.norm(wanted)
    return np.divide(wanted @ y, norms, out=np.zeros(N_CLASSES), where=norms > 0)


def answers(out: np.ndarray, desired: np.ndarray, c: Constants, tau_ms: float) -> dict[str, int]:
    """Return the class by each read-out for output spikes (num_steps, 10); NONE without a spike."""
    if not out.any():
        return dict.fromkeys(("correlation", "count", "first"), NONE)
    return {
        "correlation": int(highest(correlations(out, desired, c, tau_ms))),
        "count": int(out.sum(axis=0).argmax()),
        "first": int(out[out.any(axis=1).argmax()].argmax()),
    }
