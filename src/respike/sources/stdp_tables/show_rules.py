"""What the document draws by hand: encodings, membrane traces and the STDP window, simulated.

Source: stdp-tables-paper.md, Figures 4 to 6 and Sections 1.3 to 1.5. Claims S-f. The same digit is
encoded by each scheme; one neuron of each model receives the same Poisson input through equal
weights; the window is measured pair by pair on the simulated learning rules. Cost: seconds.
"""

import numpy as np
from scipy import stats

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.stdp_tables import cpu, window
from respike.sources.stdp_tables.encode import encode, rank_order_steps
from respike.sources.stdp_tables.model import (
    ENCODERS,
    N_PIXELS,
    NEURONS,
    RULES,
    State,
    check_images,
    constants,
)
from respike.sources.stdp_tables.settings import ShowRules as Settings
from respike.spiking.encoding import stream_key


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Encode, drive single neurons, measure the window."""
    s = settings
    images, index = check_images(data.test_images[: s.n_images]), np.arange(s.n_images)
    key = stream_key(seed, 0)
    shown, arrays = images[s.image], {"image": data.test_images[s.image]}
    metrics, series = {}, {}

    # ------------------------------------------------ Figure 4: encodings
    for encoder in ENCODERS:
        events = encode(images, index, encoder, s.num_steps, s.intensity, key)
        one = encode(shown[None], np.array([s.image]), encoder, s.num_steps, s.intensity, key)
        arrays[f"spikes_{encoder}"] = one.dense()[:, 0]
        counts = np.stack([
            np.bincount(events.pixels[a:b], minlength=N_PIXELS)
            for a, b in zip(events.start[:, 0], events.start[:, -1], strict=True)
        ])  # fmt: skip
        lit = images > 0
        by_step = np.diff(events.start, axis=1).mean(axis=0)
        series[f"spikes_by_step_{encoder}"] = by_step
        metrics[f"{encoder}_spikes_per_image"] = events.counts().mean()
        metrics[f"{encoder}_rate_correlation"] = np.corrcoef(images[lit], counts[lit])[0, 1]
        metrics[f"{encoder}_most_spikes_of_a_pixel"] = counts.max()
    steps = rank_order_steps(images, s.num_steps, s.intensity)
    fires = steps >= 0
    order = [
        stats.spearmanr(steps[k][fires[k]], images[k][fires[k]]).statistic
        for k in range(len(images)) if len(set(steps[k][fires[k]])) > 1
    ]  # fmt: skip
    metrics["rank_order_time_correlation"] = np.mean(order)
    metrics["rank_order_first_step_share"] = (steps[fires] == 0).mean()
    metrics["rank_order_first_five_share"] = (steps[fires] < 5).mean()
    metrics["rank_order_distinct_steps"] = np.mean([len(set(k[k >= 0])) for k in steps])
    metrics["rank_order_distinct_values"] = np.mean([len(set(k[k > 0])) for k in images])

    # ------------------------------------------------ Figure 5: one neuron of each model
    events = encode(shown[None], np.array([s.image]), "poisson", s.num_steps, s.intensity, key)
    w = np.full((N_PIXELS, 1), s.trace_weight, np.float32)
    for neuron in NEURONS:
        # Learning is on for the thresholds; without rates the weights stay.
        c = constants(s, "PostPre", neuron=neuron, n_neurons=1, nu_pre=0.0, nu_post=0.0)
        spk, mem = np.zeros((s.num_steps, 1, 1), np.uint8), np.zeros((s.num_steps, 1, 1), "f4")
        state = State(w.copy(), np.zeros(1, np.float32))
        cpu.present(c, state, events, np.array([s.image]), key, True, spk, mem, normal=False)
        arrays[f"mem_{neuron}"], arrays[f"spk_{neuron}"] = mem[:, 0, 0], spk[:, 0, 0]
        metrics[f"{neuron}_trace_spikes"] = spk.sum()
        if neuron == "diehl_cook":
            metrics["diehl_cook_rise_per_spike_mV"] = state.theta[0] / max(1, int(spk.sum()))
    arrays["input"] = events.dense()[:, 0]

    # ------------------------------------------------ Figure 6: the window
    deltas = np.arange(-s.window_ms, s.window_ms + 1)
    arrays["deltas"] = deltas
    for rule in RULES:
        c = constants(s, rule)
        for w0 in s.window_weights:
            arrays[f"window_{rule}_{w0:g}"] = window.window(c, deltas, w0)
        change = arrays[f"window_{rule}_{s.window_weights[0]:g}"]
        metrics[f"{rule}_post_after_pre"] = change[deltas > 0].mean()
        metrics[f"{rule}_pre_after_post"] = change[deltas < 0].mean()
        after = (deltas > 0) & (change > 0)
        slope = np.polyfit(deltas[after], np.log(change[after]), 1)[0]
        metrics[f"{rule}_window_tau_ms"] = -1 / slope
    progress("part", 3, 3)
    return Result(metrics=metrics, series=series, arrays=arrays)
