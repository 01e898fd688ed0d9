"""Fast path of the network in `reference`: the same spikes, by events.

Source: kulkarni-forward-paper.md, Sections III to VII. Three facts make it fast:

- A pixel's current is constant, so its train is one of 256.
- Between two input spikes the potential of a hidden neuron only relaxes to E_L < V_T: it can fire
  only in a step with input, and only the steps of a patch that has input are visited.
- The 12 neurons of a position have the same input times: they are updated together, as one vector.

Sums run in the order of the plain path, potentials relax by a power of the step's factor instead of
step by step: the trains are equal, tested on real images, unless a potential comes within rounding
(about 1e-13 mV) of the threshold. Memory: one image's events per thread.
"""

import math
from dataclasses import dataclass

import numpy as np

from respike.sources.kulkarni_forward.neuron import Constants, Variant, pixel_trains, resume_steps
from respike.sources.kulkarni_forward.reference import FIELD, MAP, N_CLASSES, SIDE
from respike.spiking.numba_cache import njit

POSITIONS, PIXELS = MAP * MAP, SIDE * SIDE
LANES = 12  # filters of a position: a few vector operations serve all of them
BIT = 1 << np.arange(LANES)
# The lowest bit that is set in a number of so many bits.
LOWEST = np.array([0] + [(k & -k).bit_length() - 1 for k in range(1, 1 << LANES)])


@dataclass(frozen=True)
class Layer:
    """What the kernels need of a spiking layer; potentials are counted from E_L, u = V - E_L."""

    keep: np.ndarray  # float64 (num_steps + 1,): share of u left after n steps without input
    per_pA: float  # u in mV that 1 pA adds in a step
    theta: float  # u at threshold
    inclusive: bool  # u >= theta fires; else u > theta
    resume: np.ndarray  # int64 (num_steps + 1,), see `resume_steps`
    holds_first: bool  # see `Variant`

    def numbers(self) -> tuple:
        """Return the fields as the kernels take them."""
        return (self.keep, self.per_pA, self.theta, self.inclusive, self.resume, self.holds_first)


def layer(c: Constants, variant: Variant) -> Layer:
    """Return the constants of a layer; raise ValueError if neurons fire without input."""
    if c.v_rest_mV >= c.v_thresh_mV:
        raise ValueError(
            f"v_rest_mV: found {c.v_rest_mV}, at or above the threshold {c.v_thresh_mV}: neurons "
            "fire without input, which the fast path cannot follow; use reference"
        )
    a = c.dt_ms * c.g_leak_nS / c.c_pF
    # One step of either method is linear: u -> keep u + per_pA I.
    slope = a if variant.integrator == "euler" else a - a * a / 2
    steps = np.arange(c.num_steps + 1)
    return Layer(
        keep=(1 - slope) ** steps,
        per_pA=slope / c.g_leak_nS,
        theta=c.v_thresh_mV - c.v_rest_mV,
        inclusive=variant.fires_at_threshold,
        resume=resume_steps(c, variant),
        holds_first=variant.holds_first,
    )


@dataclass(frozen=True)
class Trains:
    """A table of spike trains: train k has its times in times[offsets[k]:offsets[k + 1]]."""

    offsets: np.ndarray  # int64 (n + 1,)
    times: np.ndarray  # int32

    @classmethod
    def of(cls, spk: np.ndarray) -> "Trains":
        """Return the table of spikes (num_steps, n)."""
        offsets = np.concatenate([[0], spk.sum(axis=0).cumsum()]).astype(np.int64)
        return cls(offsets, np.nonzero(spk.T)[1].astype(np.int32))

    def counts(self) -> np.ndarray:
        """Return the number of spikes of each train, int64 (n,)."""
        return np.diff(self.offsets)


def input_trains(c: Constants, variant: Variant) -> Trains:
    """Return the trains of the 256 pixel values."""
    return Trains.of(pixel_trains(c, variant))


def padded(filters: np.ndarray) -> np.ndarray:
    """Return filters (n, 3, 3) as float64 (3, 3, LANES), missing lanes 0."""
    if filters.ndim != 3 or filters.shape[1:] != (FIELD, FIELD) or len(filters) > LANES:
        raise ValueError(f"filters: found shape {filters.shape}, allowed: (n <= {LANES}, 3, 3)")
    if not np.isfinite(filters).all():
        raise ValueError("filters: found NaN or infinite weights; train them with a smaller rate")
    lanes = np.zeros((FIELD, FIELD, LANES))
    lanes[:, :, : len(filters)] = filters.transpose(1, 2, 0)
    return lanes


@njit(cache=True)
def _events_by_step(image, offsets, times, num_steps, start, events):
    """List the spiking pixels of each step: events[start[t]:start[t + 1]], in reading order."""
    start[:] = 0
    for p in range(PIXELS):
        v = image[p]
        for j in range(offsets[v], offsets[v + 1]):
            start[times[j] + 1] += 1
    for t in range(num_steps):
        start[t + 1] += start[t]
    at = start[:num_steps].copy()
    for p in range(PIXELS):
        v = image[p]
        for j in range(offsets[v], offsets[v + 1]):
            events[at[times[j]]] = p
            at[times[j]] += 1


