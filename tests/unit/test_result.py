"""A result that the report would refuse is refused when it is made."""

import dataclasses

import numpy as np
import pytest
import yaml

from respike.runs.provenance import ROOT
from respike.runs.result import Network, Result


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


NETWORK = {
    "name": "784-3-10", "data_set": "mnist", "rule": "STDP", "n_neurons": 13, "n_parameters": 5,
    "n_state": 13, "num_steps": 4, "spikes": 2.5, "synaptic_operations": 8, "macs": 9,
    "n_train": 10, "presentations": 20, "train_s": 0.5,
}  # fmt: skip
ANSWERS = {"predictions": np.zeros(3, np.uint8), "labels": np.ones(3, np.uint8)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rule": ""}, "network rule: found nothing, needed is a name"),
        ({"data_set": " "}, "network data_set: found nothing"),
        ({"spikes": float("nan")}, "network spikes: found nan"),
        ({"macs": -1}, "network macs: found -1"),
    ],
)
def test_a_network_says_what_is_wrong_with_it(change, says):
    with pytest.raises(ValueError, match=says):
        Network(**NETWORK | change)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"predictions": np.zeros(3, np.uint8)},
        ANSWERS | {"labels": np.ones(2, np.uint8)},
        ANSWERS | {"predictions": np.zeros(3, np.int64)},
    ],
)
def test_a_network_comes_with_its_answers(arrays):
    with pytest.raises(ValueError, match="needs the arrays predictions and labels"):
        Result({}, arrays=arrays, network=Network(**NETWORK))
    Result({}, arrays=ANSWERS, network=Network(**NETWORK))


def test_the_schema_knows_every_field_of_a_network():
    schema = yaml.safe_load((ROOT / "workflow/schemas/metrics.schema.yaml").read_text())
    part = schema["properties"]["network"]
    names = {field.name for field in dataclasses.fields(Network)}
    assert set(part["required"]) == set(part["properties"]) == names
