"""Kulkarni and Rajendran's network trained with NormAD and tested by every read-out of the article.

Sections 3 to 5. From one trained network: accuracy by correlation, count and first spike, on few
bits, at steps of 1 ms; confusion matrix, silence, rates. With the seed varies the order of the
images alone (U6). The images of `test_on` are looked at after every epoch and choose nothing.
Memory: 20 kB an image that is trained on or tested.
"""

import dataclasses
import time

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result, SettingsError
from respike.sources.kulkarni_rajendran_2018 import kernels
from respike.sources.kulkarni_rajendran_2018.cpu import (
    Model,
    Outputs,
    Spikes,
    outputs,
    pixel_trains,
    spikes_of,
    train_on,
)
from respike.sources.kulkarni_rajendran_2018.readout import (
    READOUTS,
    answers,
    binned,
    bit_widths,
    confusion,
    lowest_recall,
)
from respike.sources.kulkarni_rajendran_2018.reference import (
    FIELD,
    MAP,
    N_CLASSES,
    SIDE,
    desired_train,
)
from respike.sources.kulkarni_rajendran_2018.settings import Train as Settings

OTHER_TAUS_MS = (1.0, 20.0)  # of the correlation, beside that of the settings (U5)
DECIDED_MS = 20.0
COARSE_BITS = 3
BLOCK = 500  # images trained on between lines of progress


def chosen_images(data: Mnist, n_train: int, n_held_out: int, seed: int) -> np.ndarray:
    """Return which images are trained on: of those not held out, drawn by the seed."""
    pool = len(data.train_images) - n_held_out
    if n_train > pool:
        raise SettingsError(f"n_train: found {n_train}, allowed: at most {pool} with these data")
    return np.random.default_rng([seed, 1]).permutation(pool)[:n_train]


