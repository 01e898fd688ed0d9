"""Costs of the Kulkarni network, against a count by hand over the plain convolution."""

import numpy as np
import pytest
from test_kulkarni_neuron import C

from respike.sources.kulkarni_forward import cost
from respike.sources.kulkarni_forward.neuron import VARIANTS, pixel_trains
from respike.sources.kulkarni_forward.reference import convolve


def test_every_pixel_is_in_as_many_fields_as_the_convolution_reads_it():
    fields = np.zeros((28, 28))
    for y in range(28):
        for x in range(28):
            map_ = np.zeros((1, 28, 28))
            map_[0, y, x] = 1
            fields[y, x] = convolve(map_, np.ones((1, 3, 3))).sum()
    assert (cost.fields_of_pixels() == fields).all()
    assert fields.sum() == 676 * 9


@pytest.mark.parametrize("inhibits", [False, True])
def test_operations_of_one_spike_train(inhibits):
    c, variant = C, VARIANTS["corrected"]
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 0, 0] = image[0, 10, 10] = 255  # a corner, in one field, and one in nine
    per_pixel = pixel_trains(c, variant).sum(axis=0)
    found = cost.of_pass(c, variant, image, 2, False, 7.0, 3.0, inhibits)
    inputs = 2 * per_pixel[255] + 782 * per_pixel[0]
    assert found["spikes"] == inputs + 7 + 3
    reads = 10 * per_pixel[255] + (676 * 9 - 10) * per_pixel[0]
    assert found["synaptic_operations"] == reads * 2 + 7 * 10 + 3 * 9 * inhibits
    assert found["n_neurons"] == 784 + 2 * 676 + 10


def test_the_modified_pass_convolves_once():
    c = C
    image = np.full((1, 28, 28), 200, np.uint8)
    found = cost.of_pass(c, VARIANTS["corrected"], image, 2, True, 5.0, 1.0, False)
    assert found["synaptic_operations"] == 2 * 676 * 9 + 50
    assert cost.macs(2) == 2 * 676 * 9 + 2 * 676 * 10
