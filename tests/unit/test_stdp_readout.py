"""Label assignment and read-outs against BindsNET's, and what silence counts as."""

import numpy as np
import pytest
import torch
from bindsnet import evaluation

from respike.sources.stdp_tables import readout


@pytest.fixture
def spikes():
    rng = np.random.default_rng(0)
    spk = (rng.random((300, 12, 40)) < rng.random(40) * 0.2).astype(np.uint8)
    spk[:, :, 7] = 0  # a neuron that never fires
    spk[:9] = 0  # images without a spike
    return spk


@pytest.fixture
def truth():
    return np.random.default_rng(1).integers(0, 10, 300)


def stock(spk, truth, rates=None):
    rates = None if rates is None else torch.from_numpy(rates).float()
    assigned, proportions, rates = evaluation.assign_labels(
        torch.from_numpy(spk).float(), torch.from_numpy(truth), 10, rates=rates
    )
    return assigned, proportions, rates


def test_labels_and_both_read_outs_are_bindsnets(spikes, truth):
    counts = spikes.sum(axis=1)
    labels = readout.assign_labels(counts, truth, readout.no_labels(40))
    assigned, proportions, rates = stock(spikes, truth)
    assert (labels.assigned == assigned.numpy()).all() and labels.assigned[7] == -1
    np.testing.assert_allclose(labels.proportions, proportions.numpy(), atol=1e-6)
    np.testing.assert_allclose(labels.rates, rates.numpy(), rtol=1e-5)
    x = torch.from_numpy(spikes).float()
    for ours, theirs in (
        (readout.all_activity(counts, labels), evaluation.all_activity(x, assigned, 10)),
        (
            readout.proportion_weighting(counts, labels),
            evaluation.proportion_weighting(x, assigned, proportions, 10),
        ),
    ):
        # BindsNET sorts in float32, where two classes may tie
        assert (ours == theirs.numpy()).mean() > 0.97
        assert (ours[:9] == -1).all() and (theirs[:9] == -1).all()


def test_rates_of_earlier_assignments_add_up(spikes, truth):
    counts = spikes.sum(axis=1)
    first = readout.assign_labels(counts[:150], truth[:150], readout.no_labels(40))
    second = readout.assign_labels(counts[150:], truth[150:], first)
    rates = stock(spikes[:150], truth[:150])[2].numpy()
    assigned, _, rates = stock(spikes[150:], truth[150:], rates)
    np.testing.assert_allclose(second.rates, rates.numpy(), rtol=1e-5)
    assert (second.assigned == assigned.numpy()).all()


def test_a_class_that_was_not_shown_gets_no_neuron(spikes):
    truth = np.random.default_rng(2).integers(0, 9, 300)
    labels = readout.assign_labels(spikes.sum(axis=1), truth, readout.no_labels(40))
    assert 9 not in labels.assigned


def test_silence_is_undecided_or_class_0(spikes, truth):
    counts = spikes.sum(axis=1)
    labels = readout.assign_labels(counts, truth, readout.no_labels(40), silent_is_0=True)
    assert labels.assigned[7] == 0
    for function in readout.READ_OUTS.values():
        assert (function(counts, labels, silent_is_0=True)[:9] == 0).all()
        assert (function(counts, labels)[:9] == -1).all()


def test_a_network_that_never_fires_scores_the_share_of_zeros_or_nothing(truth):
    counts = np.zeros((300, 40), np.int32)
    for silent_is_0, expected in ((True, (truth == 0).mean()), (False, 0)):
        labels = readout.assign_labels(counts, truth, readout.no_labels(40), silent_is_0)
        found = readout.all_activity(counts, labels, silent_is_0)
        assert (found == truth).mean() == expected


def test_confusion_has_a_column_for_the_undecided():
    table = readout.confusion(np.array([3, 3, -1, 0]), np.array([3, 4, 4, 0]))
    assert table.sum() == 4 and table[3, 3] == table[4, 3] == table[4, 10] == table[0, 0] == 1
