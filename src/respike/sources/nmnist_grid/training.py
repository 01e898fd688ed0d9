"""Training of one network of the grid document: one fold of a search, or the final model."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from respike.sources.nmnist_grid.cpu import EventMlp, Frames, mse_count_loss

TEST_BATCH = 100


@dataclass(frozen=True)
class Training:
    """What a training needs beside the data; units and source as in the document, section 3."""

    n_hidden: int
    beta: float
    rates: tuple[float, float]  # target rates of the right and of the wrong classes
    batch_size: int
    epochs: int
    lr: float  # not stated by the document; 0.02 in the authors' script
    l2: float  # weight decay as torch.optim.Adam adds it to the gradient: l2 * w
    surrogate_gain: float = 1.0


@dataclass
class Trained:
    """A trained network and how it came about."""

    net: EventMlp
    optimiser: torch.optim.Adam
    loss: list[float] = field(default_factory=list)  # mean of an epoch
    curves: dict[str, list[float]] = field(default_factory=dict)  # accuracy after each epoch
    cpu_s_per_epoch: float = 0.0  # training alone


def train(
    frames: Frames,
    labels: np.ndarray,
    index: np.ndarray,
    training: Training,
    seed: int,
    order_seed: int,
    follow: dict[str, tuple[Frames, np.ndarray, np.ndarray]] | None = None,
    optimiser_state: dict | None = None,
    progress: Callable | None = None,
) -> Trained:
    """Train a network on the recordings `index` of `frames`.

    Parameters
    ----------
    frames, labels
        All recordings and their digits, int64 (n,).
    index
        Recordings to train on.
    seed, order_seed
        Of the weights, and of the order in which recordings are shown.
    follow
        name -> (frames, labels, index): accuracy on these after each epoch; chooses nothing.
    optimiser_state
        Adam's moments (parameter number -> name -> tensor) to start from, as the authors' script
        carries them from fold to fold.
    """
    s = training
    rng = np.random.default_rng(order_seed)
    net = EventMlp(s.n_hidden, s.beta, seed, s.surrogate_gain)
    optimiser = torch.optim.Adam(net.parameters(), lr=s.lr, weight_decay=s.l2, fused=True)
    if optimiser_state is not None:
        optimiser.load_state_dict({**optimiser.state_dict(), "state": optimiser_state})
    found = Trained(net, optimiser, curves={name: [] for name in follow or {}})
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    starts = range(0, len(index), s.batch_size)
    cpu_s = 0.0
    for epoch in range(s.epochs):
        order = rng.permutation(index)
        losses = []
        for k, at in enumerate(starts, 1):
            since = time.process_time()  # CPU time: other jobs share the machine
            batch = order[at : at + s.batch_size]
            spikes, _ = net(frames, batch)
            loss = mse_count_loss(spikes, targets[batch], *s.rates)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
            cpu_s += time.process_time() - since
            if progress:
                said = {name: curve[-1] for name, curve in found.curves.items() if curve}
                progress(
                    "batch", epoch * len(starts) + k, s.epochs * len(starts),
                    epoch=epoch + k / len(starts), loss=losses[-1].item(), **said,
                )  # fmt: skip
        found.loss.append(torch.stack(losses).mean().item())
        for name, (own_frames, own_labels, own_index) in (follow or {}).items():
            found.curves[name].append(accuracy(net, own_frames, own_labels, own_index))
    found.cpu_s_per_epoch = cpu_s / max(s.epochs, 1)
    return found


@torch.no_grad()
def output_counts(net: EventMlp, frames: Frames, index: np.ndarray) -> tuple:
    """Return output spike counts float32 (n, 10) and hidden spikes per step float64 (num_steps,).

    The second is the mean over the recordings.
    """
    counts, spikes = [], np.zeros(frames.num_steps)
    for at in range(0, len(index), TEST_BATCH):
        out, hidden = net(frames, index[at : at + TEST_BATCH])
        counts.append(out.sum(dim=0).numpy())
        spikes[: len(hidden)] += hidden
    return np.concatenate(counts), spikes / len(index)


def accuracy(net: EventMlp, frames: Frames, labels: np.ndarray, index: np.ndarray) -> float:
    """Return the share of recordings whose digit's output neuron spikes most (first of equals)."""
    counts, _ = output_counts(net, frames, index)
    return float((counts.argmax(axis=1) == labels[index]).mean())


def folds(n: int, n_folds: int, split: int) -> list[np.ndarray]:
    """Return the held-out recordings of each fold: a split of range(n) drawn from `split`."""
    if not 2 <= n_folds <= n:
        raise ValueError(f"n_folds is {n_folds}, must be from 2 to the {n} recordings")
    return [
        np.sort(part)
        for part in np.array_split(np.random.default_rng(split).permutation(n), n_folds)
    ]
