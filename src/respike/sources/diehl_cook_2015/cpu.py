"""The network driven by events on one CPU core, image after image: the rule is online.

Per step and network: an input spike is added to what arrives at every neuron after its delay (one
addition of 32-bit numbers each, 3.3 input spikes a step in the mean); potentials and conductances
of all neurons move on; inhibitory neurons only while they are away from rest; weights are touched
only where an input spike meets the trace of an output neuron, or an output spike those of the
inputs. Spikes are those of `reference`, step for step (tests/unit/test_diehl_cook_fast.py).

What arrives is kept in tiles of 256 neurons x the steps to come: 32 KB, so that the scattered
additions of a large network stay in the first cache.

Against a core's least: `operations` counts additions, updates and bytes of a presentation.
"""

import math

import numpy as np

from respike.sources.diehl_cook_2015.encode import draw, poisson
from respike.sources.diehl_cook_2015.model import (
    MAX_REPEATS,
    N_PIXELS,
    NEVER,
    Parameters,
    State,
    kept,
    kept_conductance,
    rate,
    steps,
    trace_table,
)
from respike.spiking.numba_cache import njit

SETTLED = 1e-9  # conductances and distances from rest below this are nothing; D4
EXPONENTIAL, EULER = range(2)


def numbers(p: Parameters) -> tuple:
    """Return the constants as the kernel takes them."""
    mode = EULER if p.potential == "euler" else EXPONENTIAL
    k_exc, k_inh = (p.dt_ms / tau for tau in (p.tau_mem_exc_ms, p.tau_mem_inh_ms))
    leak_exc, leak_inh = (1 - k if mode == EULER else math.exp(-k) for k in (k_exc, k_inh))
    return (
        mode, p.synapses == "current", k_exc, leak_exc, float(p.v_rest_exc_mV),
        float(p.v_reset_exc_mV), float(p.v_thresh_exc_mV - p.theta_offset_mV),
        steps(p.refrac_exc_ms, p), float(p.theta_plus_mV), kept(p.tc_theta_ms, p),
        k_inh, leak_inh, float(p.v_rest_inh_mV),
        float(p.v_reset_inh_mV), float(p.v_thresh_inh_mV), steps(p.refrac_inh_ms, p),
        kept_conductance(p.tau_ge_ms, p), kept_conductance(p.tau_gi_ms, p), float(p.e_exc_mV),
        float(p.e_inh_mV), float(p.w_exc_inh), float(p.w_inh_exc), p.inhibition == "direct",
        float(p.w_max), float(p.nu_pre), float(p.nu_post), p.rule == "triplet", p.one_spike,
    )  # fmt: skip


def traces(p: Parameters) -> tuple:
    """Return the traces of inputs and outputs by steps since the spike."""
    return tuple(trace_table(tc, p) for tc in (p.tc_pre_ms, p.tc_post1_ms, p.tc_post2_ms))


def parts(state: State) -> tuple:
    """Return the arrays of a state as the kernel takes them."""
    s = state
    return (s.w, s.delay, s.theta, s.v, s.g_e, s.g_i, s.held, s.arriving, s.v_inh, s.g_inh,
            s.held_inh, s.last_pre, s.last_post, s.changed, s.now)  # fmt: skip


@njit(cache=True, inline="always")
def decayed(x):
    """Return exp(-x) for x >= 0, right to 1e-9 (D2): a polynomial of x / 32, squared five times."""
    y = min(x, 32.0) * -0.03125
    e = 1.0 + y * (1.0 + y * (0.5 + y * (1 / 6 + y * (1 / 24 + y * (
        1 / 120 + y * (1 / 720 + y * (1 / 5040 + y * (1 / 40320)))))))
    )  # fmt: skip
    e *= e
    e *= e
    e *= e
    e *= e
    return e * e


@njit(cache=True, error_model="numpy")  # a check for a division by 0 would forbid vectors
def _potentials(v, g_e, g_i, theta, mode, current, k, leak, rest, e_exc, e_inh, left, least):
    """Move all potentials on by a step; return how many are above threshold."""
    n_above = 0
    if mode == EXPONENTIAL and not current:
        for j in range(len(v)):
            total = 1.0 + g_e[j] + g_i[j]
            to = (rest + g_e[j] * e_exc + g_i[j] * e_inh) / total
            new = to + (v[j] - to) * decayed(total * k)
            v[j] = new
            n_above += new > theta[j] * left + least
    elif mode == EXPONENTIAL:
        for j in range(len(v)):
            to = rest + g_e[j] * (e_exc - rest) + g_i[j] * (e_inh - rest)
            new = to + (v[j] - to) * leak
            v[j] = new
            n_above += new > theta[j] * left + least
    else:
        for j in range(len(v)):
            at = rest if current else v[j]
            new = v[j] + k * ((rest - v[j]) + g_e[j] * (e_exc - at) + g_i[j] * (e_inh - at))
            v[j] = new
            n_above += new > theta[j] * left + least
    return n_above


