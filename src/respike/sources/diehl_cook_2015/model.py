"""The network of Diehl & Cook (2015): its state, its constants per step, its start.

784 inputs reach every excitatory neuron after a delay of its own; an excitatory neuron drives one
inhibitory neuron, and that inhibits all other excitatory neurons. Constants: `settings.Parameters`.

    tau dV/dt = (v_rest - V) + g_e (e_exc - V) + g_i (e_inh - V)

V is the potential of a neuron, g_e and g_i its conductances in units of its leak. A step (U3): V
moves on with the conductances at its start, neurons above threshold fire, conductances decay and
take up what arrives, neurons that fired are set to their reset and held there (U7), weights change
at input spikes, then at output spikes.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from respike.sources.diehl_cook_2015.settings import Parameters

N_PIXELS, N_CLASSES = 784, 10
NEVER = -(2**40)  # step of the last spike of a neuron that never fired
TRACE_ENDS = 20  # time constants after which a trace is nothing; D3
TILE = 256  # neurons whose arrivals of the next steps are kept side by side: 32 KB
MAX_REPEATS = 64  # presentations of an image; draws are numbered with it


class DiehlCookError(ValueError):
    """A setting or an input cannot be; the message names it, what was found and what is allowed."""


@dataclass
class State:
    """Weights, thresholds and all that goes on from step to step."""

    w: np.ndarray  # float32 (784, n)
    delay: np.ndarray  # uint8 (784, n): steps from an input spike to its arrival
    theta: np.ndarray  # float64 (n,), mV
    v: np.ndarray  # float64 (n,), mV
    g_e: np.ndarray  # float64 (n,)
    g_i: np.ndarray  # float64 (n,)
    held: np.ndarray  # int64 (n,): last step at which a neuron is refractory
    arriving: np.ndarray  # float32 (tiles, slots, TILE or fewer): input under way, by step
    v_inh: np.ndarray  # float64 (n,), mV
    g_inh: np.ndarray  # float64 (n,)
    held_inh: np.ndarray  # int64 (n,)
    last_pre: np.ndarray  # int64 (784,): step of an input's last spike
    last_post: np.ndarray  # int64 (n,): of an excitatory neuron's
    changed: np.ndarray  # bool (n,): weights changed since they were normalised
    now: np.ndarray  # int64 (1,): steps since the start

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parts by name, not copied."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def copy(self) -> "State":
        """Return a copy that shares nothing."""
        return State(**{name: value.copy() for name, value in self.arrays().items()})


def check(p: Parameters) -> None:
    """Raise DiehlCookError for settings that fit no network."""
    if steps(p.present_ms, p) < 1:
        raise DiehlCookError(
            f"present_ms: found {p.present_ms}, allowed: dt_ms ({p.dt_ms}) or more"
        )
    if slots(p) * TILE > 2**16:
        raise DiehlCookError(
            f"delay_max_ms: found {p.delay_max_ms}, allowed: up to {255 * p.dt_ms:g} (255 steps)"
        )
    if rate(255, p.max_intensity, p) >= 1:
        raise DiehlCookError(
            f"max_intensity: found {p.max_intensity}, at which a white pixel fires at every step"
        )
    if not p.intensity <= p.max_intensity < p.intensity + MAX_REPEATS:
        raise DiehlCookError(
            f"max_intensity: found {p.max_intensity}, allowed: from intensity ({p.intensity}) to "
            f"less than {MAX_REPEATS} more"
        )


def rate(value: float, intensity: float, p: Parameters) -> float:
    """Return the probability that a pixel of this value fires at a step."""
    return value / 8 * intensity * p.dt_ms / 1000  # authors' script: Hz = pixel / 8 x intensity


def steps(duration_ms: float, p: Parameters) -> int:
    """Return a duration in steps."""
    return round(duration_ms / p.dt_ms)


def slots(p: Parameters) -> int:
    """Return how many steps of arrivals are kept: a power of two above the longest delay."""
    return 1 << steps(p.delay_max_ms, p).bit_length()


def kept(duration_ms: float, p: Parameters) -> float:
    """Return what is left after one step of what decays with this time constant, exactly."""
    return math.exp(-p.dt_ms / duration_ms)


def kept_conductance(duration_ms: float, p: Parameters) -> float:
    """Return the share of a conductance left after a step (U2)."""
    return kept(duration_ms, p) if p.conductances == "exact" else 1 - p.dt_ms / duration_ms


def trace_table(tc_ms: float, p: Parameters) -> np.ndarray:
    """Return a trace k steps after the spike that set it to 1, the last entry 0 (D3)."""
    k = np.arange(round(TRACE_ENDS * tc_ms / p.dt_ms) + 1)
    found = np.exp(-k * p.dt_ms / tc_ms)
    found[-1] = 0
    return found


def start_state(p: Parameters, seed: int) -> State:
    """Return a network before training: random weights and delays, the rest at rest."""
    check(p)
    n, rng = p.n_exc, np.random.default_rng([seed, 2015])
    w = (p.w_start * (rng.random((N_PIXELS, n)) + 0.01)).astype(np.float32)  # authors' script
    delay = np.rint(rng.random((N_PIXELS, n)) * (p.delay_max_ms / p.dt_ms)).astype(np.uint8)
    tile = min(TILE, 1 << (n - 1).bit_length())
    return State(
        w, delay, np.full(n, float(p.theta_start_mV)), np.full(n, float(p.v_rest_exc_mV)),
        np.zeros(n), np.zeros(n), np.full(n, NEVER),
        np.zeros((-(-n // tile), slots(p), tile), np.float32),
        np.full(n, float(p.v_rest_inh_mV)), np.zeros(n), np.full(n, NEVER),
        np.full(N_PIXELS, NEVER), np.full(n, NEVER), np.ones(n, bool), np.zeros(1, np.int64),
    )  # fmt: skip
