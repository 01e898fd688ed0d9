"""Fast path of `reference`: the same spikes, and NormAD in seconds an epoch.

Potentials are counted from E_L, u = V - E_L, in [0, theta] where they are clipped. What makes it
fast, and what clipping has to do with it:

- Kernels are fixed: an image has the same hidden spikes in every epoch. They are worked out once.
- Clipping at V_T changes nothing: a potential that reaches V_T fires and is reset. Clipping at E_L
  changes spikes: a current that is negative for a while leaves no debt behind. Between two input
  spikes of a synapse with c(t) the current lives on and may change its sign, so the potential may
  reach E_L, stay there and leave it again at any step: it cannot be taken from event to event, as
  with pulses (kulkarni_forward), but is stepped.
- A step is u <- max(0, keep u + I): it rises with u and with I. So u is at most what the positive
  weights alone would make of it, and that is linear: the sum over the patch of w+ times the
  highest potential that a pixel's train causes with weight 1 (`Tables.peak`). A position none of
  whose kernels reaches theta so cannot fire and is not stepped. The bound holds unclipped, too.
- ||d(t)|| does not depend on the weights. d_i is a sum of three exponentials, so the sum of its
  squares is one of six numbers that relax by themselves; a spike changes them by a few operations.
- The change of a weight is a sum over errors of what each spike before adds to d at the error. The
  other way round it is a sum over spikes of G_j(t_k), with G_j(t) the sum over later errors of
  q kappa(t_error - t): G is run backwards in time for ten outputs, in place of d for all neurons.

Spikes are equal unless a potential comes within rounding of the threshold; weights are equal within
rounding (norms are kept in single precision). tests/unit/test_kulkarni_rajendran_cpu.py.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from respike.sources.kulkarni_rajendran_2018.reference import (
    FIELD,
    MAP,
    N_CLASSES,
    SIDE,
    check_images,
    layer_spikes,
    pixel_current,
)
from respike.sources.kulkarni_rajendran_2018.settings import Constants
from respike.spiking.numba_cache import njit, prange

POSITIONS, PIXELS, LANES = MAP * MAP, SIDE * SIDE, 12
TILE, STEPS = 8, 128  # positions stepped side by side, steps laid out beforehand: in the L2 cache
WIDE = TILE * LANES
ROUNDING = 1e-9  # share of theta by which a bound must stay below it


def pixel_trains(c: Constants) -> np.ndarray:
    """Return the spikes of every pixel value, bool (num_steps, 256): currents are constant."""
    cur = pixel_current(np.arange(256), c)
    return layer_spikes(np.broadcast_to(cur, (c.num_steps, 256)), c, clips=True)


@dataclass(frozen=True)
class Model:
    """The network but for its output weights, with the tables of the fast path."""

    c: Constants
    kernels: np.ndarray | None  # float64 (n, 3, 3); None: no hidden layer
    gain_pA: float = 1.0  # hidden current per unit of weight and c(t)
    synapse: str = "double_exponential"
    clips: bool = True
    inhibit_pA: float = 0.0
    tau_leak_ms: float = 1.0
    tables: tuple = field(init=False)

    def __post_init__(self):
        c = self.c
        if c.v_rest_mV >= c.v_thresh_mV:
            raise ValueError(
                f"v_rest_mV: found {c.v_rest_mV}, allowed: below the threshold {c.v_thresh_mV}"
            )
        if self.kernels is not None and not np.isfinite(self.kernels).all():
            raise ValueError("kernels: found NaN or infinity; check what trained them")
        object.__setattr__(self, "tables", self._tables())

    @property
    def n_inputs(self) -> int:
        """Number of neurons that drive the outputs."""
        return PIXELS if self.kernels is None else len(self.kernels) * POSITIONS

    def _tables(self) -> tuple:
        c = self.c
        spk = pixel_trains(c)
        offsets = np.concatenate([[0], spk.sum(axis=0).cumsum()]).astype(np.int64)
        times = np.nonzero(spk.T)[1].astype(np.int32)  # of value k: from offsets[k] on
        kernels = np.zeros((0, FIELD, FIELD)) if self.kernels is None else self.kernels
        if len(kernels) > LANES:
            raise ValueError(f"kernels: found {len(kernels)}, allowed: at most {LANES}")
        pulse = self.synapse == "pulse"
        decays = np.array([0.0, 0.0, 0.0] if pulse else [*self.decays, 1.0])
        scale = self.gain_pA * c.dt_ms / c.c_pF  # mV that a unit of weight and c(t) adds
        lanes = np.zeros((FIELD * FIELD, LANES))
        lanes[:, : len(kernels)] = kernels.reshape(len(kernels), FIELD * FIELD).T * scale
        sums = np.zeros((1 << FIELD * FIELD, LANES))  # by the set of pixels that spike
        for pixel in range(FIELD * FIELD):
            of = np.arange(len(sums)) >> pixel & 1 == 1
            sums[of] += lanes[pixel]
        return (
            offsets, times, sums, np.maximum(lanes, 0), self._peak(spk, decays),
            len(kernels), decays, self.neuron,
        )  # fmt: skip

    def _peak(self, spk: np.ndarray, decays: np.ndarray) -> np.ndarray:
        """Return the highest potential that each pixel value causes with weight 1, (256,)."""
        slow, fast, u, peak = (np.zeros(256) for _ in range(4))
        for arriving in spk:
            slow = slow * decays[0] + arriving
            fast = fast * decays[1] + arriving * decays[2]
            u = u * self.neuron[0] + slow - fast
            peak = np.maximum(peak, u)
        return peak

    @property
    def decays(self) -> tuple[float, float]:
        """Shares of the two synaptic states that are left after a step."""
        return math.exp(-self.c.dt_ms / self.c.tau1_ms), math.exp(-self.c.dt_ms / self.c.tau2_ms)

    @property
    def neuron(self) -> np.ndarray:
        """Share of u kept in a step, mV that 1 pA adds, theta, lowest u, refractory steps."""
        c = self.c
        keep = 1 - c.dt_ms * c.g_leak_nS / c.c_pF
        floor = 0.0 if self.clips else -math.inf
        theta = c.v_thresh_mV - c.v_rest_mV
        return np.array([keep, c.dt_ms / c.c_pF, theta, floor, c.refrac_steps])

    @property
    def output(self) -> np.ndarray:
        """What `_outputs` takes of the model."""
        return np.array([*self.decays, self.inhibit_pA, *self.neuron])

    @property
    def kappa(self) -> np.ndarray:
        """Three weights and three decays: what a spike adds to d after n steps.

        Sum of weight decay^n over the parts, of tau_L, tau_1 and tau_2, which solves d(t) = L d(t -
        1) + slow(t) - fast(t). Raises ValueError where tau_L is one of the synapse's, so that
        another form would be needed.
        """
        leak, (slow, fast) = math.exp(-self.c.dt_ms / self.tau_leak_ms), self.decays
        if min(abs(leak - slow), abs(leak - fast)) < 1e-4:
            raise ValueError(
                f"tau_leak_ms: found {self.tau_leak_ms}, allowed: not within a hundredth of "
                f"tau1_ms {self.c.tau1_ms} or tau2_ms {self.c.tau2_ms}"
            )
        of_slow, of_fast = slow / (slow - leak), -fast / (fast - leak)
        return np.array([-of_slow - of_fast, of_slow, of_fast, leak, slow, fast])


@dataclass(frozen=True)
class Spikes:
    """The spikes that drive the outputs, of some images: about 20 kB an image.

    Those of image i are neurons[offsets[i]:offsets[i + 1]], in order of time.
    """

    neurons: np.ndarray  # uint16
    offsets: np.ndarray  # int64 (n + 1,)
    counts: np.ndarray  # uint16 (n, num_steps): how many fire in each step
    norms: np.ndarray  # float32 (n, num_steps): ||d(t)||

    def __len__(self) -> int:
        return len(self.counts)

    def numbers(self) -> tuple:
        """Return the fields as the kernels take them."""
        return self.neurons, self.offsets, self.counts, self.norms

    @classmethod
    def joined(cls, parts: list["Spikes"]) -> "Spikes":
        """Return the spikes of all parts."""
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(
            np.concatenate([part.neurons for part in parts]),
            np.concatenate([[0], sizes.cumsum()]).astype(np.int64),
            np.concatenate([part.counts for part in parts]),
            np.concatenate([part.norms for part in parts]),
        )


@njit(cache=True)
def _step_tile(masks, where, n_positions, tables, num_steps, arriving, state, at, spk):
    """Write the spikes of some positions to spk[:, 0] (step), spk[:, 1] (neuron); return at.

    masks (TILE, num_steps): which of the nine pixels spike, by bits; arriving (STEPS, WIDE), zeros
    before and after; state (4, WIDE). Neurons lie side by side so that LLVM makes vectors of the
    inner loop; what arrives is laid out beforehand, as its scalar stores would stall them.
    """
    sums, n_lanes, decays, neuron = tables[2], tables[5], tables[6], tables[7]
    d0, d1, both = decays[0], decays[1], decays[2]
    keep, theta, floor, refrac = neuron[0], neuron[2], neuron[3], int(neuron[4])
    state[:] = 0.0
    slow, fast, u, free = state[0], state[1], state[2], state[3]
    for start in range(0, num_steps, STEPS):
        stop = min(start + STEPS, num_steps)
        for p in range(n_positions):
            for t in range(start, stop):
                if masks[p, t]:
                    row, add = arriving[t - start, p * LANES : (p + 1) * LANES], sums[masks[p, t]]
                    for f in range(LANES):
                        row[f] = add[f]
        for t in range(start, stop):
            now, row, over = float(t), arriving[t - start], 0
            for i in range(WIDE):
                slow[i] = slow[i] * d0 + row[i]
                fast[i] = fast[i] * d1 + row[i] * both
                row[i] = 0.0
                z = u[i] * keep + (slow[i] - fast[i])
                z = z if z > floor else floor
                z = 0.0 if now < free[i] else z
                u[i] = z
                over |= np.int64(z >= theta)
            if over:
                for i in range(n_positions * LANES):
                    if u[i] >= theta:
                        u[i] = 0.0
                        free[i] = t + 1 + refrac
                        if i % LANES < n_lanes:
                            spk[at, 0] = t
                            spk[at, 1] = i % LANES * POSITIONS + where[i // LANES]
                            at += 1
    return at


@njit(cache=True)
def _hidden(image, tables, num_steps, spk):
    """Write the hidden spikes of an image uint8 (784,) to spk, tile by tile; return how many."""
    offsets, times, excites, peak, neuron = tables[0], tables[1], tables[3], tables[4], tables[7]
    limit = neuron[2] * (1 - ROUNDING)
    masks, where = np.zeros((TILE, num_steps), np.int16), np.empty(TILE, np.int64)
    arriving, state, bound = np.zeros((STEPS, WIDE)), np.empty((4, WIDE)), np.empty(LANES)
    at = waiting = 0
    for q in range(POSITIONS):
        y, x = q // MAP, q % MAP
        bound[:] = 0.0
        for pixel in range(FIELD * FIELD):
            high = peak[image[(y + pixel // FIELD) * SIDE + x + pixel % FIELD]]
            for f in range(LANES):
                bound[f] += excites[pixel, f] * high
        if bound.max() >= limit:
            where[waiting] = q
            for pixel in range(FIELD * FIELD):
                value = image[(y + pixel // FIELD) * SIDE + x + pixel % FIELD]
                for k in range(offsets[value], offsets[value + 1]):
                    masks[waiting, times[k]] |= 1 << pixel
            waiting += 1
        if waiting == TILE or (waiting and q == POSITIONS - 1):
            at = _step_tile(masks, where, waiting, tables, num_steps, arriving, state, at, spk)
            masks[:] = 0
            waiting = 0
    return at


@njit(cache=True)
def _pixels(image, tables, spk):
    """Write the spikes of the pixels, which drive the outputs where there is no hidden layer."""
    offsets, times = tables[0], tables[1]
    at = 0
    for p in range(PIXELS):
        for k in range(offsets[image[p]], offsets[image[p] + 1]):
            spk[at, 0] = times[k]
            spk[at, 1] = p
            at += 1
    return at


@njit(cache=True)
def _norms(neurons, counts, kappa, n_inputs, norms):
    """Write ||d(t)|| of an image: d_i = h + s + f, three parts that relax by themselves."""
    a0, a1, a2, k0, k1, k2 = kappa[0], kappa[1], kappa[2], kappa[3], kappa[4], kappa[5]
    n_steps = len(counts)
    parts = np.zeros((n_inputs, 3))
    last = np.zeros(n_inputs, np.int64)
    power = np.ones((n_steps + 1, 3))
    for t in range(n_steps):
        power[t + 1, 0] = power[t, 0] * k0
        power[t + 1, 1] = power[t, 1] * k1
        power[t + 1, 2] = power[t, 2] * k2
    hh = ss = ff = hs = hf = sf = 0.0
    at = 0
    for t in range(n_steps):
        hh *= k0 * k0
        ss *= k1 * k1
        ff *= k2 * k2
        hs *= k0 * k1
        hf *= k0 * k2
        sf *= k1 * k2
        for _ in range(counts[t]):
            i = neurons[at]
            at += 1
            own, relaxed = parts[i], power[t - last[i]]
            h, s, f = own[0] * relaxed[0], own[1] * relaxed[1], own[2] * relaxed[2]
            hh += (2 * h + a0) * a0
            ss += (2 * s + a1) * a1
            ff += (2 * f + a2) * a2
            hs += h * a1 + s * a0 + a0 * a1
            hf += h * a2 + f * a0 + a0 * a2
            sf += s * a2 + f * a1 + a1 * a2
            own[0], own[1], own[2] = h + a0, s + a1, f + a2
            last[i] = t
        norms[t] = math.sqrt(max(0.0, hh + ss + ff + 2 * (hs + hf + sf)))


@njit(parallel=True, cache=True)
def _spikes(images, tables, kappa, n_inputs, hidden, room, neurons, n, counts, norms):
    for i in prange(len(images)):
        spk = np.empty((room, 2), np.int32)
        if hidden:
            n[i] = _hidden(images[i], tables, counts.shape[1], spk)
        else:
            n[i] = _pixels(images[i], tables, spk)
        for k in range(n[i]):
            counts[i, spk[k, 0]] += 1
        at = np.zeros(counts.shape[1] + 1, np.int64)
        for t in range(counts.shape[1]):
            at[t + 1] = at[t] + counts[i, t]
        for k in range(n[i]):  # sorted by time, spikes of a step in the order of positions
            neurons[i, at[spk[k, 0]]] = spk[k, 1]
            at[spk[k, 0]] += 1
        _norms(neurons[i], counts[i], kappa, n_inputs, norms[i])


BLOCK = 500  # images at a time


def spikes_of(model: Model, images: np.ndarray, progress=None) -> Spikes:
    """Return the spikes that drive the outputs for images uint8 (n, 28, 28).

    The images are shared among the threads; the result does not depend on their number. Raises
    ValueError for images of another size.
    """
    flat = check_images(images).reshape(len(images), -1)
    steps = model.c.num_steps
    per_neuron = steps // (1 + model.c.refrac_steps) + 1
    room, parts = per_neuron * model.n_inputs, []
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        n = np.zeros(len(block), np.int64)
        neurons = np.empty((len(block), room), np.uint16)  # touched as far as there are spikes
        counts = np.zeros((len(block), steps), np.uint16)
        norms = np.empty((len(block), steps), np.float32)
        _spikes(
            block, model.tables, model.kappa, model.n_inputs, model.kernels is not None, room,
            neurons, n, counts, norms,
        )  # fmt: skip
        parts.append(
            Spikes(
                np.concatenate([row[:k] for row, k in zip(neurons, n, strict=True)]),
                np.concatenate([[0], n.cumsum()]), counts, norms,
            )
        )  # fmt: skip
        if progress:
            progress("image", start + len(block), len(flat))
    return Spikes.joined(parts)


@njit(cache=True)
def _outputs(neurons, counts, weights, output, arriving, spk):
    """Write the output spikes of one image to spk, uint8 (num_steps, 10)."""
    d0, d1, inhibit, keep = output[0], output[1], output[2], output[3]
    per_pA, theta, floor, refrac = output[4], output[5], output[6], int(output[7])
    arriving[:] = 0.0
    at = 0
    for t in range(len(counts)):
        row = arriving[t]
        for _ in range(counts[t]):
            add = weights[neurons[at]]
            for j in range(N_CLASSES):
                row[j] += add[j]
            at += 1
    slow, fast, u = np.zeros(N_CLASSES), np.zeros(N_CLASSES), np.zeros(N_CLASSES)
    free = np.zeros(N_CLASSES, np.int64)
    before = 0
    for t in range(len(counts)):
        row, now = arriving[t], spk[t]
        if before:
            for j in range(N_CLASSES):
                row[j] -= inhibit * (before - spk[t - 1, j])
        before = 0
        for j in range(N_CLASSES):
            slow[j] = slow[j] * d0 + row[j]
            fast[j] = fast[j] * d1 + row[j]
            z = max(u[j] * keep + per_pA * (slow[j] - fast[j]), floor)
            z = 0.0 if t < free[j] else z
            fires = z >= theta
            now[j] = fires
            u[j] = 0.0 if fires else z
            free[j] = t + 1 + refrac if fires else free[j]
            before += fires


@njit(cache=True)
def _learn(neurons, counts, norms, spk, label, desired, weights, rate, kappa, back):
    """Change the weights by one image; return the number of errors."""
    a0, a1, a2, k0, k1, k2 = kappa[0], kappa[1], kappa[2], kappa[3], kappa[4], kappa[5]
    h, s, f = np.zeros(N_CLASSES), np.zeros(N_CLASSES), np.zeros(N_CLASSES)
    q = np.zeros(N_CLASSES)
    errors, last = 0, -1  # last step that any later error reaches
    for t in range(len(counts) - 1, -1, -1):
        wrong = 0
        for j in range(N_CLASSES):
            e = (desired[t] if j == label else 0) - np.int64(spk[t, j])
            q[j] = e
            wrong += e != 0
        errors += wrong
        if last < 0 and wrong == 0:
            continue
        if last < 0:
            last = t
        scale = rate / norms[t] if wrong and norms[t] > 0 else 0.0
        row = back[t]
        for j in range(N_CLASSES):
            h[j] = h[j] * k0 + q[j] * scale
            s[j] = s[j] * k1 + q[j] * scale
            f[j] = f[j] * k2 + q[j] * scale
            row[j] = a0 * h[j] + a1 * s[j] + a2 * f[j]
    at = 0
    for t in range(last + 1):
        row = back[t]
        for _ in range(counts[t]):
            own = weights[neurons[at]]
            for j in range(N_CLASSES):
                own[j] += row[j]
            at += 1
    return errors


@njit(cache=True)
def _train(spikes, labels, order, weights, output, desired, rate, kappa):
    neurons, offsets, counts, norms = spikes
    steps = counts.shape[1]
    spk = np.zeros((steps, N_CLASSES), np.uint8)
    arriving, back = np.empty((steps, N_CLASSES)), np.empty((steps, N_CLASSES))
    errors = 0
    for i in order:
        own = neurons[offsets[i] : offsets[i + 1]]
        _outputs(own, counts[i], weights, output, arriving, spk)
        errors += _learn(
            own, counts[i], norms[i], spk, labels[i], desired, weights, rate, kappa, back
        )
    return errors


def train_on(
    model: Model, spikes: Spikes, labels, order, weights: np.ndarray, desired, rate_pA: float
) -> float:
    """Train weights, float64 (n_inputs, 10), in place; return the mean number of errors.

    order: indices of the images, which are shown one after the other; an image's change is applied
    before the next one.
    """
    errors = _train(
        spikes.numbers(), labels, order, weights, model.output, desired, rate_pA, model.kappa
    )
    return errors / len(order)


@njit(cache=True)
def _read(spk, wanted, keep, length, y, similar, counts):
    """Write the cosines and counts of ten trains; return (first spike's class, step, how many).

    wanted (num_steps,): the filtered desired train, of norm `length`.
    """
    dot, square = np.zeros(N_CLASSES), np.zeros(N_CLASSES)
    y[:] = 0.0
    counts[:] = 0
    first, when, tied = N_CLASSES, -1, 0
    for t in range(len(spk)):
        row = spk[t]
        for j in range(N_CLASSES):
            y[j] = y[j] * keep + row[j]
            dot[j] += y[j] * wanted[t]
            square[j] += y[j] * y[j]
            counts[j] += row[j]
        if when < 0:
            for j in range(N_CLASSES):
                if row[j]:
                    first = min(first, j)
                    when = t
                    tied += 1
    for j in range(N_CLASSES):
        similar[j] = dot[j] / (math.sqrt(square[j]) * length) if square[j] > 0 else 0.0
    return first, when, tied


@njit(parallel=True, cache=True)
def _test(spikes, weights, output, wanted, keeps, lengths, similar, counts, first):
    neurons, offsets, steps, _ = spikes
    for i in prange(len(steps)):
        spk = np.zeros((steps.shape[1], N_CLASSES), np.uint8)
        arriving, y = np.empty((steps.shape[1], N_CLASSES)), np.empty(N_CLASSES)
        own = neurons[offsets[i] : offsets[i + 1]]
        _outputs(own, steps[i], weights, output, arriving, spk)
        for k in range(len(keeps)):
            found = _read(spk, wanted[k], keeps[k], lengths[k], y, similar[k, i], counts[i])
        first[i, 0], first[i, 1], first[i, 2] = found


@dataclass(frozen=True)
class Outputs:
    """What the read-outs need of the output spikes of n images."""

    similar: np.ndarray  # float64 (n_tau, n, 10): cosine with the desired train
    counts: np.ndarray  # int64 (n, 10)
    # class of the first spike, its step, how many outputs fire in it; (10, -1, 0) without a spike
    first: np.ndarray  # int64 (n, 3)

    @property
    def silent(self) -> np.ndarray:
        """Whether no output fires, bool (n,)."""
        return self.counts.sum(axis=1) == 0


def outputs(model: Model, spikes: Spikes, weights: np.ndarray, desired, taus_ms) -> Outputs:
    """Return the read-outs' numbers for weights (n_inputs, 10), correlations for each tau."""
    n, c = len(spikes), model.c
    keeps = np.exp(-c.dt_ms / np.asarray(taus_ms, float))
    wanted = np.zeros((len(keeps), c.num_steps))
    for row, keep in zip(wanted, keeps, strict=True):
        y = 0.0
        for t in range(c.num_steps):
            row[t] = y = y * keep + desired[t]
    found = Outputs(
        np.zeros((len(keeps), n, N_CLASSES)), np.zeros((n, N_CLASSES), np.int64),
        np.zeros((n, 3), np.int64),
    )  # fmt: skip
    _test(
        spikes.numbers(), weights, model.output, wanted, keeps, np.linalg.norm(wanted, axis=1),
        found.similar, found.counts, found.first,
    )  # fmt: skip
    return found
