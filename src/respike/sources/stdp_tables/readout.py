"""From output spikes to digits: assignment of labels and the two read-outs of BindsNET.

Spike counts of a presentation are all that BindsNET's functions use. Two versions of them exist:
0.3.4 leaves neurons that never fired unassigned and images without a spike undecided (-1, always
wrong); the releases of the document's time gave both to class 0 (`silent_is_0`), which alone
scores the share of zeros among the digits.
"""

from dataclasses import dataclass

import numpy as np

from respike.sources.stdp_tables.model import N_CLASSES


@dataclass
class Labels:
    """What the output neurons stand for."""

    assigned: np.ndarray  # int64 (n,): a class, -1 for a neuron that never fired
    proportions: np.ndarray  # float64 (n, 10): share of each class in its firing
    rates: np.ndarray  # float64 (n, 10): mean spikes per image of each class, summed over updates


def no_labels(n_neurons: int) -> Labels:
    """Return the state before the first assignment."""
    nothing = np.zeros((n_neurons, N_CLASSES))
    return Labels(np.full(n_neurons, -1), nothing.copy(), nothing.copy())


def assign_labels(counts, labels, before: Labels, silent_is_0: bool = False) -> Labels:
    """Return labels from spike counts (images, n) of images with known classes (images,).

    As the authors call it, the rates of earlier assignments count too (`rates=rates`). Ties go to
    the lowest class (D4).
    """
    rates = before.rates.copy()
    for digit in range(N_CLASSES):
        mine = labels == digit
        if mine.any():
            rates[:, digit] += counts[mine].sum(axis=0) / mine.sum()
    total = rates.sum(axis=1, keepdims=True)
    proportions = np.divide(rates, total, out=np.zeros_like(rates), where=total > 0)
    assigned = proportions.argmax(axis=1)
    if not silent_is_0:
        assigned[total[:, 0] == 0] = -1
    return Labels(assigned, proportions, rates)


def _class_rates(counts, labels: Labels, weighted: bool) -> np.ndarray:
    rates = np.zeros((len(counts), N_CLASSES))
    for digit in range(N_CLASSES):
        mine = labels.assigned == digit
        if mine.any():
            share = labels.proportions[mine, digit] if weighted else np.ones(mine.sum())
            rates[:, digit] = counts[:, mine] @ share / mine.sum()
    return rates


def _decided(rates, silent_is_0) -> np.ndarray:
    predictions = rates.argmax(axis=1)
    if not silent_is_0:
        predictions[rates.sum(axis=1) == 0] = -1
    return predictions


def all_activity(counts, labels: Labels, silent_is_0: bool = False) -> np.ndarray:
    """Return the class whose neurons fire most on average, int64 (images,); -1: none fired."""
    return _decided(_class_rates(counts, labels, False), silent_is_0)


def proportion_weighting(counts, labels: Labels, silent_is_0: bool = False) -> np.ndarray:
    """Return the class by firing weighted with each neuron's proportion for it, int64 (images,)."""
    return _decided(_class_rates(counts, labels, True), silent_is_0)


READ_OUTS = {"all": all_activity, "proportion": proportion_weighting}


def confusion(predictions, labels) -> np.ndarray:
    """Return counts int64 (10, 11): true class by predicted class, the last column undecided."""
    table = np.zeros((N_CLASSES, N_CLASSES + 1), np.int64)
    np.add.at(table, (labels, predictions), 1)  # -1 is the last column
    return table
