"""When a level is first reached, and how far a curve falls."""

import math

import pytest

from respike.spiking.learning_curve import epochs_to, largest_drop


def test_between_two_points_the_epoch_is_linear():
    found = epochs_to([1, 2, 3], [0.8, 0.96, 0.98])
    assert found["epochs_to_90"] == pytest.approx(1 + 0.1 / 0.16)
    assert found["epochs_to_95"] == pytest.approx(1 + 0.15 / 0.16)
    assert found["epochs_to_97"] == pytest.approx(2.5)


def test_a_curve_starts_with_chance_at_epoch_0():
    assert epochs_to([0.5], [0.98], levels=[0.9])["epochs_to_90"] == pytest.approx(0.5 * 0.8 / 0.88)


def test_the_first_time_counts_and_a_point_on_the_level_counts():
    found = epochs_to([1, 2, 3, 4], [0.9, 0.5, 0.95, 0.6])
    assert found["epochs_to_90"] == pytest.approx(1)
    assert found["epochs_to_95"] == pytest.approx(3)


def test_a_level_that_is_not_reached_is_nan():
    assert all(math.isnan(value) for value in epochs_to([1, 2], [0.3, 0.4]).values())
    assert math.isnan(epochs_to([], [])["epochs_to_90"])


def test_curves_of_two_lengths_are_refused():
    with pytest.raises(ValueError):
        epochs_to([1, 2], [0.3])


@pytest.mark.parametrize(
    ("curve", "drop"),
    [
        ([], 0),
        ([0.5], 0),
        ([0.1, 0.2, 0.3], 0),
        ([0.1, 0.9, 0.4, 0.8, 0.6], 0.5),
        ([0.9, 0.2], 0.7),
    ],
)
def test_largest_drop(curve, drop):
    assert largest_drop(curve) == pytest.approx(drop)
