"""How alike the hidden layer's spike counts of two passes are, and what the plain loop costs.

Source: kulkarni-forward-paper.md, Section VIII and Figure 4, which compares one digit by eye.
"""

import time

import numpy as np
import torch

from respike.sources.kulkarni_forward import reference as model
from respike.sources.kulkarni_forward.neuron import VARIANTS, pixel_trains


def histogram_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the shared part of two distributions of counts, 0 to 1 (1 - total variation)."""
    length = int(max(a.max(), b.max())) + 1
    p = np.bincount(a.ravel(), minlength=length) / a.size
    q = np.bincount(b.ravel(), minlength=length) / b.size
    return float(np.minimum(p, q).sum())


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean number of spikes by which one distribution of counts must be moved."""
    length = int(max(a.max(), b.max())) + 1
    p = np.bincount(a.ravel(), minlength=length).cumsum() / a.size
    q = np.bincount(b.ravel(), minlength=length).cumsum() / b.size
    return float(np.abs(p - q).sum())


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's r of two vectors; 0 if one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


def ranks(x: np.ndarray) -> np.ndarray:
    """Return the ranks of a vector from 1 on, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation; 0 if one of the two does not vary."""
    return correlation(ranks(a), ranks(b))


def agreement(original: np.ndarray, modified: np.ndarray, n_ranked: int = 1000) -> dict:
    """Return measures of how alike counts (images, neurons) are; original first.

    Ranks are taken over the neurons that fire in either pass, in the first `n_ranked` images: the
    many that are silent in both would agree for nothing. NaN where nothing varies.
    """
    by_rank, by_count = [], []
    for a, b in zip(original[:n_ranked], modified[:n_ranked], strict=True):
        used = (a > 0) | (b > 0)
        if used.sum() > 1 and np.ptp(a[used]) and np.ptp(b[used]):
            by_rank.append(rank_correlation(a[used], b[used]))
            by_count.append(correlation(a[used], b[used]))
    zeros = (original == 0) & (modified == 0)
    fire_a, fire_b = original > 0, modified > 0
    either = (fire_a | fire_b).sum()
    mean = original.mean()
    return {
        "mean_ratio": modified.mean() / mean if mean else float("nan"),
        "overlap": histogram_overlap(original, modified),
        "overlap_active": histogram_overlap(original[~zeros], modified[~zeros]) if either else 1.0,
        "wasserstein": wasserstein(original, modified),
        "rank_correlation": float(np.mean(by_rank)) if by_rank else float("nan"),
        "count_correlation": float(np.mean(by_count)) if by_count else float("nan"),
        "same_neurons": float((fire_a & fire_b).sum() / either) if either else float("nan"),
    }


def plain_passes(s, filters: np.ndarray, weights: np.ndarray, images: np.ndarray, decays: dict):
    """Return hidden and output counts and CPU seconds per image by key of `decays`, step by step.

    `decays` maps a name to the decay of a modified pass, or to None for the original. The
    document's loop re-implemented plainly; the table of pixel trains is given. weights (n, 10).
    """
    variant = VARIANTS[s.variant]
    trains = pixel_trains(s, variant)
    hidden, output = {key: [] for key in decays}, {key: [] for key in decays}
    seconds = dict.fromkeys(decays, 0.0)
    for image in images:
        for key, decay in decays.items():
            gain = s.gain_pA if decay is None else s.modified_gain_pA
            since = time.process_time()
            spk, out = model.forward(
                image, filters, weights.T, s, variant, gain, s.gain_out_pA, decay, trains
            )
            seconds[key] += (time.process_time() - since) / len(images)
            hidden[key].append(spk.sum(axis=0).astype(np.uint8))
            output[key].append(out.sum(axis=0))
    joined = [{key: np.array(part) for key, part in parts.items()} for parts in (hidden, output)]
    return *joined, seconds


def first_layer_ratio(image: np.ndarray, filters: np.ndarray, num_steps: int) -> float:
    """Return the CPU time of convolving num_steps maps over that of one, with torch's conv2d."""
    kernel = torch.as_tensor(filters, dtype=torch.float32)[:, None]
    one = torch.as_tensor(image, dtype=torch.float32)[None, None] / 255
    many = one.expand(num_steps, -1, -1, -1).contiguous()

    def seconds(maps, repeats):
        torch.nn.functional.conv2d(maps, kernel)
        since = time.process_time()
        for _ in range(repeats):
            torch.nn.functional.conv2d(maps, kernel)
        return (time.process_time() - since) / repeats

    return seconds(many, 5) / seconds(one, 500)
