"""What single changes of the network do to its accuracy.

Each is trained and tested beside the unchanged network, from the same start, on the same images and
with the same draws.

Claims DC-f to DC-h; choices U1, U2, U10, deviation D6 in claims.yaml. `currents` to `all` lead from
this network to the one of source stdp_tables; `theta_plus_half` to `no_delays` are constants halved
or doubled; the last two are what the script leaves open. Finished trainings are kept.
"""

import dataclasses
import json

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.diehl_cook_2015 import cpu, readout
from respike.sources.diehl_cook_2015.model import N_PIXELS, start_state
from respike.sources.diehl_cook_2015.settings import Changes as Settings
from respike.sources.diehl_cook_2015.train import STREAM_TEST, fit, respond
from respike.spiking.encoding import stream_key

SIMPLER = {  # values of source stdp_tables
    "currents": {"synapses": "current"},
    "direct_inhibition": {"inhibition": "direct"},
    "reset": {"v_reset_exc_mV": -60.0},
    "short": {"present_ms": 100.0},
    "no_rest": {"rest_ms": 0.0, "reset_state": True},
    "no_repeat": {"min_spikes": 0},
    "batch_64": {"batch_size": 64},
    "one_spike": {"one_spike": True},
    "pair_rule": {"rule": "pair"},
    "rate_128": {"intensity": 128 / (255 / 8)},  # Hz of a white pixel
}
SET = SIMPLER | {
    "all": {key: value for one in SIMPLER.values() for key, value in one.items()},
    "no_delays": {"delay_max_ms": 0.0},
    "euler_conductances": {"conductances": "euler"},
    "euler_potential": {"potential": "euler"},
}
SCALED = {
    "theta_plus_half": {"theta_plus_mV": 0.5},
    "theta_plus_double": {"theta_plus_mV": 2},
    "tc_theta_half": {"tc_theta_ms": 0.5},
    "inhibition_half": {"w_inh_exc": 0.5},
    "inhibition_double": {"w_inh_exc": 2},
    "norm_half": {"norm": 0.5},
    "norm_double": {"norm": 2},
    "rates_half": {"nu_pre": 0.5, "nu_post": 0.5},
    "rates_double": {"nu_pre": 2, "nu_post": 2},
}
BASE = "base"


def changed(s: Settings, change: str) -> Settings:
    """Return the settings with a change made."""
    if change == BASE:
        return s
    factors = SCALED.get(change, {})
    scaled = {key: getattr(s, key) * factor for key, factor in factors.items()}
    return dataclasses.replace(s, **(SET.get(change, {}) | scaled))


def run(settings: Settings, data: Mnist, seed: int, progress, kept) -> Result:
    """Train and test the unchanged network and every change of it."""
    s = settings
    found = {}
    for k, change in enumerate((BASE, *s.changes)):
        p = changed(s, change)
        own = {key: value for key, value in dataclasses.asdict(p).items() if key != "changes"}
        name = json.dumps(["changes", seed, own])
        if (numbers := kept.get(name)) is None:
            say = _Part(progress, k, 1 + len(s.changes))
            numbers = _trained(p, data, seed, say, kept, name)
            kept.put(name, numbers)
            kept.drop_arrays(name)
        found[change] = numbers
        progress("network", k + 1, 1 + len(s.changes), accuracy=numbers["accuracy"])
    metrics = {
        f"{key}_{change}": value for change, own in found.items() for key, value in own.items()
    }
    for change in s.changes:
        metrics[f"gain_{change}"] = found[change]["accuracy"] - found[BASE]["accuracy"]
    return Result(metrics=metrics)


class _Part:
    """Progress in networks while one of them trains."""

    def __init__(self, progress, done: int, total: int):
        self.progress, self.done, self.total = progress, done, total

    def __call__(self, unit, k, n, **numbers):
        self.progress("network", round(self.done + min(k / n, 0.99), 2), self.total, **numbers)


def _trained(p: Settings, data: Mnist, seed: int, progress, kept, name: str) -> dict[str, float]:
    """Return the numbers of one network."""
    images = data.train_images[: p.n_train].reshape(-1, N_PIXELS)
    test_labels = data.test_labels[: p.n_test]
    cpu.show(p, start_state(p, seed), images[:1], [0], 0, True)  # compiles
    net = fit(
        p, images, data.train_labels[: p.n_train], seed, 1, p.label_images, progress, kept, name
    )
    assigned = readout.assign(readout.class_rates(net.counts, net.labels))
    test_images = data.test_images[: p.n_test].reshape(-1, N_PIXELS)
    counts, repeats, _ = respond(p, net.state, test_images, stream_key(seed, STREAM_TEST))
    predictions = readout.answers(counts, assigned)
    return {
        "accuracy": float((predictions == test_labels).mean()),
        "undecided": float((predictions < 0).mean()),
        "spikes": float(counts.sum() / len(counts)),
        "presentations": float(repeats.mean()),
        "neurons_firing": int(np.count_nonzero(counts.sum(axis=0))),
        "theta_mean_mV": float(net.state.theta.mean()),
        "train_cpu_s": net.cpu_s,
    }
