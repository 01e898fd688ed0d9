"""The STDP window: how one pair of spikes changes one weight, measured on the simulated rules."""

import numpy as np

from respike.sources.stdp_tables import cpu
from respike.sources.stdp_tables.encode import Events
from respike.sources.stdp_tables.model import N_PIXELS, Constants, State, constants


def pair(c: Constants, delta: int, w0: float) -> float:
    """Return the change of a weight w0 by one input spike and one output spike `delta` ms later.

    A second input, with a weight above the threshold, makes the neuron fire at a chosen step. All
    weights are read before the normalisation that ends a presentation.
    """
    if not 0 <= w0 <= 0.5 * c.w_max:
        raise ValueError(f"w0: found {w0}, allowed: 0 to half of w_max")
    # A threshold that the driving weight reaches and w0 does not; theta stays.
    c = constants(
        c, c.rule, neuron="lif", n_neurons=1, v_reset_mV=c.v_rest_mV,
        v_thresh_mV=c.v_rest_mV + 0.75 * c.w_max,
    )  # fmt: skip
    at_pre = max(0, 1 - delta) + 1
    at_post = at_pre + delta
    spk = np.zeros((max(at_pre, at_post) + 1, 1, N_PIXELS), np.uint8)
    spk[at_pre, 0, 0] = 1
    spk[at_post - 1, 0, 1] = 1  # input reaches the neuron one step later
    w = np.zeros((N_PIXELS, 1), np.float32)
    w[0], w[1] = w0, c.w_max
    state, out = State(w, np.zeros(1, np.float32)), np.zeros((len(spk), 1, 1), np.uint8)
    cpu.present(c, state, Events.of(spk), np.zeros(1), 0, True, spk=out, normal=False)
    if not (out[:, 0, 0].nonzero()[0] == [at_post]).all():
        raise ValueError(f"delta {delta}: the neuron fired at {out[:, 0, 0].nonzero()[0]}")
    return float(state.w[0, 0]) - float(np.float32(w0))


def window(c: Constants, deltas, w0: float) -> np.ndarray:
    """Return the change at each delta (ms, output after input is positive), float64 (n,)."""
    return np.array([pair(c, int(delta), w0) for delta in deltas])
