"""Measures of similarity and of growth on cases whose answer is known."""

import dataclasses

import numpy as np
import pytest
from test_kulkarni_neuron import CODED, CORRECTED, PRINTED_C, C

from respike.sources.kulkarni_forward import comparison as compare
from respike.sources.kulkarni_forward import encode, full_pass

RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 30, (4, 200)) * (RNG.random((4, 200)) < 0.3)


def test_equal_counts_agree_in_everything():
    found = compare.agreement(COUNTS, COUNTS)
    assert found.pop("wasserstein") == 0
    assert list(found.values()) == pytest.approx([1] * len(found))


def test_halved_counts_keep_their_ranks_only():
    found = compare.agreement(2 * COUNTS, COUNTS)
    assert found["mean_ratio"] == 0.5
    assert found["rank_correlation"] == pytest.approx(1)
    assert found["same_neurons"] == 1
    assert found["overlap_active"] < 0.7 < found["overlap"]
    assert found["wasserstein"] == pytest.approx(COUNTS.mean())


def test_shuffled_counts_have_the_distribution_only():
    shuffled = RNG.permuted(COUNTS, axis=1)
    found = compare.agreement(COUNTS, shuffled)
    assert (found["mean_ratio"], found["overlap"]) == pytest.approx((1, 1))
    assert found["wasserstein"] == pytest.approx(0)
    assert found["rank_correlation"] < 0.1 and found["same_neurons"] < 0.4


def test_silence_is_not_similarity():
    silent = np.zeros_like(COUNTS)
    assert np.isnan(compare.agreement(silent, silent)["rank_correlation"])
    assert compare.agreement(COUNTS, silent)["overlap"] > 0.6
    assert compare.agreement(COUNTS, silent)["overlap_active"] == 0


def test_overlap_and_distance_by_hand():
    a, b = np.array([0, 0, 1, 5]), np.array([0, 1, 1, 3])
    assert compare.histogram_overlap(a, b) == pytest.approx(0.5)
    assert compare.wasserstein(a, b) == pytest.approx((1 + 2) / 4)


def test_map_correlation_is_one_for_the_rectified_features():
    from respike.sources.kulkarni_forward import reference

    filters = RNG.normal(size=(3, 3, 3))
    images = RNG.integers(0, 256, (2, 28, 28)).astype(np.uint8)
    features = np.array([np.maximum(reference.feature_map(i, filters), 0) for i in images])
    assert full_pass.map_correlation(7 * features, images, filters) == pytest.approx(1)
    assert full_pass.map_correlation(-features, images, filters) == pytest.approx(-1)


def test_the_rate_in_continuous_time():
    # At 285.06 nA / 30 nS = 950.2 mV: 3 + 10 ln(950.2 / 860.2) = 3.9951 ms.
    rate = encode.rate_Hz(np.array([2000.0, 2700.0, 28506.0]), C)
    assert rate == pytest.approx([0, 0, 1000 / 3.99515], rel=1e-4)


def test_the_growth_exponent_is_that_of_a_power_law():
    x = np.linspace(1, 9, 50)
    assert encode.growth_exponent(x, 3 * x**0.7) == pytest.approx(0.7)
    assert np.isnan(encode.growth_exponent(x, np.full(50, 4.0)))


def test_near_the_rheobase_the_rate_grows_faster_than_the_current():
    assert encode.steepest_exponent(C) > 1
    slow = dataclasses.replace(C, i0_pA=15_000)  # far above it, it does not
    assert encode.steepest_exponent(slow) < 1


@pytest.mark.parametrize(("variant", "spread"), [(CORRECTED, 0), (CODED, 1)])
def test_interval_spread(variant, spread):
    from respike.sources.kulkarni_forward.neuron import pixel_trains

    assert encode.interval_spread(pixel_trains(C, variant)) == spread


def test_a_deviation_leaks_or_grows_by_the_sign():
    left, deviation = encode.deviation_left(C, -1)
    assert left == pytest.approx(0.99**100)
    assert deviation[0] == pytest.approx(1)
    assert encode.deviation_left(PRINTED_C, 1)[0] == pytest.approx(1.01**100)


def test_ranks_are_those_of_scipy():
    from scipy import stats

    x, y = RNG.integers(0, 9, 50), RNG.normal(size=50)
    assert compare.ranks(x) == pytest.approx(stats.rankdata(x))
    assert compare.rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_rank_correlation_of_what_does_not_vary_is_none():
    assert compare.rank_correlation(np.arange(4), np.full(4, 33)) == 0
    assert compare.rank_correlation(np.arange(4), np.array([0, 1, 5, 9])) == pytest.approx(1)


def test_the_plain_passes_are_timed_and_counted():
    settings = full_pass.Settings(
        **dataclasses.asdict(dataclasses.replace(C, num_steps=60)), variant="corrected",
        n_filters=2, filters="random", n_train_filters=1, n_test=1, n_modified=1,
        n_compare=0, n_plain=1,
        gain_pA=1e6, modified_gain_pA=5e5, gain_out_pA=100.0, decay_coded=0.966,
    )  # fmt: skip
    image = np.full((1, 28, 28), 255, np.uint8)
    filters, weights = np.full((2, 3, 3), 0.1), np.full((1352, 10), 1.0)
    hidden, output, seconds = compare.plain_passes(
        settings, filters, weights, image, full_pass.decays(settings)
    )
    assert hidden["original"].shape == (1, 1352) and (hidden["original"] == 2).all()
    assert output["original"].shape == (1, 10) and output["original"].min() > 0
    assert seconds.keys() == {"original", "printed_decay", "coded_decay"}
    assert min(seconds.values()) > 0
    assert compare.first_layer_ratio(image[0], filters, 20) > 1
