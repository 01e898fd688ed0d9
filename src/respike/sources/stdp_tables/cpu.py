"""The STDP network driven by events, on one CPU core: no dense product, no outer product.

A step follows BindsNET 0.3.4's `Network.run`: currents from the spikes of the step before, traces
of the input, neurons, learning rule, clamp; after a presentation the weights are normalised. Sums
are float32 as there, in the order of pixels and images; BLAS may add in another order, so weights
agree within rounding and spikes do except where a potential misses the threshold by a rounding
error. tests/unit/test_stdp_cpu.py runs both side by side for every neuron and rule.

Work per step is proportional to spikes: a weight is touched only where an input spike meets a
trace of an output neuron, or an output spike the trace of an input.

What BindsNET draws from torch's generator is a hash of (key, image, step) here: which of several
neurons at threshold fires (diehl_cook), and whether a neuron fires at all (srm0).
"""

import math

import numpy as np

from respike.sources.stdp_tables.encode import Events, mixed, uniform
from respike.sources.stdp_tables.model import N_PIXELS, NEURONS, RULES, Constants, State
from respike.spiking.numba_cache import njit, uint64

IF, LIF, SRM0, DIEHL_COOK = range(len(NEURONS))
POST_PRE, WEIGHT_DEPENDENT, HEBBIAN = range(len(RULES))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Below this exponent float32 1 - exp(-exp(x)) is 0: an srm0 neuron cannot fire.
SURELY_SILENT = np.float32(-17.4)
f32 = np.float32


def _decay(tc: float) -> np.float32:
    """Return the share left after one step of 1 ms, rounded to float32 as torch rounds it."""
    return f32(math.exp(f32(-1) / f32(tc)))  # numpy's float32 exp is a unit off at 1e7 ms


def _decay_table(tc: float, num_steps: int) -> np.ndarray:
    """Return what is left of a trace of 1 after k steps, by repeated products as BindsNET's."""
    return np.cumprod(np.r_[f32(1), np.full(num_steps, _decay(tc))], dtype=np.float32)


def numbers(c: Constants) -> tuple:
    """Return the constants as the kernel takes them."""
    return (
        NEURONS.index(c.neuron), RULES.index(c.rule),
        f32(c.v_thresh_mV), f32(c.v_rest_mV), f32(c.v_reset_mV), f32(c.refrac_ms),
        _decay(c.tc_decay_ms), f32(c.theta_plus_mV), _decay(c.tc_theta_decay_ms),
        f32(c.d_thresh_mV), f32(c.inhibit_mV), f32(c.nu_pre), f32(c.nu_post), f32(c.w_max),
    )  # fmt: skip


@njit(cache=True)
def _meet_inputs(
    b, inputs, first, last, traced, n_traced, y_last, t, left, rate, trace, pre, touched
):
    """Add to pre (784, n) what the input spikes of image b meet: traces of its output neurons.

    inputs[first:last]: the pixels; traced[b, :n_traced]: neurons with a trace, last fired at
    y_last[b]; `trace` is work space.
    """
    n = pre.shape[1]
    if 2 * n_traced > n:  # most neurons have a trace: dense rows
        for j in range(n):
            trace[j] = left[t - y_last[b, j]] * rate if y_last[b, j] >= 0 else np.float32(0)
        for k in range(first, last):
            i = inputs[k]
            touched[i] = True
            row = pre[i]
            for j in range(n):
                row[j] += trace[j]
    else:
        for m in range(n_traced):
            trace[m] = left[t - y_last[b, traced[b, m]]] * rate
        for k in range(first, last):
            i = inputs[k]
            touched[i] = True
            for m in range(n_traced):
                pre[i, traced[b, m]] += trace[m]


@njit(cache=True)
def _meet_outputs(b, fired, n_fired, x_last, t, left, rate, post, touched):
    """Add to post (784, n) what the output spikes of image b meet: traces of its inputs."""
    for i in range(N_PIXELS):
        if x_last[b, i] >= 0:
            touched[i] = True
            trace = left[t - x_last[b, i]] * rate
            for m in range(n_fired):
                post[i, fired[b, m]] += trace


@njit(cache=True)
def _change_weights(w, pre, post, touched, rule, nu_pre, nu_post, w_max):
    """Apply the sums of a step to the rows touched, clamp them, and clear the sums."""
    n = w.shape[1]
    for i in range(N_PIXELS):
        if not touched[i]:
            continue
        touched[i] = False
        row, at_input, at_output = w[i], pre[i], post[i]
        if rule == POST_PRE:
            for j in range(n):
                row[j] = (row[j] - at_input[j]) + at_output[j]
        elif rule == WEIGHT_DEPENDENT:
            for j in range(n):
                row[j] += (
                    np.float32(0) - nu_pre * at_input[j] * row[j]
                    + nu_post * at_output[j] * (w_max - row[j])
                )  # fmt: skip
        else:
            for j in range(n):
                row[j] = (row[j] + at_input[j]) + at_output[j]
        for j in range(n):
            row[j] = min(max(row[j], np.float32(0)), w_max)
            at_input[j] = np.float32(0)
            at_output[j] = np.float32(0)


