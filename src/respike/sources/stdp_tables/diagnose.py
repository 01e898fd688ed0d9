"""What the output neurons do: who fires, whether inhibition arrives, drive against threshold."""

from dataclasses import dataclass

import numpy as np

from respike.sources.stdp_tables import cpu
from respike.sources.stdp_tables.encode import Events, encode
from respike.sources.stdp_tables.model import Constants, State

N_LOOK = 256  # test images looked at step by step


@dataclass
class Look:
    """Spikes and potentials of some presentations."""

    events: Events
    spk: np.ndarray  # uint8 (num_steps, images, n)
    mem: np.ndarray  # float32 (num_steps, images, n), after reset
    drive_mV: np.ndarray  # float64 (images, num_steps): input to a neuron at a step, mean over them


def look(c: Constants, state: State, coding, images: np.ndarray, key) -> Look:
    """Return what happens step by step at images uint8 (images, 784), without learning."""
    index = np.arange(len(images))
    events = encode(images, index, coding.encoder, coding.num_steps, coding.intensity, key)
    shape = (events.num_steps, len(images), c.n_neurons)
    spk, mem = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    cpu.present(c, state, events, index, key, learn=False, spk=spk, mem=mem)
    sums = np.r_[0, state.w.mean(axis=1).astype(np.float64)[events.pixels].cumsum()]
    return Look(events, spk, mem, np.diff(sums[events.start], axis=1))


def at_threshold(c: Constants, seen: Look) -> np.ndarray:
    """Return which neurons reached the threshold, bool (num_steps, images, n).

    With diehl_cook only one of them fires, but all are reset.
    """
    if c.neuron == "diehl_cook":
        return seen.mem == np.float32(c.v_reset_mV)
    return seen.spk.astype(bool)


def inhibition_lost(c: Constants, seen: Look) -> float:
    """Return the share of inhibitory input that meets a refractory neuron, which takes no input.

    Spikes of a step inhibit at the next one; whoever reached the threshold in the `refrac_ms`
    steps up to the spike is deaf to it, all that fired together among them. NaN without spikes.
    """
    reached = at_threshold(c, seen)
    window = max(0, round(c.refrac_ms))
    total = np.r_[np.zeros((1, *reached.shape[1:]), int), reached.cumsum(axis=0)]
    t = np.arange(len(reached))
    deaf = total[t + 1] > total[np.maximum(t + 1 - window, 0)]  # (num_steps, images, n)
    sent = seen.spk.sum(axis=2)[:-1].astype(float)  # the last step's inhibition comes too late
    onto_deaf = sent * deaf.sum(axis=2)[:-1] - (seen.spk * deaf).sum(axis=2)[:-1]
    possible = (sent * (c.n_neurons - 1)).sum()
    return float(onto_deaf.sum() / possible) if possible else float("nan")


def numbers(c: Constants, seen: Look, counts: np.ndarray) -> dict[str, float]:
    """Return the metrics of one network; counts int (images, n): spikes over all test images."""
    together = at_threshold(c, seen).sum(axis=2)
    spikes = counts.sum()
    best = counts.argmax(axis=1)[counts.any(axis=1)]
    fired = seen.spk.any(axis=2)  # (num_steps, images)
    return {
        "reach_together": together[together > 0].mean() if together.any() else float("nan"),
        "inhibition_lost": inhibition_lost(c, seen),
        "top_share": counts.sum(axis=0).max() / spikes if spikes else float("nan"),
        "winners": len(np.unique(best)),
        "first_spike_ms": float(fired.argmax(axis=0)[fired.any(axis=0)].mean()) if fired.any()
        else float("nan"),
        "drive_mV": float(seen.drive_mV.mean()),
        "mem_lowest_mV": float(seen.mem.min()),
        "input_spikes_per_image": float(seen.events.counts().mean()),
        "rest_rate_per_ms": cpu.rest_rate(c),
    }  # fmt: skip
