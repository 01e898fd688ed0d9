"""The same network in plain NumPy, every step of 0.5 ms computed: what the fast path is held to.

Nothing is skipped or approximated here but what the ledger says of the model itself: 32-bit weights
(D1) and traces that end (D3). No experiment imports this module.
"""

import numpy as np

from respike.sources.diehl_cook_2015 import model
from respike.sources.diehl_cook_2015.encode import draw, encode
from respike.sources.diehl_cook_2015.model import Parameters, State


def present(p: Parameters, state: State, start, pixels, key, learn: bool) -> np.ndarray:
    """Run one presentation and the rest after it; return all spikes, uint8 (steps, n).

    `start` and `pixels` are the input (`encode.encode`). The weights are not normalised here.
    """
    s, n, shown = state, p.n_exc, len(start) - 1
    num_steps = model.steps(p.present_ms + p.rest_ms, p)
    k_exc, k_inh = p.dt_ms / p.tau_mem_exc_ms, p.dt_ms / p.tau_mem_inh_ms
    keep_e = model.kept_conductance(p.tau_ge_ms, p)
    keep_i = model.kept_conductance(p.tau_gi_ms, p)
    n_slots, tile = s.arriving.shape[1:]
    rows, columns = np.arange(n) // tile, np.arange(n) % tile
    found = np.zeros((num_steps, n), np.uint8)
    for t in range(num_steps):
        step = s.now[0] + t
        inputs = pixels[start[t] : start[t + 1]] if t < shown else pixels[:0]
        for i in inputs:
            s.arriving[rows, (step + s.delay[i].astype(int)) % n_slots, columns] += s.w[i]
        # Potentials, by the conductances at the start of the step (U1, U3).
        s.v[:] = _moved(p, s.v, s.g_e, s.g_i, k_exc)
        s.v[s.held >= step] = p.v_reset_exc_mV
        v_inh = _inhibitory_moved(p, s.v_inh, s.g_inh, k_inh)
        s.v_inh[:] = np.where(s.held_inh >= step, p.v_reset_inh_mV, v_inh)
        if learn:
            s.theta *= model.kept(p.tc_theta_ms, p)
        # Spikes.
        free = s.held < step
        above = free & (s.v > s.theta + (p.v_thresh_exc_mV - p.theta_offset_mV))
        fired = np.flatnonzero(above)
        above_inh = (s.held_inh < step) & (s.v_inh > p.v_thresh_inh_mV)
        s.v[fired], s.held[fired] = p.v_reset_exc_mV, step + model.steps(p.refrac_exc_ms, p)
        s.v_inh[above_inh] = p.v_reset_inh_mV
        s.held_inh[above_inh] = step + model.steps(p.refrac_inh_ms, p)
        if learn:
            s.theta[fired] += p.theta_plus_mV
        if p.one_spike and len(fired) > 1:
            fired = fired[[int(draw(np.uint64(key), step) * len(fired))]]
        found[t, fired] = 1
        # Arrival.
        slot = step % n_slots
        s.g_e[:] = s.g_e * keep_e + s.arriving[rows, slot, columns]
        s.arriving[:, slot] = 0
        s.g_inh *= keep_e
        direct = p.inhibition == "direct"
        sources = fired if direct else np.flatnonzero(above_inh)
        s.g_i[:] = s.g_i * keep_i + p.w_inh_exc * len(sources)
        s.g_i[sources] -= p.w_inh_exc
        if not direct:
            s.g_inh[fired] += p.w_exc_inh
        if learn:
            _learn(p, s, inputs, fired, step)
    s.now += num_steps
    return found


def _moved(p: Parameters, v, g_e, g_i, k):
    """Return the potentials of the excitatory neurons after a step."""
    e_exc, e_inh, rest = p.e_exc_mV, p.e_inh_mV, p.v_rest_exc_mV
    if p.potential == "euler":
        at = rest if p.synapses == "current" else v
        return v + k * ((rest - v) + g_e * (e_exc - at) + g_i * (e_inh - at))
    if p.synapses == "current":
        to = rest + g_e * (e_exc - rest) + g_i * (e_inh - rest)
        return to + (v - to) * np.exp(-k)
    total = 1 + g_e + g_i
    to = (rest + g_e * e_exc + g_i * e_inh) / total
    return to + (v - to) * np.exp(-total * k)


def _inhibitory_moved(p: Parameters, v, g, k):
    """Return the potentials of the inhibitory neurons after a step; nothing inhibits them."""
    rest = p.v_rest_inh_mV
    if p.potential == "euler":
        return v + k * ((rest - v) + g * (p.e_exc_mV - v))
    to = (rest + g * p.e_exc_mV) / (1 + g)
    return to + (v - to) * np.exp(-(1 + g) * k)


def _learn(p: Parameters, s: State, inputs, fired, step) -> None:
    """Change weights at the input spikes of a step, then at its output spikes."""

    def trace(last, tc_ms):
        table = model.trace_table(tc_ms, p)
        return table[np.minimum(step - last, len(table) - 1)]

    if len(inputs):
        post_1 = trace(s.last_post, p.tc_post1_ms)
        live = post_1 > 0
        change = p.nu_pre * post_1[live]
        for i in inputs:
            s.w[i, live] = np.maximum(0, s.w[i, live] - change)
        s.changed |= live
        s.last_pre[inputs] = step
    pre, post_2 = trace(s.last_pre, p.tc_pre_ms), trace(s.last_post, p.tc_post2_ms)
    for j in fired:
        rise = p.nu_post * (post_2[j] if p.rule == "triplet" else 1.0)
        s.w[:, j] = np.minimum(p.w_max, s.w[:, j] + rise * pre)
        s.changed[j] = True
    s.last_post[fired] = step


def normalise(p: Parameters, s: State) -> None:
    """Scale the weights of neurons whose weights changed to the sum `norm`."""
    for j in np.flatnonzero(s.changed):
        total = np.cumsum(s.w[:, j].astype(np.float64))[-1]
        if total > 0:
            s.w[:, j] = s.w[:, j] * (p.norm / total)
    s.changed[:] = False


def set_back(p: Parameters, s: State) -> None:
    """Bring all but weights and thresholds to rest."""
    s.v[:], s.v_inh[:] = p.v_rest_exc_mV, p.v_rest_inh_mV
    for part in (s.g_e, s.g_i, s.g_inh, s.arriving):
        part[:] = 0
    for part in (s.held, s.held_inh, s.last_pre, s.last_post):
        part[:] = model.NEVER


def show(p: Parameters, state: State, images, number, key, learn: bool) -> tuple:
    """Show images one after the other, as `cpu.show` does with batches of one.

    Returns spike counts int32 (m, n), presentations int64 (m,), and of every presentation all its
    spikes, uint8 (steps, n).
    """
    counts, repeats, rasters = [], [], []
    shown = model.steps(p.present_ms, p)
    for image, own in zip(images, number, strict=True):
        tried = 0
        while True:
            if p.reset_state:
                set_back(p, state)
            if learn:
                normalise(p, state)
            strength = p.intensity + tried
            start, pixels = encode(image, strength, key, own * model.MAX_REPEATS + tried, p)
            raster = present(p, state, start, pixels, key, learn)
            rasters.append(raster)
            tried += 1
            n_spikes = raster[:shown].sum()
            if n_spikes >= p.min_spikes or strength + 1 > p.max_intensity:
                break
        counts.append(raster[:shown].sum(axis=0, dtype=np.int32))
        repeats.append(tried)
    return np.array(counts), np.array(repeats), rasters
