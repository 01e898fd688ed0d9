"""What the fixed filters allow: a linear layer trained by back-propagation on their features.

Source: kulkarni-forward-paper.md, reference [6], which holds its network against an ANN. Three
kinds of features: `relu`, the rectified feature maps, an ANN with the same fixed filters;
`original` and `modified`, spike counts of the hidden layer, what its spikes let a classifier know.
Claims K-d and K-h; choices U9 and U10.
Cost: about half a minute for 10,000 images, one core.
"""

import time

import numpy as np
import torch

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.kulkarni_forward import cost
from respike.sources.kulkarni_forward import filters as kulkarni_filters
from respike.sources.kulkarni_forward import passes as kulkarni_pass
from respike.sources.kulkarni_forward.cpu import padded
from respike.sources.kulkarni_forward.modified_pass import features_of
from respike.sources.kulkarni_forward.neuron import VARIANTS
from respike.sources.kulkarni_forward.normad import quantise
from respike.sources.kulkarni_forward.reference import MAP, N_CLASSES, modified_decay
from respike.sources.kulkarni_forward.settings import Readout as Settings

BLOCK = 500  # images at a time


class Features:
    """Features of images: uint8 counts, or the rectified feature map rounded to 8 bits."""

    def __init__(self, s: Settings, filters: np.ndarray):
        weights = np.zeros((len(filters) * MAP * MAP, N_CLASSES))
        self.no_outputs = np.zeros((0, *weights.shape))
        self.net = kulkarni_pass.Network(s, VARIANTS[s.variant], filters, s.gain_pA, weights, 1.0)
        self.table = self.net.table(s.modified_gain_pA, modified_decay(s))
        self.largest = max(np.maximum(filters, 0).sum(axis=(1, 2)).max(), 1e-9)

    def __call__(self, images: np.ndarray, kind: str) -> np.ndarray:
        """Return uint8 (n, n_hidden) for images (n, 28, 28)."""
        out = np.empty((len(images), len(self.net.weights)), np.uint8)
        if kind == "relu":
            lanes, row = padded(self.net.filters), np.empty(out.shape[1])
            for k, image in enumerate(images):
                features_of(image.reshape(-1), lanes, len(self.net.filters), row)
                out[k] = np.rint(np.maximum(row, 0) * (255 / self.largest))
            return out
        table = self.table if kind == "modified" else None
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            out[start : start + len(block)] = kulkarni_pass.run(
                self.net, block, table, self.no_outputs
            )[0]
        return out


def logits(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, scale: float) -> np.ndarray:
    """Return log-odds (n, 10) of features uint8 (n, n_hidden)."""
    parts = [
        x[k : k + BLOCK].astype(np.float32) @ weights * scale + bias
        for k in range(0, len(x), BLOCK)
    ]
    return np.concatenate(parts)


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Make the features, train the linear layer, test once; test it on the other pass's counts."""
    s = settings
    since = time.process_time()  # CPU time: other jobs share the machine
    found = kulkarni_filters.train(data, s.n_filters, s.n_train_filters, 1, seed)
    filters_cpu_s = time.process_time() - since
    make = Features(s, found.trained if s.filters == "trained" else found.start)
    make(data.train_images[:1], s.features)  # compiles before the time is taken
    since = time.process_time()
    x = make(data.train_images[: s.n_train], s.features)
    # Features scaled to a root mean square of 1 over the active half of them, one factor for all.
    scale = float(1 / max(np.sqrt((x[:1000].astype(np.float64) ** 2).mean()) * 4, 1e-9))
    y = torch.from_numpy(data.train_labels[: s.n_train])
    torch.manual_seed(seed)
    fc = torch.nn.Linear(x.shape[1], N_CLASSES)
    torch.nn.init.zeros_(fc.weight)
    optimiser = torch.optim.Adam(fc.parameters(), lr=s.lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, s.epochs * -(-s.n_train // s.batch_size)
    )
    rng = np.random.default_rng([seed, 3])
    for epoch in range(s.epochs):
        order = rng.permutation(s.n_train)
        for start in range(0, s.n_train, s.batch_size):
            batch = order[start : start + s.batch_size]
            out = fc(torch.from_numpy(x[batch]).float() * scale)
            loss = torch.nn.functional.cross_entropy(out, y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        progress("epoch", epoch + 1, s.epochs, loss=loss.item())
    train_cpu_s = filters_cpu_s + time.process_time() - since
    weights, bias = fc.weight.detach().numpy().T.copy(), fc.bias.detach().numpy()

    def accuracy(images, labels, kind=s.features, w=weights):
        return float((logits(make(images, kind), w, bias, scale).argmax(axis=1) == labels).mean())

    images, labels = data.test_images[: s.n_test], data.test_labels[: s.n_test]
    val, test = data.train_images[-s.n_val :], make(images, s.features)
    outputs = logits(test, weights, bias, scale)
    metrics = {
        "test_accuracy_final": (outputs.argmax(axis=1) == labels).mean(),
        "val_accuracy_final": accuracy(val, data.train_labels[-s.n_val :]),
        "weights": weights.size,
        "features_active": (test > 0).mean(),
    }
    for bits in s.bits:
        rounded = quantise(weights.astype(np.float64), bits).astype(np.float32)
        right = logits(test, rounded, bias, scale).argmax(axis=1) == labels
        metrics[f"test_accuracy_{bits}_bits"] = right.mean()
        metrics[f"loss_{bits}_bits"] = metrics["test_accuracy_final"] - right.mean()
    if s.features != "relu":
        other = "modified" if s.features == "original" else "original"
        metrics["test_accuracy_other_pass"] = accuracy(images, labels, other)
    spiking = s.features != "relu"
    network = Network(
        name=f"{s.n_filters} filters 3x3 ({s.filters}), {x.shape[1]}-10, {s.features}",
        data_set="mnist",
        rule="back-propagation on spike counts" if spiking else "back-propagation",
        n_parameters=make.net.filters.size + weights.size + bias.size,
        num_steps=s.num_steps if spiking else 0,
        macs=cost.macs(s.n_filters),
        n_train=max(s.n_train, s.n_train_filters),
        presentations=s.n_train_filters + s.n_train * s.epochs,
        train_s=train_cpu_s,
        **cost.of_pass(
            s, VARIANTS[s.variant], images, s.n_filters, s.features == "modified",
            test.sum() / len(test), 0.0, inhibits=False,
        )
        if spiking
        else {
            "n_neurons": x.shape[1] + N_CLASSES,
            "n_state": x.shape[1] + N_CLASSES,
            "spikes": None,
            "synaptic_operations": None,
        },
    )  # fmt: skip
    return Result(
        metrics=metrics,
        network=network,
        arrays={
            "predictions": outputs.argmax(axis=1).astype(np.uint8),
            "labels": labels.astype(np.uint8),
        },
    )
