"""A result that the report would refuse is refused when it is made."""

import numpy as np
import pytest

from respike.runs.result import Result


def test_numbers_and_curves_of_any_kind_are_taken():
    Result(metrics={"a": 1, "b": np.float32(0.5), "c": float("nan"), "d": np.array(2.0), "e": True})
    Result(metrics={}, series={"a": [1, 2.5], "b": np.arange(3), "c": [], "d": [float("nan")]})


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("metrics", [1.0]),
        ("metrics", "0.5"),
        ("metrics", None),
        ("series", 0.25),
        ("series", [[1, 2], [3, 4]]),
        ("series", ["a"]),
    ],
)
def test_another_shape_is_refused_by_name(part, value):
    with pytest.raises(ValueError, match=rf"^{part}\.x: found "):
        Result(**{"metrics": {}, part: {"x": value}})


def test_the_time_of_an_epoch_on_a_gpu_is_no_curve():
    gpu = pytest.importorskip("respike.sources.nmnist_grid.gpu", reason="needs triton")
    curves = gpu.Curves({"loss": [1.0]})
    curves.train_s_per_epoch = 0.5
    assert curves["train_s_per_epoch"] == 0.5 and dict(curves) == {"loss": [1.0]}
    Result(metrics={"train_s_per_epoch": curves["train_s_per_epoch"]}, series=curves)
    with pytest.raises(KeyError):
        curves["other"]
