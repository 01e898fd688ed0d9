"""The fixed kernels of the hidden layer, and how learning rates fall: what both networks share."""

import math

import numpy as np

from respike.data.mnist import Mnist
from respike.sources.kulkarni_rajendran_2018.reference import FIELD, MAP, N_CLASSES

# Excitatory pixels of the article's kernels, row by row, as public notes of a re-implementer read
# them off Figure 2 (U1).
ARTICLE = (
    "010010010", "000111000", "100010001", "001010100", "010011000", "000110010",
    "010110000", "000011010", "101010000", "100010100", "000010101", "001010001",
)  # fmt: skip
EXCITES, INHIBITS = 1.6, -1.0  # excitatory weights are 1.6 times as large


def from_patterns(patterns) -> np.ndarray:
    """Return kernels (n, 3, 3) of texts of nine digits, 1 where a pixel excites."""
    on = np.array([[digit == "1" for digit in pattern] for pattern in patterns])
    return np.where(on, EXCITES, INHIBITS).reshape(-1, FIELD, FIELD)


def article(n: int) -> np.ndarray:
    """Return the first n kernels of the article, float64 (n, 3, 3)."""
    return from_patterns(ARTICLE[:n])


def random(n: int, seed: int) -> np.ndarray:
    """Return n different kernels with three excitatory pixels, as the article's have."""
    rng, patterns = np.random.default_rng([seed, 5]), []
    while len(patterns) < n:
        on = rng.permutation(FIELD * FIELD) < 3
        pattern = "".join("01"[pixel] for pixel in on.astype(int))
        if pattern not in patterns:
            patterns.append(pattern)
    return from_patterns(patterns)


def one_epoch(n: int, seed: int, data: Mnist, n_train: int) -> np.ndarray:
    """Return n filters of a linear network after an epoch, float64 (n, 3, 3): not the article's.

    What kulkarni_forward's document takes for kernels: a convolution and a dense layer, SGD 0.01,
    momentum 0.5, batch 128; the bias of the convolution is trained and then dropped.
    """
    import torch  # seconds to load, and for these kernels alone

    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, n, FIELD),
        torch.nn.Flatten(),
        torch.nn.Linear(n * MAP * MAP, N_CLASSES),
    )
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
    images, labels = data.train_images[:n_train], torch.from_numpy(data.train_labels)
    order = np.random.default_rng(seed).permutation(len(images))
    for start in range(0, len(order), 128):
        batch = order[start : start + 128]
        out = net(torch.from_numpy(images[batch]).float()[:, None] / 255)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(out, labels[batch]).backward()
        optimiser.step()
    return net[0].weight.detach().numpy().reshape(n, FIELD, FIELD).astype(np.float64)


def of(kind: str, n: int, seed: int, data: Mnist, n_train_filters: int = 0) -> np.ndarray:
    """Return the kernels that a setting names."""
    if kind == "article":
        return article(n)
    if kind == "random":
        return random(n, seed)
    return one_epoch(n, seed, data, n_train_filters)


def rate_factor(schedule: str, epoch: int, decay: float) -> float:
    """Return the learning rate over r0 in an epoch from 0 on (Table 1)."""
    return {
        "constant": 1.0,
        "inverse": 1 / (1 + decay * epoch),
        "exponential": math.exp(-decay * epoch),
        "halved_5": 0.5 ** (epoch // 5),
        "halved_3": 0.5 ** (epoch // 3),
    }[schedule]
