"""The 12 filters of kulkarni-forward-paper.md: those of a linear network after one epoch.

Source: Section V, "obtained after one epoch of training a neural network with just 1 convolutional
layer", and the authors' script: Conv2d(1, 12, 3), Linear(8112, 10), log-softmax, SGD 0.01, momentum
0.5, batch 128, one epoch of 60,000 images. The convolution's bias is trained and then dropped.

The network has no nonlinearity, so its filters and weights make one 784 x 10 matrix: convolving the
weights once a batch gives the same output and gradients as convolving 128 images, about ten times
faster. Equal to the plain network within float32 rounding (tests/unit/test_kulkarni_filters.py).
"""

from dataclasses import dataclass

import numpy as np
import torch

from respike.data.mnist import Mnist
from respike.kulkarni_model import FIELD, MAP, N_CLASSES

LR, MOMENTUM, BATCH = 0.01, 0.5, 128  # authors' script


@dataclass
class Filters:
    """Filters before and after training, float64 (n_filters, 3, 3), and the network's accuracy."""

    start: np.ndarray
    trained: np.ndarray
    test_accuracy_start: float
    test_accuracy: float


class LinearNet(torch.nn.Module):
    """Conv2d and Linear without a nonlinearity; `forward` gives log-odds (batch, 10)."""

    def __init__(self, n_filters: int):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, n_filters, FIELD)
        self.fc = torch.nn.Linear(n_filters * MAP * MAP, N_CLASSES)

    def forward(self, x):
        """Return log-odds for images (batch, 784), by the product of filters and weights."""
        maps = self.fc.weight.view(N_CLASSES, -1, MAP, MAP)
        matrix = torch.nn.functional.conv_transpose2d(maps, self.conv.weight)  # (10, 1, 28, 28)
        bias = self.fc.bias + maps.sum(dim=(2, 3)) @ self.conv.bias
        return x @ matrix.flatten(1).t() + bias

    def plain(self, x):
        """Return the same by convolving the images, as the authors do."""
        return self.fc(self.conv(x.view(-1, 1, 28, 28)).flatten(1))


def train(data: Mnist, n_filters: int, n_train: int, epochs: int, seed: int) -> Filters:
    """Return the filters before and after `epochs` over the first `n_train` images."""
    torch.manual_seed(seed)
    net = LinearNet(n_filters)
    start = net.conv.weight.detach().double().numpy()[:, 0].copy()
    before = _accuracy(net, data)
    optimiser = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    x = torch.from_numpy(data.train_images[:n_train].reshape(-1, 784)).float() / 255
    y = torch.from_numpy(data.train_labels[:n_train])
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(len(x)))
        for batch in order.split(BATCH):
            loss = torch.nn.functional.cross_entropy(net(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    trained = net.conv.weight.detach().double().numpy()[:, 0].copy()
    return Filters(start, trained, before, _accuracy(net, data))


@torch.no_grad()
def _accuracy(net: LinearNet, data: Mnist) -> float:
    x = torch.from_numpy(data.test_images.reshape(-1, 784)).float() / 255
    return float((net(x).argmax(dim=1).numpy() == data.test_labels).mean())