@njit(cache=True)
def _present(start, pixels, index, w, theta, c, left, key, learn, counts, spk, mem):
    """Present a batch; add the output spikes to counts (batch, n), change w and theta.

    spk uint8 (num_steps, batch, n) and mem float32 of that shape receive spikes and membrane
    potentials if they are not empty. left: what remains of a trace after k steps.
    """
    (neuron, rule, thresh, rest, reset, refrac, decay, theta_plus, theta_decay, d_thresh,
     inhibit, nu_pre, nu_post, w_max) = c  # fmt: skip
    batch, steps, n = len(start), start.shape[1] - 1, w.shape[1]
    v = np.empty((batch, n), np.float32)
    v[:] = reset if neuron == IF else rest  # `reset_state_variables`
    refractory = np.zeros((batch, n), np.float32)
    cur, kept = np.empty(n, np.float32), np.empty(n, np.float32)
    fired = np.empty((batch, n), np.int32)  # neurons that fired at this step
    n_fired = np.zeros(batch, np.int64)
    before = np.empty((batch, n), np.int32)  # and at the one before
    n_before = np.zeros(batch, np.int64)
    traced = np.empty((batch, n), np.int32)  # neurons that have a trace
    n_traced = np.zeros(batch, np.int64)
    y_last = np.full((batch, n), -1, np.int32)  # step of their last spike
    x_last = np.full((batch, N_PIXELS), -1, np.int32)
    rises = np.zeros(n, np.float32)
    reached = np.empty(n, np.int32)
    limit = np.empty(n, np.float32)
    pre = np.zeros((N_PIXELS, n), np.float32)
    post = np.zeros((N_PIXELS, n), np.float32)
    touched = np.zeros(N_PIXELS, np.bool_)
    # BindsNET multiplies by the rates before it sums over the batch, or, if weighted, after it.
    rate_pre = nu_pre if rule != WEIGHT_DEPENDENT else np.float32(1)
    rate_post = nu_post if rule != WEIGHT_DEPENDENT else np.float32(1)
    stream = np.empty(batch, np.uint64)
    for b in range(batch):
        stream[b] = mixed(key + uint64(index[b] + 1) * _GOLDEN)
    adapts = neuron == DIEHL_COOK
    for t in range(steps):
        if adapts and learn:
            for j in range(n):
                theta[j] *= theta_decay
        for j in range(n):
            limit[j] = thresh + theta[j] if adapts else thresh
        total = 0
        for b in range(batch):
            # ------------------------------------------------ currents of the step before
            quiet = n_before[b] == 0
            first, last = (start[b, t - 1], start[b, t]) if t > 0 else (0, 0)
            for j in range(n):
                cur[j] = np.float32(0)
            for k in range(first, last):
                row = w[pixels[k]]
                for j in range(n):
                    cur[j] += row[j]
            if not quiet:
                share = inhibit * np.float32(n_before[b])
                less = inhibit * np.float32(n_before[b] - 1)  # not onto itself
                for k in range(n_before[b]):
                    kept[k] = cur[before[b, k]]
                for j in range(n):
                    cur[j] -= share
                for k in range(n_before[b]):
                    cur[before[b, k]] = kept[k] - less
            # ------------------------------------------------ neurons
            vb, held = v[b], refractory[b]
            n_reached = 0
            if neuron == IF:
                for j in range(n):
                    vb[j] = vb[j] + (cur[j] if held[j] <= 0 else np.float32(0))
                    held[j] -= np.float32(1)
            else:
                for j in range(n):
                    x = (vb[j] - rest) * decay + rest
                    vb[j] = x + (cur[j] if held[j] <= 0 else np.float32(0))
                    held[j] -= np.float32(1)
            if neuron == SRM0:
                for j in range(n):
                    z = (vb[j] - thresh) / d_thresh
                    if z > SURELY_SILENT:
                        p = np.float32(1) - np.exp(-np.exp(z))
                        # 24 bits, as torch.rand draws float32
                        u = np.float32(
                            (mixed(stream[b] + uint64(t * n + j + 1) * _GOLDEN) >> uint64(40))
                            * (1.0 / 16777216.0)
                        )
                        if u < p:
                            reached[n_reached] = j
                            n_reached += 1
            else:
                above = 0
                for j in range(n):
                    above += vb[j] >= limit[j]
                if above:
                    for j in range(n):
                        if vb[j] >= limit[j]:
                            reached[n_reached] = j
                            n_reached += 1
            for k in range(n_reached):
                j = reached[k]
                vb[j] = reset
                held[j] = refrac
                rises[j] += np.float32(1)
            total += n_reached
            if adapts and n_reached > 1:  # one of them fires; all were reset
                reached[0] = reached[int(uniform(stream[b], t) * n_reached)]
                n_reached = 1
            n_fired[b] = n_reached
            for k in range(n_reached):
                j = reached[k]
                fired[b, k] = j
                counts[b, j] += 1
                if y_last[b, j] < 0:
                    traced[b, n_traced[b]] = j
                    n_traced[b] += 1
                y_last[b, j] = t
            if spk.size > 0:
                for k in range(n_reached):
                    spk[t, b, reached[k]] = 1
            if mem.size > 0:
                for j in range(n):
                    mem[t, b, j] = vb[j]
        if total:
            if adapts and learn:
                for j in range(n):
                    theta[j] += theta_plus * rises[j]
            for j in range(n):
                rises[j] = np.float32(0)
        if learn:
            any_sum = False
            for b in range(batch):
                first, last = start[b, t], start[b, t + 1]
                for k in range(first, last):
                    x_last[b, pixels[k]] = t
                if n_traced[b] and first < last:
                    any_sum = True
                    _meet_inputs(b, pixels, first, last, traced, n_traced[b], y_last, t, left,
                                 rate_pre, cur, pre, touched)  # fmt: skip
                if n_fired[b]:
                    any_sum = True
                    _meet_outputs(b, fired, n_fired[b], x_last, t, left, rate_post, post, touched)
            if any_sum:
                _change_weights(w, pre, post, touched, rule, nu_pre, nu_post, w_max)
            if t == 0:  # the normalisation before may have lifted a weight above its bound
                for i in range(N_PIXELS):
                    row = w[i]
                    for j in range(n):
                        row[j] = min(max(row[j], np.float32(0)), w_max)
        before, fired = fired, before
        for b in range(batch):
            n_before[b] = n_fired[b]


