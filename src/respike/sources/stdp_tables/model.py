"""The two-layer STDP network of stdp-tables-paper.md: its constants, in the document's units.

784 inputs, all to all onto n output neurons that inhibit one another; Tables 2 and 3, and what the
authors' code adds (U1 to U6). Simulated by `cpu` (CPU) and `gpu`
(torch, any device) in the order of BindsNET 0.3.4's `Network.run`.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from respike.sources.stdp_tables.settings import Parameters

N_PIXELS, N_CLASSES = 784, 10
NEURONS = ("if", "lif", "srm0", "diehl_cook")
RULES = ("PostPre", "WeightDependentPostPre", "Hebbian")
ENCODERS = ("poisson", "bernoulli", "rank_order")


@dataclass(frozen=True)
class Constants(Parameters):
    """The same, and the learning rule."""

    rule: str  # one of RULES


def constants(parameters: Parameters, rule: str, **changes) -> Constants:
    """Return the checked constants of one network; `parameters` may have further fields."""
    own = {field.name: getattr(parameters, field.name) for field in fields(Parameters)}
    found = Constants(**{**own, "rule": rule, **changes})
    check(found)
    return found


class StdpError(ValueError):
    """Constants, images or weights that the network cannot take; the message names the key."""


LEAST = {  # key -> (bound, whether the bound itself is allowed)
    "n_neurons": (1, True), "refrac_ms": (0, True), "tc_decay_ms": (0, False),
    "tc_theta_decay_ms": (0, False), "d_thresh_mV": (0, False), "inhibit_mV": (0, True),
    "theta_plus_mV": (0, True), "nu_pre": (0, True), "nu_post": (0, True), "w_max": (0, False),
    "w_start": (0, False), "norm": (0, False), "tc_trace_ms": (0, False),
}  # fmt: skip


def check(c: Constants) -> None:
    """Raise StdpError for constants without meaning or that contradict one another."""
    for key, allowed in (("neuron", NEURONS), ("rule", RULES)):
        if getattr(c, key) not in allowed:
            raise StdpError(f"{key}: found {getattr(c, key)!r}, allowed: {', '.join(allowed)}")
    for field in fields(Constants):
        value = getattr(c, field.name)
        if field.name in ("neuron", "rule"):
            continue
        if not math.isfinite(value):
            raise StdpError(f"{field.name}: found {value}, allowed is a finite number")
        bound, included = LEAST.get(field.name, (-math.inf, True))
        if value < bound or (value == bound and not included):
            word = "at least" if included else "above"
            raise StdpError(f"{field.name}: found {value}, allowed is {word} {bound}")
    for key in ("v_reset_mV",) if c.neuron == "if" else ("v_reset_mV", "v_rest_mV"):
        # SRM0 has no sharp threshold, but there too a neuron above it would only fire.
        if getattr(c, key) >= c.v_thresh_mV:
            raise StdpError(
                f"{key}: found {getattr(c, key)}, at or above v_thresh_mV {c.v_thresh_mV}: "
                "neurons would fire without input"
            )
    if c.w_start > c.w_max:
        raise StdpError(f"w_start: found {c.w_start}, above w_max {c.w_max}")


@dataclass
class State:
    """What learning changes: weights float32 (784, n) and raised thresholds float32 (n,)."""

    w: np.ndarray
    theta: np.ndarray

    def copy(self) -> "State":
        """Return an independent copy."""
        return State(self.w.copy(), self.theta.copy())


def start_state(c: Constants, seed: int) -> State:
    """Return weights uniform in [0, w_start] and thresholds that are not raised."""
    rng = np.random.default_rng([seed, 0])
    w = (c.w_start * rng.random((N_PIXELS, c.n_neurons), np.float32)).astype(np.float32)
    return State(w, np.zeros(c.n_neurons, np.float32))


def check_state(c: Constants, w: np.ndarray, theta: np.ndarray | None = None) -> State:
    """Return given weights (784, n) and thresholds (n,) as a State; raise StdpError.

    Without `theta` no threshold is raised. Weights need not be normalised, only lie in [0, w_max]
    within rounding (a normalisation after the last update may lift one above w_max).
    """
    w = np.asarray(w)
    if w.shape != (N_PIXELS, c.n_neurons):
        raise StdpError(f"w: found shape {w.shape}, allowed: ({N_PIXELS}, {c.n_neurons})")
    theta = np.zeros(c.n_neurons) if theta is None else np.asarray(theta)
    if theta.shape != (c.n_neurons,):
        raise StdpError(f"theta: found shape {theta.shape}, allowed: ({c.n_neurons},)")
    for name, values in (("w", w), ("theta", theta)):
        if values.dtype.kind not in "fiu":
            raise StdpError(f"{name}: found {values.dtype}, allowed are real numbers")
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise StdpError(
                f"{name}: {bad} of {values.size} values are NaN or infinite; the training that "
                "made them diverged, so take an earlier state or a smaller learning rate"
            )
    if w.min() < 0:
        raise StdpError(f"w: found {w.min()}, allowed is 0 or more")
    return State(w.astype(np.float32), theta.astype(np.float32))


def check_images(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, 784) of images (n, 28, 28) or (n, 784); raise StdpError."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (2, 3):
        raise StdpError(
            f"images: found {images.dtype} {images.shape}, allowed is uint8 (n, 28, 28) or (n, 784)"
        )
    flat = images.reshape(len(images), -1)
    if flat.shape[1] != N_PIXELS:
        raise StdpError(f"images: found {flat.shape[1]} pixels an image, allowed: {N_PIXELS}")
    return np.ascontiguousarray(flat)
