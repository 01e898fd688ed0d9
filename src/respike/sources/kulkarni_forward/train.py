"""Output weights trained with NormAD: what the document leaves out, as its reference [6] states it.

Source: kulkarni-forward-paper.md, Section VI ("weights that are to be learned") and reference [6].
Claims K-h; choices U5 to U9. Weights and settings are chosen on training images that the network
does not learn from; the test images are used once. Memory:
2 bytes a hidden spike of a training image; time: `train_cpu_ms_per_image`.
"""

import dataclasses
import time

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.kulkarni_forward import cost
from respike.sources.kulkarni_forward import filters as kulkarni_filters
from respike.sources.kulkarni_forward import passes as kulkarni_pass
from respike.sources.kulkarni_forward.neuron import VARIANTS
from respike.sources.kulkarni_forward.normad import desired_train, quantise
from respike.sources.kulkarni_forward.normad_cpu import HiddenSpikes, hidden_spikes, train_on
from respike.sources.kulkarni_forward.reference import MAP, N_CLASSES, decide, modified_decay
from respike.sources.kulkarni_forward.settings import Train as Settings

BLOCK = 500  # images passed at a time


def counts_of(net, images, table, weights):
    """Return output counts (k, n, 10) for weights (k, n_hidden, 10), and two numbers.

    They are the most spikes of a hidden neuron and the mean number of hidden spikes of an image.
    """
    counts, most, total = [], 0, 0
    for start in range(0, len(images), BLOCK):
        h, o = kulkarni_pass.run(net, images[start : start + BLOCK], table, weights)
        counts.append(o)
        most, total = max(most, int(h.max())), total + int(h.sum())
    return np.concatenate(counts, axis=1), most, total / len(images)


def kept_spikes(net, images, table, progress) -> HiddenSpikes:
    """Return the hidden spikes of the training images: the same in every epoch."""
    kept = HiddenSpikes([], [])
    for start in range(0, len(images), BLOCK):
        part = hidden_spikes(net, images[start : start + BLOCK], table)
        kept.neurons.extend(part.neurons)
        kept.counts.extend(part.counts)
        progress("image", len(kept.counts), len(images))
    return kept


def accuracy(net, images, labels, table) -> float:
    """Return the share of images whose class fires most."""
    return float((decide(counts_of(net, images, table, net.weights[None])[0][0]) == labels).mean())


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Train filters, then weights; test once: full and reduced precision, both passes."""
    s = settings
    since = time.process_time()  # CPU time: other jobs share the machine
    filters = kulkarni_filters.train(data, s.n_filters, s.n_train_filters, 1, seed).trained
    filters_cpu_s = time.process_time() - since
    weights = np.zeros((s.n_filters * MAP * MAP, N_CLASSES))
    net = kulkarni_pass.Network(
        s, VARIANTS[s.variant], filters, s.gain_pA, weights, 1.0, s.inhibit_pA
    )
    table = net.table(s.modified_gain_pA, modified_decay(s))
    own, other = (None, table) if s.forward_pass == "original" else (table, None)
    desired = desired_train(s, s.period_ms)
    val, val_labels = data.train_images[-s.n_val :], data.train_labels[-s.n_val :]
    # Compiles before the time is taken.
    copy = dataclasses.replace(net, weights=weights.copy())
    one = hidden_spikes(copy, data.train_images[:1], own)
    train_on(copy, one, data.train_labels, np.arange(1), desired, 0.0, s.tau_leak_ms)
    since = time.process_time()
    spikes = kept_spikes(net, data.train_images[: s.n_train], own, progress)
    train_cpu_s = time.process_time() - since
    rng = np.random.default_rng([seed, 2])
    curve = {"epoch": [], "train_accuracy": [], "val_accuracy": [], "errors_per_image": []}
    for epoch in range(s.epochs):
        order = rng.permutation(s.n_train)
        right, errors = 0.0, 0.0
        for start in range(0, len(order), BLOCK):  # in blocks, for lines of progress
            part = order[start : start + BLOCK]
            since = time.process_time()
            found = train_on(
                net, spikes, data.train_labels, part, desired, s.rate_pA * s.rate_decay**epoch,
                s.tau_leak_ms,
            )  # fmt: skip
            train_cpu_s += time.process_time() - since
            right += found[0] * len(part)
            errors += found[1] * len(part)
            progress(
                "image", epoch * len(order) + start + len(part), s.epochs * len(order),
                epoch=epoch + 1, right=right / (start + len(part)),
            )  # fmt: skip
        curve["epoch"].append(epoch + 1)
        curve["train_accuracy"].append(right / len(order))
        curve["errors_per_image"].append(errors / len(order))
        curve["val_accuracy"].append(accuracy(net, val, val_labels, own))

    images, labels = data.test_images[: s.n_test], data.test_labels[: s.n_test]
    sets = np.stack([net.weights, *(quantise(net.weights, bits) for bits in s.bits)])
    every, hidden_most, hidden_mean = counts_of(net, images, own, sets)
    counts = every[0]
    seconds = s.num_steps * s.dt_ms / 1000
    metrics = {
        "test_accuracy_final": (decide(counts) == labels).mean(),
        "test_accuracy_other_pass": accuracy(net, images, labels, other),
        "val_accuracy_final": curve["val_accuracy"][-1],
        "train_accuracy_final": curve["train_accuracy"][-1],
        "hidden_highest_Hz": hidden_most / seconds,
        "output_highest_Hz": counts.max() / seconds,
        "output_winner_Hz": counts.max(axis=1).mean() / seconds,
        "highest_Hz": max(hidden_most, counts.max()) / seconds,
        "no_winner": ((counts == counts.max(axis=1, keepdims=True)).sum(axis=1) > 1).mean(),
        "output_weights": net.weights.size,
        "train_cpu_ms_per_image": train_cpu_s / s.epochs / s.n_train * 1000,
    }
    for bits, rounded in zip(s.bits, every[1:], strict=True):
        right = (decide(rounded) == labels).mean()
        metrics[f"test_accuracy_{bits}_bits"] = right
        metrics[f"loss_{bits}_bits"] = metrics["test_accuracy_final"] - right
    arrays = {
        "filters": filters, "weights": net.weights.astype(np.float32),
        "labels": labels.astype(np.uint8), "output_counts": counts.astype(np.uint8),
        "predictions": decide(counts).astype(np.uint8),
    }  # fmt: skip
    network = Network(
        name=f"{s.n_filters} filters 3x3, {net.weights.shape[0]}-10, {s.forward_pass} pass",
        data_set="mnist",
        rule="NormAD",
        n_parameters=filters.size + net.weights.size,
        num_steps=s.num_steps,
        macs=cost.macs(s.n_filters),
        n_train=max(s.n_train, s.n_train_filters),
        presentations=s.n_train_filters + s.n_train * s.epochs,
        train_s=filters_cpu_s + train_cpu_s,
        **cost.of_pass(
            s, VARIANTS[s.variant], images, s.n_filters, s.forward_pass == "modified", hidden_mean,
            counts.sum(axis=1).mean(), inhibits=s.inhibit_pA > 0,
        ),
    )  # fmt: skip
    return Result(metrics=metrics, series=curve, arrays=arrays, network=network)
