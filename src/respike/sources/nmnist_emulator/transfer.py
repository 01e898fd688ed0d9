"""Whether a network trained on emulated N-MNIST recordings reads real ones as well.

The network is a plain one (event counts of six 50-ms frames, one ReLU layer, softmax): it sees
place, polarity and coarse time of the events, what any later network sees too. It never meets an
image of the real recordings in training. It is tested on real recordings, on emulated recordings of
the same images, and on many emulated recordings of other images.
"""

import numpy as np
import torch

from respike.data.emulator import camera, parameters
from respike.data.inputs import Inputs, load
from respike.data.nmnist.event_frames import N_INPUTS, bin_events
from respike.runs.progress import Progress
from respike.runs.result import Result, SettingsError
from respike.sources.nmnist_emulator.settings import Transfer as Settings

__all__ = ["Settings", "load", "run"]


def run(settings: Settings, data: Inputs, seed: int, progress: Progress) -> Result:
    """Train on emulated recordings, test on real and emulated ones."""
    if data.mnist is None or data.recordings is None or data.kind == "emulated":
        raise SettingsError("needed are MNIST and real recordings of its training images")
    s, real = settings, data.recordings.splits["train"]
    others = np.setdiff1d(np.arange(len(data.mnist.train_labels)), real.index)
    if s.n_train + s.n_unseen > len(others):
        raise SettingsError(
            f"n_train, n_unseen: {s.n_train} + {s.n_unseen} images, there are {len(others)} "
            "without a real recording"
        )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    others = rng.permutation(others)
    p = parameters.load_parameters()

    def emulated(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index = index.astype(np.int64)
        blocks = camera.emulate_blocks(data.mnist.train_images[index], index, seed, p)
        parts = [(events, counts) for _, events, counts in blocks]
        counts = np.concatenate([c for _, c in parts])
        return np.concatenate([e for e, _ in parts]), np.concatenate(([0], np.cumsum(counts)))

    train_index = others[: s.n_train]
    events, offsets = emulated(train_index)
    labels = torch.from_numpy(data.mnist.train_labels[train_index])
    network = torch.nn.Sequential(
        torch.nn.Linear(s.num_steps * N_INPUTS, s.n_hidden),
        torch.nn.ReLU(),
        torch.nn.Linear(s.n_hidden, 10),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=s.lr)
    order = np.arange(s.n_train)
    batches = -(-s.n_train // s.batch_size)
    for epoch in range(s.epochs):
        rng.shuffle(order)
        for batch in range(batches):
            chosen = order[batch * s.batch_size : (batch + 1) * s.batch_size]
            x = _frames(*_take(events, offsets, chosen), s)
            loss = torch.nn.functional.cross_entropy(network(x), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            progress("batch", epoch * batches + batch + 1, s.epochs * batches, loss=loss.item())

    def predict(events: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        found = []
        with torch.inference_mode():
            for start in range(0, len(offsets) - 1, 500):
                chosen = np.arange(start, min(start + 500, len(offsets) - 1))
                found.append(network(_frames(*_take(events, offsets, chosen), s)).argmax(1))
        return torch.cat(found).numpy()

    fitted = np.isin(real.index, parameters.fitted_images())
    truth = real.labels.astype(np.int64)
    right_real = predict(*real.take(np.arange(len(real)))) == truth
    right_same = predict(*emulated(real.index)) == truth
    unseen = others[s.n_train : s.n_train + s.n_unseen]
    right_unseen = predict(*emulated(unseen)) == data.mnist.train_labels[unseen]
    metrics = {
        "accuracy_emulated_unseen": right_unseen.mean(),
        "accuracy_real": right_real.mean(),
        "accuracy_emulated_same_images": right_same.mean(),
        "gap_same_images": right_same.mean() - right_real.mean(),
        "gap_unseen": right_unseen.mean() - right_real.mean(),
        "n_real": len(real),
        "n_real_not_fitted": (~fitted).sum(),
    }
    if not fitted.all():
        metrics["accuracy_real_not_fitted"] = right_real[~fitted].mean()
        metrics["gap_not_fitted"] = right_same[~fitted].mean() - right_real[~fitted].mean()
    return Result(
        metrics={name: float(value) for name, value in metrics.items()},
        arrays={"right_real": right_real, "right_emulated": right_same, "index": real.index},
        data_kind=f"emulated, tested on {data.kind}",
    )


def _take(events: np.ndarray, offsets: np.ndarray, chosen: np.ndarray):
    counts = offsets[chosen + 1] - offsets[chosen]
    taken = [events[offsets[i] : offsets[i + 1]] for i in chosen]
    return np.concatenate(taken), np.concatenate(([0], np.cumsum(counts)))


def _frames(events: np.ndarray, offsets: np.ndarray, s: Settings) -> torch.Tensor:
    """Return log(1 + count) of each frame and input, (n, num_steps * 2312) float32."""
    bins = bin_events(events, offsets, s.t_window, s.num_steps, 0, s.t_window * s.num_steps)
    n = len(offsets) - 1
    rows = np.repeat(np.arange(n * s.num_steps), np.diff(bins.starts))
    frames = np.zeros((n * s.num_steps, N_INPUTS), np.float32)
    frames[rows, bins.inputs] = np.log1p(bins.counts.astype(np.float32))
    return torch.from_numpy(frames.reshape(n, -1))
