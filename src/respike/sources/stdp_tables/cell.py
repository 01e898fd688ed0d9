"""One column of Tables 4 to 6: an encoder and a neuron model with the learning rules.

Source: stdp-tables-paper.md, Sections 3.2 and 4.1. Claims S-a, S-b, S-e; choices U1 to U10 in
claims.yaml. The rules share the input spikes, so they train side by side;
every metric starts with the rule's name. Cost on one core, 60,000 images and one rule: 1 s (rank
order) to 35 s (Bernoulli, neurons that fire all the time).
"""

import time

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.stdp_tables import cost, diagnose, readout
from respike.sources.stdp_tables import train as stdp_train
from respike.sources.stdp_tables.model import (
    N_PIXELS,
    Constants,
    check_images,
    constants,
)
from respike.sources.stdp_tables.settings import Cell as Settings
from respike.spiking.encoding import stream_key


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Train every rule once through the images, then test once."""
    s = settings
    networks = [constants(s, rule) for rule in s.rules]
    coding = stdp_train.Coding(s.encoder, s.num_steps, s.intensity)
    images, labels = check_images(data.train_images[: s.n_train]), data.train_labels[: s.n_train]
    # One image to throwaway networks: it compiles before the time is taken.
    stdp_train.train(networks, coding, images[:1], labels[:1], seed, 1, 1)
    since = time.process_time()
    nets = stdp_train.train(
        networks, coding, images, labels, seed, s.batch_size, s.assign_images, progress
    )
    train_cpu_s = time.process_time() - since
    test_images, test_labels = check_images(data.test_images[: s.n_test]), data.test_labels
    test_labels = test_labels[: s.n_test]
    key = stream_key(seed, stdp_train.STREAM_TEST)
    metrics, series, arrays = {}, {}, {"labels": test_labels.astype(np.uint8)}
    for rule, c, net in zip(s.rules, networks, nets, strict=True):
        counts = stdp_train.respond(c, net.state, coding, test_images, key)
        found = stdp_train.predictions(counts, net.labels, net.labels_0)
        own = {f"test_accuracy_{name}": (p == test_labels).mean() for name, p in found.items()}
        own |= {
            "output_spikes_per_image": counts.sum() / len(counts),
            "silent_images": (counts.sum(axis=1) == 0).mean(),
            "neurons_firing": (counts.sum(axis=0) > 0).sum(),
            "distinct_labels": len(set(net.labels.assigned) - {-1}),
            "train_spikes_per_image": net.counts.sum() / len(net.counts),
            "theta_mean_mV": net.state.theta.mean(),
            "theta_sd_mV": net.state.theta.std(),
        }
        traces = diagnose.look(c, net.state, coding, test_images[: diagnose.N_LOOK], key)
        own |= diagnose.numbers(c, traces, counts)
        own |= cost.network_cost(
            c, own["input_spikes_per_image"], own["output_spikes_per_image"], s.num_steps
        )
        metrics |= {f"{rule}_{name}": value for name, value in own.items()}
        series[f"{rule}_train_accuracy"] = net.accuracy
        arrays |= {
            f"{rule}_w": net.state.w,
            f"{rule}_theta": net.state.theta,
            f"{rule}_assigned": net.labels.assigned.astype(np.int8),
            f"{rule}_predictions": found["all"].astype(np.int8),
            f"{rule}_confusion": readout.confusion(found["all_strict"], test_labels),
            f"{rule}_spikes_by_neuron": counts.sum(axis=0),
        }
        if rule == s.rules[0]:  # declared for the first rule; the others cost the same
            arrays["predictions"] = np.where(found["all"] < 0, 255, found["all"]).astype(np.uint8)
            network = declared(s, c, own, train_cpu_s / len(s.rules))
    metrics["train_cpu_s_per_rule"] = train_cpu_s / len(s.rules)
    metrics["best_accuracy_all"] = max(metrics[f"{r}_test_accuracy_all"] for r in s.rules)
    metrics["rule_spread_all"] = metrics["best_accuracy_all"] - min(
        metrics[f"{r}_test_accuracy_all"] for r in s.rules
    )
    return Result(metrics=metrics, series=series, arrays=arrays, network=network)


def declared(s: Settings, c: Constants, own: dict, train_s: float) -> Network:
    """Return what the network is and costs, from its metrics."""
    n = c.n_neurons
    learned = N_PIXELS * n + (n if c.neuron == "diehl_cook" else 0)
    spikes_in, spikes_out = own["input_spikes_per_image"], own["output_spikes_per_image"]
    return Network(
        name=f"{N_PIXELS}-{n}, {s.encoder.replace('_', ' ')}, {c.neuron}, {c.rule}",
        data_set="mnist",
        rule="STDP",
        n_neurons=n,
        n_parameters=learned + n * n,  # with the matrix of inhibition
        n_state=2 * n,  # potential and refractory count; traces serve training only
        num_steps=s.num_steps,
        spikes=spikes_in + spikes_out,
        synaptic_operations=own["additions"],
        macs=N_PIXELS * n + n * n,
        n_train=s.n_train,
        presentations=s.n_train,
        train_s=train_s,
    )