@njit(cache=True)
def hidden_events(image, trains, filters, n_filters, gain, layer, num_steps, spk_t, spk_n):
    """Write the hidden spikes of one image in order of time to spk_t, spk_n; return how many.

    image uint8 (784,); trains (offsets, times); filters from `padded`; gain in pA per unit of the
    convolution; layer from `Layer.numbers`.
    """
    offsets, times = trains
    keep, per_pA, theta, inclusive, resume, holds_first = layer
    start = np.empty(num_steps + 1, np.int64)
    total = 0
    for p in range(PIXELS):
        total += offsets[image[p] + 1] - offsets[image[p]]
    events = np.empty(total, np.int32)
    _events_by_step(image, offsets, times, num_steps, start, events)
    u = np.zeros((POSITIONS, LANES))
    cur = np.zeros((POSITIONS, LANES))
    free_at = np.full((POSITIONS, LANES), resume[num_steps])
    last = np.zeros(POSITIONS, np.int64)  # step of the last update
    seen = np.full(POSITIONS, -1, np.int64)  # step of the last input
    touched = np.empty(POSITIONS, np.int32)
    first_free_at = resume[num_steps]  # holds_first: until then some neuron is refractory
    scale = gain * per_pA
    all_lanes = (1 << n_filters) - 1
    n = 0
    for t in range(num_steps):
        n_touched = 0
        for k in range(start[t], start[t + 1]):
            y, x = events[k] // SIDE, events[k] % SIDE
            for dy in range(FIELD):
                if y - dy < 0 or y - dy >= MAP:
                    continue
                for dx in range(FIELD):
                    if x - dx < 0 or x - dx >= MAP:
                        continue
                    q = (y - dy) * MAP + x - dx
                    sums, weights = cur[q], filters[dy, dx]
                    if seen[q] != t:
                        seen[q] = t
                        touched[n_touched] = q
                        n_touched += 1
                        for f in range(LANES):
                            sums[f] = weights[f]
                    else:
                        for f in range(LANES):
                            sums[f] += weights[f]
        newest = first_free_at
        for k in range(n_touched):
            q = touched[k]
            relaxed = keep[t - last[q]]
            last[q] = t
            row, sums, free = u[q], cur[q], free_at[q]  # rows: LLVM makes vectors of the loops
            for f in range(LANES):
                z = row[f] * relaxed + scale * sums[f]
                row[f] = 0.0 if t < free[f] else z
            if holds_first and q == 0 and t < first_free_at:
                row[0] = 0.0
            fired = 0  # bit f: neuron f fires
            if inclusive:
                for f in range(LANES):
                    fired |= BIT[f] if row[f] >= theta else 0
            else:
                for f in range(LANES):
                    fired |= BIT[f] if row[f] > theta else 0
            fired &= all_lanes
            if fired:
                newest = max(newest, resume[t])
            while fired:  # by bits: a branch per neuron would often be guessed wrong
                f = LOWEST[fired]
                fired &= fired - 1
                row[f] = 0.0
                free[f] = resume[t]
                spk_t[n] = t
                spk_n[n] = f * POSITIONS + q
                n += 1
        first_free_at = newest
    return n


@njit(cache=True)
def output_layer(spk_t, spk_n, n, weights, gain, decays, inhibit_pA, layer, num_steps, spk):
    """Write the output spikes of one image to spk, uint8 (num_steps, 10).

    weights float64 (n_hidden, 10); gain in pA per unit of weight; decays of the two synaptic states
    in a step; inhibit_pA: weight of an output spike on the nine other neurons (0: none).
    """
    keep, per_pA, theta, inclusive, resume, holds_first = layer
    arriving = np.zeros((num_steps, N_CLASSES))
    for k in range(n):
        row, add = arriving[spk_t[k]], weights[spk_n[k]]  # as rows: more than twice as fast
        for j in range(N_CLASSES):
            row[j] += add[j]
    slow, fast, u = np.zeros(N_CLASSES), np.zeros(N_CLASSES), np.zeros(N_CLASSES)
    free_at = np.full(N_CLASSES, resume[num_steps])
    fired_before = 0
    for t in range(num_steps):
        held = False
        for j in range(N_CLASSES):
            held |= t < free_at[j]
        fired = 0
        for j in range(N_CLASSES):
            others = fired_before - spk[t - 1, j] if t > 0 else 0
            add = gain * arriving[t, j] - inhibit_pA * others
            slow[j] = slow[j] * decays[0] + add
            fast[j] = fast[j] * decays[1] + add
            z = u[j] * keep[1] + per_pA * (slow[j] - fast[j])
            if t < free_at[j] or (holds_first and held and j == 0):
                z = 0.0
            fires = z > theta or (inclusive and z == theta)
            spk[t, j] = fires
            if fires:
                z = 0.0
                free_at[j] = resume[t]
                fired += 1
            u[j] = z
        fired_before = fired


def synapse_decays(c: Constants) -> tuple[float, float]:
    """Return the shares of the two synaptic states left after a step."""
    return math.exp(-c.dt_ms / c.tau1_ms), math.exp(-c.dt_ms / c.tau2_ms)
