"""Answers from the output spikes of many images, and weights of few bits.

Read-outs as `reference.answers` has them, from what `cpu.outputs` gives; no output spike is no
answer (U8).
"""

from dataclasses import dataclass

import numpy as np

from respike.sources.kulkarni_rajendran_2018.cpu import Outputs
from respike.sources.kulkarni_rajendran_2018.reference import EQUAL, NONE, highest

READOUTS = ("correlation", "count", "first")


@dataclass(frozen=True)
class Answers:
    """Answers of one read-out, uint8 (n,), NONE for no spike; how many classes are equal to it."""

    classes: np.ndarray
    tied: np.ndarray  # int64 (n,); 1: no tie

    def accuracy(self, labels: np.ndarray) -> float:
        """Return the share that is right."""
        return float((self.classes == labels).mean())

    def share_tied(self) -> float:
        """Return the share of the images, silent ones left out, for which classes are equal."""
        return float(((self.tied > 1) & (self.classes != NONE)).mean())


def answers(found: Outputs, readout: str, tau: int = 0) -> Answers:
    """Return the answers of a read-out; tau: which of the correlations' time constants."""
    if readout == "first":
        return Answers(found.first[:, 0].astype(np.uint8), found.first[:, 2])
    values = found.similar[tau] if readout == "correlation" else found.counts.astype(float)
    classes = np.where(found.silent, NONE, highest(values)).astype(np.uint8)
    most = values.max(axis=1, keepdims=True)
    return Answers(classes, (values >= most * (1 - EQUAL)).sum(axis=1))


def confusion(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how often each label is answered by each class, int64 (10, 11), the last NONE."""
    table = np.zeros((NONE, NONE + 1), np.int64)
    np.add.at(table, (labels, classes), 1)
    return table


def lowest_recall(table: np.ndarray) -> float:
    """Return the share of right answers of the label with the fewest, of labels that there are."""
    of = table.sum(axis=1)
    return float((np.diag(table)[of > 0] / of[of > 0]).min())


def binned(weights: np.ndarray, bits: int, share: float = 1.0) -> np.ndarray:
    """Return weights rounded to 2^bits even levels, one of which is 0 (U9).

    The levels are `share` of the weights' range over 2^bits - 1 apart; what lies outside takes the
    nearest.
    """
    low, high = min(weights.min(), 0.0) * share, max(weights.max(), 0.0) * share
    gap = (high - low) / (2**bits - 1)
    if gap == 0:
        return weights
    first = np.rint(low / gap)
    return np.clip(np.rint(weights / gap), first, first + 2**bits - 1) * gap


def fitted(weights: np.ndarray, bits: int) -> np.ndarray:
    """Return `binned` weights for the share of the range, of 64, that leaves the least square."""
    tries = [binned(weights, bits, k / 64) for k in range(1, 65)]
    return min(tries, key=lambda rounded: float(((rounded - weights) ** 2).sum()))


def bit_widths(weights: np.ndarray, bits: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the weights at each precision, by the end of a metric's name as 3_bits_fitted."""
    found = {}
    for width in bits:
        found[f"{width}_bits"] = binned(weights, width)
        found[f"{width}_bits_fitted"] = fitted(weights, width)
    return found