def tested_images(data: Mnist, s: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels that the network is tested on."""
    if s.test_on == "test":
        return data.test_images[: s.n_test], data.test_labels[: s.n_test]
    return data.train_images[-s.n_test :], data.train_labels[-s.n_test :]


class Trained:
    """A network while it learns: weights, CPU time, curves."""

    def __init__(self, s: Settings, model: Model, test: Spikes, labels: np.ndarray):
        self.s, self.model, self.test, self.labels = s, model, test, labels
        self.desired = desired_train(s, s.period_ms)
        self.weights = np.zeros((model.n_inputs, N_CLASSES))
        self.cpu_s = 0.0
        self.curves = {
            "epoch": [], "errors_per_image": [], **{f"test_accuracy_{r}": [] for r in READOUTS},
            "early_images": [], "early_accuracy": [],
        }  # fmt: skip

    def outputs(self, spikes: Spikes | None = None, weights=None, taus_ms=()) -> Outputs:
        """Return what the read-outs need, of the test images and the weights if none are given."""
        return outputs(
            self.model, self.test if spikes is None else spikes,
            self.weights if weights is None else weights, self.desired,
            (self.s.tau_read_ms, *taus_ms),
        )  # fmt: skip

    def accuracy(self, readout: str = "correlation", weights=None) -> float:
        """Return the accuracy on the test images."""
        return answers(self.outputs(weights=weights), readout).accuracy(self.labels)

    def learn(self, spikes: Spikes, labels: np.ndarray, order: np.ndarray, rate_pA: float) -> float:
        """Train on images in an order; return the mean number of errors."""
        since = time.process_time()
        errors = train_on(
            self.model, spikes, labels, order, self.weights, self.desired, rate_pA
        )  # fmt: skip
        self.cpu_s += time.process_time() - since
        return errors

    def epoch(self, number: int, spikes: Spikes, labels, order: np.ndarray, progress) -> None:
        """Train for an epoch and look at the test images."""
        s, errors = self.s, 0.0
        rate_pA = s.rate_pA * kernels.rate_factor(s.schedule, number, s.decay)
        cuts = [k for k in s.early if k <= len(order)] if number == 0 else []
        marks = sorted({0, len(order), *cuts, *range(0, len(order), BLOCK)})
        for start, stop in zip(marks[:-1], marks[1:], strict=True):
            errors += self.learn(spikes, labels, order[start:stop], rate_pA) * (stop - start)
            progress("image", number * len(order) + stop, s.epochs * len(order), epoch=number + 1)
            if stop in cuts:
                self.curves["early_images"].append(stop)
                self.curves["early_accuracy"].append(self.accuracy())
        found = self.outputs()
        self.curves["epoch"].append(number + 1)
        self.curves["errors_per_image"].append(errors / len(order))
        for name in READOUTS:
            self.curves[f"test_accuracy_{name}"].append(answers(found, name).accuracy(self.labels))


def model_of(s: Settings, data: Mnist, seed: int) -> Model:
    """Return the network that the settings name."""
    fixed = (
        None
        if s.layers == "two"
        else kernels.of(s.kernels, s.n_kernels, seed, data, s.n_train_filters)
    )
    return Model(s, fixed, s.gain_pA, s.synapse, s.clips, s.inhibit_pA, s.tau_leak_ms)


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Train, then test once by everything that the article reports."""
    s = settings
    chosen = chosen_images(data, s.n_train, s.n_held_out, seed)
    images, labels = tested_images(data, s)
    since = time.process_time()  # CPU time: other jobs share the machine
    model = model_of(s, data, seed)
    kernels_cpu_s = time.process_time() - since
    one = spikes_of(model, data.train_images[:1])  # compiles before the time is taken
    net = Trained(s, model, spikes_of(model, images, progress), labels)
    train_on(model, one, data.train_labels, np.arange(1), net.weights.copy(), net.desired, 0.0)
    since = time.process_time()
    spikes = spikes_of(model, data.train_images[chosen], progress)
    spikes_cpu_s = time.process_time() - since
    own_labels = data.train_labels[chosen]
    rng = np.random.default_rng([seed, 2])
    for number in range(s.epochs):
        net.epoch(number, spikes, own_labels, rng.permutation(len(chosen)), progress)
    found = net.outputs(taus_ms=OTHER_TAUS_MS)
    by = {name: answers(found, name) for name in READOUTS}
    metrics = {
        **_accuracies(net, found, by),
        "train_accuracy_final": answers(net.outputs(spikes), "correlation").accuracy(own_labels),
        **_activity(net, found, by["correlation"].classes),
        "output_weights": net.weights.size,
        "spikes_cpu_ms_per_image": spikes_cpu_s / len(chosen) * 1000,
        "epoch_cpu_ms_per_image": net.cpu_s / s.epochs / len(chosen) * 1000,
    }
    for name, rounded in bit_widths(net.weights, s.bits).items():
        metrics[f"test_accuracy_{name}"] = net.accuracy(weights=rounded)
        metrics[f"loss_{name}"] = metrics["test_accuracy_final"] - metrics[f"test_accuracy_{name}"]
    for duration in s.coarse_ms:
        metrics |= _coarse(net, images, duration)
    train_cpu_s = kernels_cpu_s + spikes_cpu_s + net.cpu_s
    return Result(
        metrics=metrics,
        series=net.curves,
        arrays=_arrays(net, images, found, by),
        # Networks are set side by side by their answers to the same test images.
        network=_network(net, images, found, train_cpu_s) if s.test_on == "test" else None,
    )


def _accuracies(net: Trained, found: Outputs, by: dict) -> dict[str, float]:
    labels, first = net.labels, by["first"]
    return {
        "test_accuracy_final": by["correlation"].accuracy(labels),
        "test_accuracy_count": by["count"].accuracy(labels),
        "test_accuracy_first": first.accuracy(labels),
        "test_accuracy_first_ties_wrong": ((first.classes == labels) & (first.tied == 1)).mean(),
        **{
            f"test_accuracy_tau_{tau:g}": answers(found, "correlation", k).accuracy(labels)
            for k, tau in enumerate(OTHER_TAUS_MS, 1)
        },
        **{f"tied_{name}": found_by.share_tied() for name, found_by in by.items()},
        "lowest_recall": lowest_recall(confusion(by["correlation"].classes, labels)),
    }


def _activity(net: Trained, found: Outputs, classes: np.ndarray) -> dict[str, float]:
    s, test = net.s, net.test
    seconds = s.num_steps * s.dt_ms / 1000
    inputs = [
        np.bincount(test.neurons[a:b], minlength=1).max()
        for a, b in zip(test.offsets[:-1], test.offsets[1:], strict=True)
    ]
    fired = found.first[:, 1] >= 0
    when_ms = (found.first[:, 1] + 1) * s.dt_ms
    return {
        "silent_images": found.silent.sum(),
        "decided_in_20_ms": (fired & (when_ms <= DECIDED_MS)).mean(),
        "first_spike_ms": when_ms[fired].mean() if fired.any() else float("nan"),
        "driving_mean_Hz": test.offsets[-1] / len(test) / net.model.n_inputs / seconds,
        "driving_highest_Hz": max(inputs) / seconds,
        "output_highest_Hz": found.counts.max() / seconds,
        "highest_Hz": max(*inputs, found.counts.max()) / seconds,
    }


def _coarse(net: Trained, images: np.ndarray, duration_ms: int) -> dict[str, float]:
    """Return the accuracy by counts at steps of 1 ms (Section 5.2)."""
    c = dataclasses.replace(net.s, dt_ms=1.0, num_steps=duration_ms)
    model = dataclasses.replace(net.model, c=c)
    spikes, desired = spikes_of(model, images), desired_train(c, net.s.period_ms)

    def accuracy(weights: np.ndarray) -> float:
        found = outputs(model, spikes, weights, desired, (net.s.tau_read_ms,))
        return answers(found, "count").accuracy(net.labels)

    return {
        f"test_accuracy_1_ms_{duration_ms}": accuracy(binned(net.weights, COARSE_BITS)),
        f"test_accuracy_1_ms_{duration_ms}_full": accuracy(net.weights),
    }


def _arrays(net: Trained, images: np.ndarray, found: Outputs, by: dict) -> dict[str, np.ndarray]:
    arrays = {
        "predictions": by["correlation"].classes,
        "labels": net.labels.astype(np.uint8),
        "confusion": confusion(by["correlation"].classes, net.labels),
        "first_step": found.first[:, 1].astype(np.int16),
    }
    if net.s.bits:  # the network that is looked at closely
        one = slice(0, net.test.offsets[1])
        times = np.repeat(np.arange(net.s.num_steps), net.test.counts[0])
        arrays |= {
            "weights": net.weights.astype(np.float32),
            "output_counts": found.counts.astype(np.uint8),
            "image": images[0],
            "image_neurons": net.test.neurons[one],
            "image_steps": times.astype(np.int16),
        }
        if net.model.kernels is not None:
            arrays["kernels"] = net.model.kernels
    return arrays


def fields_of_pixels() -> np.ndarray:
    """Return how many kernel positions see each pixel, int64 (28, 28): 9 but for the border."""
    along = np.minimum(np.arange(SIDE) + 1, FIELD)
    along = np.minimum(along, along[::-1])
    return np.outer(along, along)


def macs(n_kernels: int) -> int:
    """Return the multiply-accumulates of an ANN of the same connections, one image."""
    return n_kernels * MAP * MAP * (FIELD**2 + N_CLASSES)


def _network(net: Trained, images: np.ndarray, found: Outputs, train_s: float) -> Network:
    s, n = net.s, net.model.n_inputs
    two = net.model.kernels is None
    n_kernels = 0 if two else len(net.model.kernels)
    driving, out = net.test.offsets[-1] / len(images), found.counts.sum() / len(images)
    pixels = pixel_trains(s).sum(axis=0)[images]  # spikes (n, 28, 28)
    fields = (pixels * fields_of_pixels()).sum() / len(images)
    hidden = 0 if two else n
    return Network(
        name=f"{n_kernels} kernels 3x3 ({s.kernels}), {n}-10" if hidden else f"{n}-10, 2 layers",
        data_set="mnist",
        rule="NormAD",
        n_neurons=SIDE**2 + hidden + N_CLASSES,
        n_parameters=net.weights.size + 9 * n_kernels,
        # Potentials, and two traces for each neuron.
        n_state=3 * (SIDE**2 + hidden + N_CLASSES),
        num_steps=s.num_steps,
        spikes=pixels.sum() / len(images) + out + (driving if hidden else 0),
        synaptic_operations=fields * n_kernels
        + driving * N_CLASSES
        + (out * (N_CLASSES - 1) if s.inhibit_pA > 0 else 0),
        macs=macs(n_kernels) if hidden else n * N_CLASSES,
        n_train=s.n_train,
        presentations=s.n_train * s.epochs,
        train_s=train_s,
    )
