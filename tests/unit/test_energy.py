"""Operations and energy of a network small enough to count by hand."""

import pytest

from respike.spiking import energy


def test_counts_by_hand():
    # 4 inputs, 3 hidden, 2 outputs, 5 steps; 7 input spikes and 2 hidden spikes.
    assert energy.ann_macs((4, 3, 2)) == 4 * 3 + 3 * 2
    assert energy.synaptic_operations((4, 3, 2), (7, 2)) == 7 * 3 + 2 * 2
    assert energy.leak_operations((4, 3, 2), 5) == 5 * (3 + 2)
    costs = energy.costs((4, 3, 2), (7, 2), 5)
    assert costs["synaptic_operations"] == 25
    assert costs["leak_operations"] == 25
    assert costs["operations_ratio"] == pytest.approx(50 / 18)
    assert costs["energy_ann_nj"] == pytest.approx(18 * 4.6e-3)  # 3.7 pJ + 0.9 pJ each
    assert costs["energy_snn_nj"] == pytest.approx((25 * 0.9 + 25 * 4.6) * 1e-3)
    assert costs["energy_ratio"] == pytest.approx((25 * 0.9 + 25 * 4.6) / (18 * 4.6))


def test_a_silent_network_pays_only_the_leak():
    costs = energy.costs((784, 250, 10), (0, 0), 50)
    assert costs["synaptic_operations"] == 0
    assert costs["energy_snn_nj"] == pytest.approx(50 * 260 * 4.6e-3)


def test_spikes_are_counted_for_each_layer_that_feeds_another():
    with pytest.raises(ValueError):
        energy.synaptic_operations((4, 3, 2), (7, 2, 1))
