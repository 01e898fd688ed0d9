"""The ANN of the same architecture: rectified maps of the same fixed kernels, one trained layer.

Section 4.4: back-propagation, no lateral connections. How it was trained is not stated (U10). The
spiking network's schedule was picked on held-out images from five; so is this one's.
"""

import time

import numpy as np
import torch

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.kulkarni_rajendran_2018 import kernels
from respike.sources.kulkarni_rajendran_2018.readout import bit_widths, confusion, lowest_recall
from respike.sources.kulkarni_rajendran_2018.reference import MAP, N_CLASSES
from respike.sources.kulkarni_rajendran_2018.settings import Ann as Settings
from respike.sources.kulkarni_rajendran_2018.train import chosen_images, macs

BLOCK = 500  # images at a time where nothing is learned


class Net:
    """Fixed kernels, ReLU and a dense layer; features have a root mean square of 1."""

    def __init__(self, fixed: np.ndarray, images: np.ndarray, seed: int):
        torch.manual_seed(seed)
        self.fixed = torch.from_numpy(fixed).float()[:, None]
        self.scale = 1.0
        self.scale = float(1 / self.features(images).square().mean().sqrt().clamp(min=1e-9))
        self.dense = torch.nn.Linear(len(fixed) * MAP * MAP, N_CLASSES)

    def features(self, images: np.ndarray) -> torch.Tensor:
        """Return float32 (n, n_features) for images uint8 (n, 28, 28)."""
        x = torch.from_numpy(images).float()[:, None] / 255
        return torch.relu(torch.nn.functional.conv2d(x, self.fixed)).flatten(1) * self.scale

    @torch.no_grad()
    def answers(self, images: np.ndarray, weights=None) -> np.ndarray:
        """Return the classes, uint8 (n,), by the layer's weights or others (10, n_features)."""
        w = self.dense.weight if weights is None else torch.from_numpy(weights).float()
        parts = [
            torch.nn.functional.linear(
                self.features(images[k : k + BLOCK]), w, self.dense.bias
            ).argmax(dim=1)
            for k in range(0, len(images), BLOCK)
        ]
        return torch.cat(parts).numpy().astype(np.uint8)


def trained(
    s: Settings, fixed: np.ndarray, data: Mnist, chosen, schedule: str, seed: int, progress
) -> tuple[Net, list[float]]:
    """Return a network trained on some of the training images, and the loss of each epoch."""
    net = Net(fixed, data.train_images[:BLOCK], seed)
    optimiser = torch.optim.Adam(net.dense.parameters(), lr=s.lr)
    labels = torch.from_numpy(data.train_labels)
    rng, losses = np.random.default_rng([seed, 2]), []
    for epoch in range(s.epochs):
        for group in optimiser.param_groups:
            group["lr"] = s.lr * kernels.rate_factor(schedule, epoch, s.decay)
        order, total = chosen[rng.permutation(len(chosen))], 0.0
        for start in range(0, len(order), s.batch_size):
            batch = order[start : start + s.batch_size]
            out = net.dense(net.features(data.train_images[batch]))
            loss = torch.nn.functional.cross_entropy(out, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        losses.append(total / len(order))
        progress("epoch", epoch + 1, s.epochs, loss=losses[-1])
    return net, losses


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Try the schedules on held-out images, train on all with the best, test once."""
    s = settings
    fixed = kernels.of(s.kernels, s.n_kernels, seed, data)
    chosen = chosen_images(data, s.n_train, 0, seed)
    metrics, best = {}, s.schedules[0]
    if len(s.schedules) > 1:
        held_out = np.arange(len(data.train_images) - s.n_held_out, len(data.train_images))
        rest = chosen[chosen < held_out[0]]
        for name in s.schedules:
            net, _ = trained(s, fixed, data, rest, name, seed, progress)
            right = net.answers(data.train_images[held_out]) == data.train_labels[held_out]
            metrics[f"held_out_accuracy_{name}"] = right.mean()
        best = max(s.schedules, key=lambda name: metrics[f"held_out_accuracy_{name}"])
    since = time.process_time()
    net, losses = trained(s, fixed, data, chosen, best, seed, progress)
    train_cpu_s = time.process_time() - since
    images, labels = data.test_images[: s.n_test], data.test_labels[: s.n_test]
    predictions = net.answers(images)
    metrics |= {
        "test_accuracy_final": (predictions == labels).mean(),
        "train_error_final": (
            net.answers(data.train_images[chosen]) != data.train_labels[chosen]
        ).mean(),
        "schedule_number": s.schedules.index(best),
        "lowest_recall": lowest_recall(confusion(predictions, labels)),
    }
    weights = net.dense.weight.detach().numpy().astype(np.float64)
    for name, rounded in bit_widths(weights, s.bits).items():
        metrics[f"test_accuracy_{name}"] = (net.answers(images, rounded) == labels).mean()
        metrics[f"loss_{name}"] = metrics["test_accuracy_final"] - metrics[f"test_accuracy_{name}"]
    neurons = weights.shape[1] + N_CLASSES
    return Result(
        metrics=metrics,
        series={"epoch": list(range(1, s.epochs + 1)), "loss": losses},
        arrays={"predictions": predictions, "labels": labels.astype(np.uint8)},
        network=Network(
            name=f"{s.n_kernels} kernels 3x3 ({s.kernels}), {weights.shape[1]}-10, ANN",
            data_set="mnist",
            rule="back-propagation",
            n_neurons=neurons,
            n_parameters=fixed.size + weights.size + N_CLASSES,
            n_state=neurons,
            num_steps=0,
            spikes=None,
            synaptic_operations=None,
            macs=macs(s.n_kernels),
            n_train=s.n_train,
            presentations=s.n_train * s.epochs,
            train_s=train_cpu_s,
        ),
    )
