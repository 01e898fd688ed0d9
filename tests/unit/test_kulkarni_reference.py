"""The steps of the network against hand-worked values, and its clear errors."""

import math

import numpy as np
import pytest
import torch
from test_kulkarni_neuron import CODED, CORRECTED, PRINTED, C

from respike.sources.kulkarni_forward import reference as model
from respike.sources.kulkarni_forward.neuron import VARIANTS, pixel_trains

IMAGE = np.zeros((28, 28), np.uint8)
IMAGE[10:18, 12:16] = 255
IMAGE[4, 5] = 90


def test_convolution_is_that_of_neural_networks():
    rng = np.random.default_rng(0)
    maps, filters = rng.random((3, 28, 28)), rng.normal(size=(12, 3, 3))
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(maps)[:, None], torch.from_numpy(filters)[:, None]
    )
    assert model.convolve(maps, filters) == pytest.approx(theirs.numpy())
    assert model.convolve(maps, filters)[0].size == 8112


def test_hidden_currents_are_the_convolved_spikes_of_each_step():
    filters = np.zeros((1, 3, 3))
    filters[0, 0, 2] = 2.0  # up and to the right
    trains = pixel_trains(C, CORRECTED)
    cur = model.hidden_currents(IMAGE, filters, 100.0, trains)
    assert cur.shape == (1000, 676)
    # The neuron at (10, 12) looks at pixel (10, 14), which fires at steps 9, 49, ...
    assert list(np.flatnonzero(cur[:, 10 * 26 + 12])) == list(range(9, 1000, 40))
    assert cur[9, 10 * 26 + 12] == 200.0


def test_two_states_are_the_double_exponential():
    spk = np.zeros((1000, 2), bool)
    spk[[3, 50, 51], 0] = True
    trace = model.synaptic_trace(spk, C)
    kernel = model.double_exponential(C)
    assert trace == pytest.approx(model.kernel_trace(spk, kernel), abs=1e-12)
    # By hand: 2 ms after a spike e^{-0.4} - e^{-1.6}.
    assert trace[23, 0] == pytest.approx(math.exp(-0.4) - math.exp(-1.6))
    assert trace[3, 0] == 0 and not trace[:, 1].any()


def test_the_factors_of_the_authors_code():
    assert math.exp(-C.dt_ms / C.tau1_ms) == pytest.approx(0.9802, abs=5e-5)
    assert math.exp(-C.dt_ms / C.tau2_ms) == pytest.approx(0.9231, abs=5e-5)
    assert model.modified_decay(C) == pytest.approx(0.9802, abs=5e-5)


def test_the_printed_kernel_grows_without_bound():
    kernel = model.printed_kernel(C)
    assert kernel[0] == 0 and (np.diff(kernel) < 0).all()
    assert kernel[-1] == pytest.approx(-math.exp(99.9 / 1.25), rel=1e-6)


def test_the_printed_recursion_has_one_factor():
    spk = np.zeros((1000, 1), bool)
    spk[0] = True
    assert model.printed_recursion(spk, C)[10, 0] == pytest.approx(math.exp(10 * (0.08 - 0.02)))
    assert model.printed_recursion(spk, C, -1)[10, 0] == pytest.approx(math.exp(-10 * 0.1))


def test_the_output_current_is_weights_times_traces():
    spk = np.zeros((1000, 3), bool)
    spk[0, 0] = spk[0, 2] = True
    weights = np.arange(30.0).reshape(10, 3)
    cur = model.output_currents(spk, weights, 7.0, C, CORRECTED)
    c = math.exp(-0.2) - math.exp(-0.8)
    assert cur[10] == pytest.approx(7 * c * (weights[:, 0] + weights[:, 2]))
    grown = model.output_currents(spk, weights, 1.0, C, PRINTED)
    assert np.abs(grown[-1, 1]) > 1e34


def test_the_class_is_the_most_active_neuron():
    assert model.decide(np.array([[0, 3, 9, 9, 0, 0, 0, 0, 0, 1]])) == [2]


def test_the_modified_current_decays_by_one_factor_a_step():
    cur = model.modified_currents(np.array([0.5, -1.0]), 10.0, 0.966, 4)
    assert cur[:, 0] == pytest.approx([5, 5 * 0.966, 5 * 0.966**2, 5 * 0.966**3])
    assert cur[2, 1] == pytest.approx(-10 * 0.966**2)


def test_features_are_of_pixels_in_0_1():
    filters = np.zeros((2, 3, 3))
    filters[1, 1, 1] = 3.0
    features = model.feature_map(IMAGE, filters).reshape(2, 26, 26)
    assert features[1, 9, 11] == pytest.approx(3.0) and not features[0].any()
    assert features[1, 3, 4] == pytest.approx(3 * 90 / 255)


def test_amperes_make_all_outputs_fire_together():
    rng = np.random.default_rng(0)
    filters, weights = rng.normal(size=(2, 3, 3)), np.abs(rng.normal(size=(10, 1352)))
    hidden, out = model.forward(IMAGE, filters, weights, C, CODED, 1e12, 1e12)
    assert hidden.sum() > 100
    counts = out.sum(axis=0)
    assert len(set(counts)) == 1 and counts[0] > 25
    assert model.decide(counts) == 0


def test_the_same_network_in_pA_tells_outputs_apart():
    rng = np.random.default_rng(0)
    filters, weights = rng.normal(size=(2, 3, 3)), np.abs(rng.normal(size=(10, 1352)))
    _, out = model.forward(IMAGE, filters, weights, C, CORRECTED, 1e6, 300.0)
    assert len(set(out.sum(axis=0))) > 1


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((2, 27, 28), np.uint8), r"found shape \(2, 27, 28\), allowed: \(n, 28, 28\)"),
        (np.zeros((28, 28), np.uint8), r"found shape \(28, 28\)"),
        (np.full((1, 28, 28), 256), "found pixels from 256 to 256, allowed: 0 to 255"),
        (np.full((1, 28, 28), -1), "found pixels from -1 to -1"),
        (np.full((1, 28, 28), 0.5), "not whole numbers"),
        (np.full((1, 28, 28), np.nan), "found pixels from nan"),
    ],
)
def test_wrong_images_are_one_clear_error(images, said):
    with pytest.raises(ValueError, match=said):
        model.check_images(images)


def test_whole_numbers_of_another_type_are_taken():
    assert model.check_images(IMAGE[None].astype(float)).dtype == np.uint8
    assert (model.check_images(IMAGE[None].astype(int)) == IMAGE).all()


def test_every_variant_has_its_name():
    assert all(name == variant.name for name, variant in VARIANTS.items())
