"""The 12 filters of kulkarni-forward-paper.md: those of a linear network after one epoch.

Source: Section V, "obtained after one epoch of training a neural network with just 1 convolutional
layer", and the authors' script: Conv2d(1, 12, 3), Linear(8112, 10), log-softmax, SGD 0.01, momentum
0.5, batch 128, one epoch of 60,000 images. The convolution's bias is trained and then dropped.

The network has no nonlinearity, so its filters and weights make one 784 x 10 matrix M: convolving
the weights once a batch gives the same output and gradients as convolving 128 images, many times
faster. Equal to the plain network within float32 rounding (tests/unit/test_kulkarni_filters.py).
"""

from dataclasses import dataclass

import numpy as np
import torch

from respike.data.mnist import Mnist
from respike.sources.kulkarni_forward.reference import FIELD, MAP, N_CLASSES, SIDE

LR, MOMENTUM, BATCH = 0.01, 0.5, 128  # authors' script


@dataclass
class Filters:
    """Filters before and after training, float64 (n_filters, 3, 3), and the network's accuracy."""

    start: np.ndarray
    trained: np.ndarray
    test_accuracy_start: float
    test_accuracy: float


class LinearNet:
    """A convolution and a dense layer without a nonlinearity, float32, drawn as torch does."""

    def __init__(self, n_filters: int, seed: int):
        torch.manual_seed(seed)
        conv = torch.nn.Conv2d(1, n_filters, FIELD)
        fc = torch.nn.Linear(n_filters * MAP * MAP, N_CLASSES)
        self.filters = conv.weight.detach().numpy().reshape(n_filters, FIELD * FIELD).copy()
        self.filter_bias = conv.bias.detach().numpy().copy()
        self.maps = fc.weight.detach().numpy().reshape(N_CLASSES, n_filters, -1).copy()
        self.bias = fc.bias.detach().numpy().copy()
        self.parameters = (self.filters, self.filter_bias, self.maps, self.bias)
        self.steps = [np.zeros_like(p) for p in self.parameters]  # momentum

    def matrix(self) -> np.ndarray:
        """Return M, float32 (10, 28, 28): the weight of each pixel for each class."""
        m = np.zeros((N_CLASSES, SIDE, SIDE), np.float32)
        spread = np.matmul(self.filters.T, self.maps).reshape(N_CLASSES, FIELD, FIELD, MAP, MAP)
        for dy in range(FIELD):
            for dx in range(FIELD):
                m[:, dy : dy + MAP, dx : dx + MAP] += spread[:, dy, dx]
        return m

    def log_odds(self, x: np.ndarray) -> np.ndarray:
        """Return log-odds (batch, 10) of images float32 (batch, 784)."""
        offset = self.bias + self.maps.sum(axis=2) @ self.filter_bias
        return x @ self.matrix().reshape(N_CLASSES, -1).T + offset

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
        """Return the gradients of the mean cross-entropy, in the order of `parameters`."""
        z = self.log_odds(x)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(p)), labels] -= 1
        p /= len(p)  # dL/dz
        by_m = (p.T @ x).reshape(N_CLASSES, SIDE, SIDE)
        fields = np.stack(
            [
                by_m[:, dy : dy + MAP, dx : dx + MAP].reshape(N_CLASSES, -1)
                for dy in range(FIELD)
                for dx in range(FIELD)
            ],
            axis=1,
        )  # (10, 9, 676)
        by_z = p.sum(axis=0)
        by_filters = np.einsum("jfp,jkp->fk", self.maps, fields, optimize=True)
        by_filter_bias = self.maps.sum(axis=2).T @ by_z
        by_maps = np.matmul(self.filters, fields) + (
            by_z[:, None, None] * self.filter_bias[None, :, None]
        )
        return [by_filters, by_filter_bias, by_maps, by_z]

    def descend(self, x: np.ndarray, labels: np.ndarray) -> None:
        """Take one step of gradient descent with momentum."""
        for p, step, grad in zip(
            self.parameters, self.steps, self.gradients(x, labels), strict=True
        ):
            step *= MOMENTUM
            step += grad
            p -= LR * step

    def accuracy(self, data: Mnist) -> float:
        """Return the share of test images that are right."""
        x = data.test_images.reshape(-1, SIDE * SIDE).astype(np.float32) / 255
        return float((self.log_odds(x).argmax(axis=1) == data.test_labels).mean())


def train(data: Mnist, n_filters: int, n_train: int, epochs: int, seed: int) -> Filters:
    """Return the filters before and after `epochs` over the first `n_train` images."""
    net = LinearNet(n_filters, seed)
    shape = (n_filters, FIELD, FIELD)
    start, before = net.filters.astype(np.float64).reshape(shape), net.accuracy(data)
    images = data.train_images[:n_train].reshape(-1, SIDE * SIDE)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for k in range(0, len(order), BATCH):
            batch = order[k : k + BATCH]
            net.descend(images[batch].astype(np.float32) / 255, data.train_labels[batch])
    return Filters(start, net.filters.astype(np.float64).reshape(shape), before, net.accuracy(data))
