"""From spike counts to digits: labels of neurons, answers, what the confusions are."""

import numpy as np

from respike.sources.diehl_cook_2015.model import N_CLASSES


def class_rates(counts, labels) -> np.ndarray:
    """Return the mean spikes per image of each class, float64 (n, 10), of counts (images, n)."""
    rates = np.zeros((counts.shape[1], N_CLASSES))
    for digit in range(N_CLASSES):
        mine = labels == digit
        if mine.any():
            rates[:, digit] = counts[mine].sum(axis=0) / mine.sum()
    return rates


def assign(rates) -> np.ndarray:
    """Return the class of each neuron's highest rate, int64 (n,); -1 if it never fired (U9)."""
    return np.where(rates.any(axis=1), rates.argmax(axis=1), -1)


def answers(counts, assigned) -> np.ndarray:
    """Return the class whose neurons fire most in the mean, int64 (images,); -1: none fired."""
    rates = np.zeros((len(counts), N_CLASSES))
    for digit in range(N_CLASSES):
        mine = assigned == digit
        if mine.any():
            rates[:, digit] = counts[:, mine].sum(axis=1) / mine.sum()
    return np.where(rates.any(axis=1), rates.argmax(axis=1), -1)


def confusion(predictions, labels) -> np.ndarray:
    """Return counts int64 (10, 11): true class by answer, the last column undecided."""
    table = np.zeros((N_CLASSES, N_CLASSES + 1), np.int64)
    np.add.at(table, (labels, predictions), 1)  # -1 is the last column
    return table


def pair_over_next(table, a: int, b: int) -> float:
    """Return the share of images confused between a and b less that of the next pair of digits."""
    both = table[:, :N_CLASSES] + table[:, :N_CLASSES].T
    pairs = {(i, j): both[i, j] for i in range(N_CLASSES) for j in range(i)}
    own = pairs.pop((max(a, b), min(a, b)))
    return float((own - max(pairs.values())) / table.sum())