@njit(cache=True)
def _normalise(w, norm):
    total = np.zeros(w.shape[1], np.float32)
    for i in range(len(w)):
        for j in range(w.shape[1]):
            total[j] += abs(w[i, j])
    for j in range(w.shape[1]):
        total[j] = norm / (total[j] if total[j] != 0 else np.float32(1))
    for i in range(len(w)):
        for j in range(w.shape[1]):
            w[i, j] *= total[j]


def normalise(w: np.ndarray, norm: float) -> None:
    """Scale the weights of each output neuron to the sum `norm`, in place."""
    _normalise(w, f32(norm))


NOTHING_SPK = np.empty((0, 0, 0), np.uint8)
NOTHING_MEM = np.empty((0, 0, 0), np.float32)


def present(
    c: Constants,
    state: State,
    events: Events,
    index: np.ndarray,
    key,
    learn: bool,
    spk: np.ndarray = NOTHING_SPK,
    mem: np.ndarray = NOTHING_MEM,
    normal: bool = True,
) -> np.ndarray:
    """Present a batch of images from rest; return output spike counts, int32 (batch, n).

    With `learn` weights and thresholds of `state` change and, unless `normal` is False, the weights
    are normalised at the end. `index` int64 (batch,) and `key` select the draws. spk uint8 and mem
    float32 (num_steps, batch, n) receive spikes and membrane potentials if given.
    """
    counts = np.zeros((len(events.start), c.n_neurons), np.int32)
    index = np.ascontiguousarray(index, np.int64)
    _present(
        events.start, events.pixels, index, state.w, state.theta, numbers(c),
        _decay_table(c.tc_trace_ms, events.num_steps), np.uint64(key), learn, counts, spk, mem,
    )  # fmt: skip
    if learn and normal:
        normalise(state.w, c.norm)
    return counts


def uniforms(key, index, steps: int, n: int = 0) -> np.ndarray:
    """Return the draws that `present` uses, so that another simulator can be given the same.

    Without n: float64 (num_steps, batch), which of several diehl_cook neurons fires; with n:
    float32 (num_steps, batch, n), whether an srm0 neuron does.
    """
    with np.errstate(over="ignore"):
        stream = _mix(
            np.uint64(key) + (np.asarray(index).astype(np.uint64) + np.uint64(1)) * _GOLDEN
        )
        k = np.arange(steps * max(n, 1), dtype=np.uint64) + np.uint64(1)
        words = _mix(stream + k.reshape(-1, 1) * _GOLDEN)  # (steps * n, batch)
    if not n:
        return (words >> np.uint64(11)) * (1.0 / 9007199254740992.0)
    u = ((words >> np.uint64(40)) * (1.0 / 16777216.0)).astype(np.float32)
    return np.ascontiguousarray(u.reshape(steps, n, -1).transpose(0, 2, 1))


def _mix(x: np.ndarray) -> np.ndarray:
    """Return the splitmix64 hash of an array of counters."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def rest_rate(c: Constants) -> float:
    """Return the probability of a spike per ms at rest without input: above 0 for srm0 only."""
    if c.neuron != "srm0":
        return 0.0
    return 1 - math.exp(-math.exp((c.v_rest_mV - c.v_thresh_mV) / c.d_thresh_mV))
