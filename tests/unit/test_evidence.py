"""The statistics of the report on constructed cases where the right answer is known."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from respike.report import evidence


def test_the_interval_of_a_mean_is_students():
    mean, half = evidence.t_interval([1.0, 2.0, 3.0])  # sd 1, t(2) = 4.3027
    assert mean == 2
    assert half == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)


def test_the_interval_of_a_mean_covers_the_truth_in_95_of_100_cases():
    rng = np.random.default_rng(0)
    intervals = [evidence.t_interval(rng.normal(0.9, 0.01, 3)) for _ in range(1000)]
    share = np.mean([abs(mean - 0.9) <= half for mean, half in intervals])
    assert share == pytest.approx(0.95, abs=0.015)


def test_wilson_by_hand_and_at_the_ends():
    z2, n, p = 1.959964**2, 100, 0.9
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * p * (1 - p) / n + z2**2 / (4 * n**2)) / (1 + z2 / n)
    assert evidence.wilson(90, 100) == pytest.approx((centre - half, centre + half), abs=1e-6)
    low, high = evidence.wilson(100, 100)  # a perfect score is no certainty
    assert 0.96 < low < 0.97 and high == 1
    assert evidence.wilson(0, 100)[0] == 0


def test_mcnemar_is_a_sign_test_of_the_images_that_one_gets_right():
    assert evidence.mcnemar(0, 0) == 1
    assert evidence.mcnemar(5, 5) == 1
    assert evidence.mcnemar(0, 10) == pytest.approx(2 / 1024)
    found = evidence.mcnemar([0, 10], [10, 0])
    assert found[0] == found[1]


def test_mcnemar_of_equal_networks_is_rarely_small():
    rng = np.random.default_rng(1)
    only_a = rng.binomial(80, 0.5, 4000)
    assert (evidence.mcnemar(only_a, 80 - only_a) < 0.05).mean() < 0.05


def test_holm_by_hand():
    assert evidence.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert evidence.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert len(evidence.holm([])) == 0


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(2)
    wrong = [(evidence.holm(rng.random(50)) < 0.05).any() for _ in range(2000)]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.015)


def test_welch():
    difference, half = evidence.welch([0.9, 0.92], [0.8, 0.8])
    assert difference == pytest.approx(0.11)
    assert half == pytest.approx(12.706 * 0.01, rel=1e-3)  # one degree of freedom
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 1, 4), rng.normal(1, 2, 7)
    found = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert evidence.welch(a, b)[1] == pytest.approx((found.high - found.low) / 2)
    assert evidence.welch([0.5, 0.5], [0.4, 0.4]) == pytest.approx((0.1, 0.0))


def test_rank_agreement():
    assert evidence.rank_agreement([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert evidence.rank_agreement([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert evidence.rank_agreement([1, 2, 3], [5, 5, 5]) == 0
    assert evidence.rank_agreement([1, 1, 2], [1, 1, 2]) == pytest.approx(1)  # ties in both


def test_win_probability():
    assert evidence.win_probability(3, [[1, 2], [0]]) == 1
    assert evidence.win_probability(1, [[2], [0]]) == 0
    assert evidence.win_probability(1, [[1]]) == 0.5
    assert evidence.win_probability(1, [[0, 2], [0, 2]]) == 0.25


@pytest.mark.parametrize("rivals", [1, 4])
def test_among_equals_the_winner_is_chance(rivals):
    rng = np.random.default_rng(3)
    found = [evidence.win_probability(rng.random(), rng.random((rivals, 3))) for _ in range(20000)]
    assert np.mean(found) == pytest.approx(1 / (rivals + 1), abs=0.01)


def test_top_overlap():
    assert evidence.top_overlap([5, 4, 3, 2], [0, 1]) == 1
    assert evidence.top_overlap([5, 4, 3, 2], [2, 3]) == 0
    assert evidence.top_overlap([5, 4, 4, 2], [0, 1]) == 0.75  # two share the second place
    assert evidence.top_overlap([1, 1, 1, 1], [0, 3]) == 0.5


def test_the_top_of_pure_noise_overlaps_by_chance():
    rng = np.random.default_rng(4)
    found = [evidence.top_overlap(rng.random(72), range(9)) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(9 / 72, abs=0.01)


def test_every_order_of_three_against_a_count_by_hand():
    for values in product([1, 2, 3], repeat=3):
        pairs = [(0, 1), (0, 2), (1, 2)]
        signs = [np.sign(values[j] - values[i]) for i, j in pairs]
        tied = sum(s == 0 for s in signs)
        expected = 0.0 if tied == 3 else sum(signs) / math.sqrt(3 * (3 - tied))
        assert evidence.rank_agreement([1, 2, 3], values) == pytest.approx(expected)