@njit(cache=True)
def _take_up(g_e, arriving, slot, keep):
    """Let conductances decay and add what arrives now, which is cleared."""
    tile = arriving.shape[2]
    for first in range(0, len(g_e), tile):
        part = g_e[first : first + tile]
        row = arriving[first // tile, slot, : len(part)]
        for j in range(len(part)):
            part[j] = part[j] * keep + row[j]
        row[:] = 0


@njit(cache=True)
def _send(w, delay, arriving, pixels, first, last, step):
    """Add the weights of the inputs that fire to what arrives after their delays."""
    n = w.shape[1]
    n_tiles, n_slots, tile = arriving.shape
    # Unsigned: an index that may be negative costs a test.
    now, mask, width = np.uint64(step), np.uint64(n_slots - 1), np.uint64(tile)
    for part in range(n_tiles):
        low = part * tile
        high = min(low + tile, n)
        ring = arriving[part].reshape(n_slots * tile)
        for k in range(first, last):
            weights, delays = w[pixels[k], low:high], delay[pixels[k], low:high]
            for j in range(high - low):
                slot = (now + np.uint64(delays[j])) & mask
                ring[slot * width + np.uint64(j)] += weights[j]


@njit(cache=True)
def _depress(w, live, n_live, last_post, trace_1, step, pixels, first, last, nu_pre):
    """Lower the weights at input spikes by the traces of the outputs that have one."""
    for m in range(n_live):
        j = live[m]
        change = nu_pre * trace_1[min(step - last_post[j], len(trace_1) - 1)]
        for k in range(first, last):
            w[pixels[k], j] = max(0.0, w[pixels[k], j] - change)


@njit(cache=True)
def _potentiate(w, j, last_pre, trace_pre, step, change, w_max):
    """Raise the weights of output j, which fires, by the traces of the inputs."""
    end = len(trace_pre) - 1
    for i in range(N_PIXELS):
        age = step - last_pre[i]
        if age < end:
            w[i, j] = min(w_max, w[i, j] + change * trace_pre[age])


@njit(cache=True)
def normalise(w, changed, norm):
    """Scale the weights of neurons whose weights changed to the sum `norm`."""
    for j in range(w.shape[1]):
        if changed[j]:
            total = 0.0
            for i in range(N_PIXELS):
                total += w[i, j]
            if total > 0:
                factor = norm / total
                for i in range(N_PIXELS):
                    w[i, j] *= factor
            changed[j] = False


@njit(cache=True)
def _inhibitory(v, g, held, active, n_active, fired, step, mode, k, rest, reset, thresh, refrac,
                keep, e_exc):  # fmt: skip
    """Move the inhibitory neurons on that are not at rest.

    Returns how many are left of active[:n_active], and how many fired, listed in `fired`.
    """
    n_left = n_fired = 0
    for m in range(n_active):
        j = active[m]
        if held[j] >= step:
            v[j] = reset
        elif mode == EULER:
            v[j] += k * ((rest - v[j]) + g[j] * (e_exc - v[j]))
        else:
            total = 1.0 + g[j]
            to = (rest + g[j] * e_exc) / total
            v[j] = to + (v[j] - to) * math.exp(-total * k)
        g[j] *= keep
        if held[j] < step and v[j] > thresh:
            v[j] = reset
            held[j] = step + refrac
            fired[n_fired] = j
            n_fired += 1
        if held[j] < step and g[j] < SETTLED and abs(v[j] - rest) < SETTLED:
            v[j] = rest
            g[j] = 0.0
        else:
            active[n_left] = j
            n_left += 1
    return n_left, n_fired


@njit(cache=True)
def _settled(g_e, g_i, g_inh, held_inh, step, active, n_active):
    """Tell whether no conductance is left and no inhibitory neuron is held."""
    for j in range(len(g_e)):
        if g_e[j] >= SETTLED or g_i[j] >= SETTLED:
            return False
    for m in range(n_active):
        if g_inh[active[m]] >= SETTLED or held_inh[active[m]] >= step:
            return False
    return True


@njit(cache=True)
def present(start, pixels, num_steps, state, constants, traces, key, learn, counts, raster):
    """Run one presentation and the rest after it, num_steps in all; return the steps computed.

    counts int64 (n,) takes the spikes of the presentation, raster uint8 (num_steps, n), or (0, n)
    for none, those of all steps.
    """
    (w, delay, theta, v, g_e, g_i, held, arriving, v_inh, g_inh, held_inh, last_pre, last_post,
     changed, now) = state  # fmt: skip
    (mode, current, k_exc, leak_exc, rest, reset, least, refrac, theta_plus, keep_theta, k_inh,
     leak_inh, rest_inh, reset_inh, thresh_inh, refrac_inh, keep_e, keep_i, e_exc, e_inh,
     w_exc_inh, w_inh_exc, direct, w_max, nu_pre, nu_post, triplet, one_spike,
    ) = constants  # fmt: skip
    trace_pre, trace_1, trace_2 = traces
    n, shown, n_slots = len(v), len(start) - 1, arriving.shape[1]
    live, cool, active = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    fired, fired_inh = np.empty(n, np.int64), np.empty(n, np.int64)
    is_live = np.zeros(n, np.bool_)
    n_live = n_cool = n_active = 0
    for j in range(n):
        if learn and now[0] - last_post[j] < len(trace_1) - 1:
            live[n_live] = j
            n_live += 1
            is_live[j] = True
        if held[j] >= now[0]:
            cool[n_cool] = j
            n_cool += 1
        if g_inh[j] != 0 or v_inh[j] != rest_inh or held_inh[j] >= now[0]:
            active[n_active] = j
            n_active += 1
    left = 1.0  # of the thresholds at the start: all decay alike
    computed = num_steps
    for t in range(num_steps):
        step = now[0] + t
        first = last = 0
        if t < shown:
            first, last = start[t], start[t + 1]
            _send(w, delay, arriving, pixels, first, last, step)
        n_active, n_inh = _inhibitory(
            v_inh, g_inh, held_inh, active, n_active, fired_inh, step, mode, k_inh, rest_inh,
            reset_inh, thresh_inh, refrac_inh, keep_e, e_exc,
        )  # fmt: skip
        if learn:
            left *= keep_theta
        n_above = _potentials(
            v, g_e, g_i, theta, mode, current, k_exc, leak_exc, rest, e_exc, e_inh, left, least
        )
        n_left = 0
        for m in range(n_cool):
            j = cool[m]
            if held[j] >= step:
                v[j] = reset
                cool[n_left] = j
                n_left += 1
        n_cool = n_left
        n_fired = 0
        if n_above > 0:
            for j in range(n):
                if held[j] < step and v[j] > theta[j] * left + least:
                    fired[n_fired] = j
                    n_fired += 1
                    v[j] = reset
                    held[j] = step + refrac
                    cool[n_cool] = j
                    n_cool += 1
                    if learn:
                        theta[j] += theta_plus / left
            if one_spike and n_fired > 1:
                fired[0] = fired[int(draw(key, step) * n_fired)]
                n_fired = 1
        # Conductances decay and take up what arrives.
        _take_up(g_e, arriving, step & (n_slots - 1), keep_e)
        sources, n_sources = (fired, n_fired) if direct else (fired_inh, n_inh)
        total = w_inh_exc * n_sources
        for j in range(n):
            g_i[j] = g_i[j] * keep_i + total
        for m in range(n_sources):
            g_i[sources[m]] -= w_inh_exc
        for m in range(n_fired):
            j = fired[m]
            if t < shown:
                counts[j] += 1
            if len(raster):
                raster[t, j] = 1
            if direct:
                continue
            if g_inh[j] == 0 and v_inh[j] == rest_inh and held_inh[j] < step:
                active[n_active] = j
                n_active += 1
            g_inh[j] += w_exc_inh
        # Weights: at input spikes, then at output spikes.
        if learn:
            if last > first:
                for m in range(n_live):
                    changed[live[m]] = True
                _depress(w, live, n_live, last_post, trace_1, step, pixels, first, last, nu_pre)
                for k in range(first, last):
                    last_pre[pixels[k]] = step
            for m in range(n_fired):
                j = fired[m]
                rise = nu_post
                if triplet:
                    rise *= trace_2[min(step - last_post[j], len(trace_2) - 1)]
                _potentiate(w, j, last_pre, trace_pre, step, rise, w_max)
                changed[j] = True
                last_post[j] = step
                if not is_live[j]:
                    is_live[j] = True
                    live[n_live] = j
                    n_live += 1
        # D4: nothing is under way, so nothing can fire; the rest of the pause is one step.
        quiet = t >= shown + n_slots and t % 8 == 0 and n_cool == 0
        if quiet and _settled(g_e, g_i, g_inh, held_inh, step, active, n_active):
            lowest = np.inf
            for j in range(n):
                lowest = min(lowest, theta[j])
            if lowest * left + least > rest:
                m = num_steps - 1 - t
                for j in range(n):
                    v[j] = rest + (v[j] - rest) * leak_exc**m
                    g_e[j] = g_i[j] = 0.0
                for k in range(n_active):
                    j = active[k]
                    v_inh[j] = rest_inh + (v_inh[j] - rest_inh) * leak_inh**m
                    g_inh[j] = 0.0
                if learn:
                    left *= keep_theta**m
                computed = t + 1
                break
    if learn:
        for j in range(n):
            theta[j] *= left
    now[0] += num_steps
    return computed


@njit(cache=True)
def _set_back(state, constants):
    """Bring all but weights and thresholds to rest, as before the first presentation."""
    (w, delay, theta, v, g_e, g_i, held, arriving, v_inh, g_inh, held_inh, last_pre, last_post,
     changed, now) = state  # fmt: skip
    v[:] = constants[4]
    v_inh[:] = constants[12]
    g_e[:] = g_i[:] = g_inh[:] = 0.0
    held[:] = held_inh[:] = last_pre[:] = last_post[:] = NEVER
    arriving[:] = 0


@njit(cache=True)
def _show(
    images, number, per_step, intensity, max_intensity, min_spikes, shown, num_steps, state,
    constants, traces, norm, key, learn, reset_state, counts, repeats, tally,
):  # fmt: skip
    """Show images one after the other, each until it has min_spikes; see `show`."""
    start = np.empty(shown + 1, np.int64)
    pixels, t_of, p_of = (
        np.empty(N_PIXELS * shown, np.int16),
        np.empty(N_PIXELS * shown, np.int16),
        np.empty(N_PIXELS * shown, np.int16),
    )
    raster = np.empty((0, counts.shape[1]), np.uint8)
    for b in range(len(images)):
        tried = 0
        while True:
            if reset_state:
                _set_back(state, constants)
            if learn:
                normalise(state[0], state[13], norm)
            strength = intensity + tried
            tally[0] += poisson(
                images[b], per_step * strength, key, number[b] * MAX_REPEATS + tried, start,
                pixels, t_of, p_of,
            )  # fmt: skip
            counts[b] = 0
            tally[1] += present(
                start, pixels, num_steps, state, constants, traces, key, learn, counts[b], raster
            )
            tally[2] += counts[b].sum()
            tried += 1
            if counts[b].sum() >= min_spikes or strength + 1 > max_intensity:
                break
        repeats[b] = tried


def show(p: Parameters, state: State, images, number, key, learn: bool, tally=None):
    """Show images uint8 (m, 784) one after the other, each until it has enough spikes.

    Parameters
    ----------
    number
        int64 (m,): with `key` it selects the draws of an image's input.
    tally
        int64 (3,), to which input spikes, steps computed and output spikes are added.

    Returns
    -------
    Spike counts of the last presentation of each image, int32 (m, n), and presentations of each,
    int64 (m,).
    """
    images, number = np.ascontiguousarray(images), np.ascontiguousarray(number, np.int64)
    counts, repeats = np.zeros((len(images), p.n_exc), np.int32), np.zeros(len(images), np.int64)
    tally = np.zeros(3, np.int64) if tally is None else tally

    def some(part):
        _show(
            images[part], number[part], rate(1, 1, p), float(p.intensity), float(p.max_intensity),
            p.min_spikes, steps(p.present_ms, p), steps(p.present_ms + p.rest_ms, p), parts(state),
            numbers(p), traces(p), float(p.norm), np.uint64(key), learn, p.reset_state,
            counts[part], repeats[part], tally,
        )  # fmt: skip

    if p.batch_size == 1 or not learn:
        some(slice(None))
        return counts, repeats
    for first in range(0, len(images), p.batch_size):
        normalise(state.w, state.changed, float(p.norm))
        before = state.w.copy(), state.theta.copy()
        w_sum, theta_sum, touched = *(np.zeros_like(x) for x in before), state.changed.copy()
        for b in range(first, min(first + p.batch_size, len(images))):
            some(slice(b, b + 1))
            w_sum += state.w - before[0]
            theta_sum += state.theta - before[1]
            touched |= state.changed
            state.w[:], state.theta[:], state.changed[:] = *before, False
        np.clip(before[0] + w_sum, 0, p.w_max, out=state.w)
        state.theta += theta_sum
        state.changed[:] = touched
    return counts, repeats


def operations(p: Parameters, inputs: float, computed: float, outputs: float, shown: float) -> dict:
    """Return what training asks for per image: additions, updates and bytes, as metrics.

    Takes input spikes, steps, output spikes and presentations per image. Every input spike is added
    once for each neuron and reads a weight (4 bytes) and a delay (1); every step reads and writes
    two conductances and a potential of each neuron, reads its threshold, and takes up and clears
    what arrives. Weights at an output spike are read and written once, and once more normalised.
    """
    n = p.n_exc
    return {
        "additions_per_image": inputs * n,
        "updates_per_image": computed * n,
        "megabytes_per_image": (
            inputs * n * (4 + 1 + 8) + computed * n * (6 * 8 + 8 + 2 * 4) + outputs * N_PIXELS * 16
        )
        / 1e6,
    }
