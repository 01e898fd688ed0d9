"""Ten neurons that read a rate code (Adrian 1926): each holds the mean image of its digit.

An image is shown for some time steps. At each step a pixel spikes with a probability that follows
its intensity (D1, U1), and each neuron adds the weights of the pixels that spiked to its potential.
The highest potential is the answer. Claim T-a. Cost: about 2 s at scale default, one core.
"""

import time
from collections.abc import Iterator

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.NEW_SOURCE.settings import Train as Settings
from respike.spiking.energy import ann_macs, synaptic_operations

SIZES = (784, 10)  # neurons of each layer, pixels first


def mean_images(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean image w of each digit as weights, and -w w / 2 as biases.

    Of an image x, w x - w w / 2 is highest for the nearest mean.

    Parameters
    ----------
    images
        uint8 (n, 784), 0 to 255.
    labels
        int64 (n,), 0 to 9.

    Returns
    -------
    Weights, float32 (10, 784), 0 to 1, and biases, float32 (10,).
    """
    digits = labels == np.arange(10)[:, None]  # (10, n)
    of_digit = np.maximum(digits.sum(axis=1, keepdims=True), 1)
    weights = (digits.astype(np.float32) @ (images / np.float32(255))) / of_digit
    return weights.astype(np.float32), -(weights**2).sum(axis=1).astype(np.float32) / 2


def show(
    images: np.ndarray, weights: np.ndarray, biases: np.ndarray, rate: float, num_steps: int, rng
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the potentials, float32 (n, 10), and the number of input spikes after each step."""
    rates = images * np.float32(rate / 255)
    potentials = np.zeros((len(images), 10), np.float32)
    n_spikes = 0
    for _ in range(num_steps):
        spikes = rng.random(rates.shape, np.float32) < rates
        potentials = potentials + spikes.astype(np.float32) @ weights.T + rate * biases
        n_spikes += int(spikes.sum())
        yield potentials, n_spikes


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Learn the mean images, then show the test images; all chance comes from `seed`."""
    s, rng = settings, np.random.default_rng(seed)
    since = time.process_time()
    images = data.train_images[: s.n_train].reshape(-1, 784)
    weights, biases = mean_images(images, data.train_labels[: s.n_train])
    train_s = time.process_time() - since

    labels = data.test_labels[: s.n_test]
    images = data.test_images[: s.n_test].reshape(-1, 784)
    accuracies = []
    for potentials, n_spikes in show(images, weights, biases, s.rate, s.num_steps, rng):
        predictions, spikes = potentials.argmax(axis=1), n_spikes / len(labels)
        accuracies.append((predictions == labels).mean())
        progress("step", len(accuracies), s.num_steps, test_accuracy=accuracies[-1])

    return Result(
        # One number per name: what claims.yaml judges. Fractions, not per cent.
        metrics={"test_accuracy_final": accuracies[-1], "input_spikes_per_image": spikes},
        # Curves: what figures draw.
        series={"step": list(range(1, s.num_steps + 1)), "test_accuracy": accuracies},
        # A network keeps these two, so that the report can compare it image by image.
        arrays={"predictions": predictions.astype(np.uint8), "labels": labels.astype(np.uint8)},
        # A trained classifier declares what it costs, and enters the table of all networks.
        network=Network(
            name=f"784-10, T = {s.num_steps}",
            data_set="mnist",
            rule="mean images",
            n_neurons=10,
            n_parameters=weights.size + biases.size,
            n_state=10,
            num_steps=s.num_steps,
            spikes=spikes,
            synaptic_operations=synaptic_operations(SIZES, [spikes]),
            macs=ann_macs(SIZES),
            n_train=s.n_train,
            presentations=s.n_train,
            train_s=train_s,
        ),
    )
