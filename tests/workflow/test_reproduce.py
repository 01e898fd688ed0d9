"""`respike reproduce`: a claim from nothing, in a folder of its own, beside what was there."""

import copy
import json

import pytest

from respike.commands import reproduce

CLAIM = "poisson_mlp.structure_survives"
RUN = "results/smoke/poisson_mlp/encode/seed=0"


@pytest.mark.smoke
def test_a_claim_comes_out_the_same_from_nothing(smoke_tree, tmp_path):
    into = tmp_path / "scratch"
    said = smoke_tree.run("respike", "reproduce", CLAIM, "--scale", "smoke", "--into", into)
    assert f"{RUN}/metrics.json: the same numbers, bit for bit" in said.stdout
    assert "before" in said.stdout and "now" in said.stdout
    fresh = json.loads((into / RUN / "metrics.json").read_text())
    there = json.loads((smoke_tree / RUN / "metrics.json").read_text())
    assert fresh["started"] > there["started"]
    assert not (into / "results/smoke/poisson_mlp/train").exists()  # only what the claim needs


@pytest.mark.smoke
def test_a_folder_with_other_things_is_left_alone(smoke_tree, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    command = ("respike", "reproduce", CLAIM, "--scale", "smoke", "--into", tmp_path)
    said = smoke_tree.run(*command, status=2).stderr
    assert "Respike has not made it" in said and (tmp_path / "thesis.tex").exists()
    said = smoke_tree.run("respike", "reproduce", "poisson_mlp.acuracy", status=2).stderr
    assert "did you mean poisson_mlp.accuracy" in said


@pytest.fixture
def run():
    """Return a run as `reproduce` sees it."""
    return {
        "metrics": {"accuracy": 0.5, "train_cpu_s_per_epoch": 1.0},
        "series": {"loss": [2.0, 1.0]},
        "device": "cpu", "machine": "a", "threads": 1, "versions": {"torch": "2.15.0"},
    }  # fmt: skip


def test_a_number_that_differs_is_named_and_a_time_is_not(run):
    now = copy.deepcopy(run)
    now["metrics"]["train_cpu_s_per_epoch"] = 2.0
    assert reproduce.differences(run, now) == []
    now["metrics"]["accuracy"] = 0.75
    now["series"]["loss"] = [2.0, 1.5]
    assert reproduce.differences(run, now) == ["accuracy was 0.5, is 0.75", "loss"]


def test_what_may_change_the_last_digits_is_named(run):
    now = copy.deepcopy(run) | {"machine": "b", "threads": 2}
    assert list(reproduce.other_machine(run, now)) == ["processor", "thread count"]
    assert not list(reproduce.other_machine(run, run))
    now = run | {"versions": {"torch": "2.11.0"}, "surroundings": {"MKL_CBWR": "AVX2"}}
    assert list(reproduce.other_machine(run, now)) == [
        "version of a package", "setting of the processor's features",
    ]  # fmt: skip
