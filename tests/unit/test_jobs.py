"""What the rules ask of experiments and figures, of a made-up source."""

import json
import re
from types import SimpleNamespace

import pytest
import yaml

from respike.runs import sources
from respike.workflow import dag, jobs

SEEDS = {"smoke": [0], "default": [0, 1], "paper": [0]}
# Its code is that of poisson_mlp, so that there are digests.
ENTRIES = {
    "encode": {"job": {"title": "training", "gpu": True, "priority": 9, "runtime": "6h"}},
    "overflow": {"job": {"memory_mb": {"default": 4000, "paper": 9000}, "data": []}},
    "forward": {
        "job": {"data": ["mnist", "nmnist", "nmnist_real"], "memory_mb": 5000},
        "only": ["paper"],
    },
    "short": {"extends": "encode", "settings": {"epochs": 1}, "protocol": "as_coded"},
    "sweep": {"extends": "short", "vary": {"beta": {"default": [0.5, 1]}}},
    "search": {
        "job": {"module": "train"},
        "cells": {"default": ["a=1 b=1", "a=2 b=1"]},
        "cells_per_job": 1,
    },
    "table": {
        "job": {"module": "ann", "data": ["searches"]},
        "settings": {"search": "search"},
    },
}
CLAIMS = {
    "claims": [
        {"id": "poisson_mlp.a", "published": {"value": 0.5, "text": "half"}},
        {"id": "poisson_mlp.b", "published": {"low": 1, "high": 2}},
        {"id": "poisson_mlp.c"},
    ],
    "figures": [
        {"id": "poisson_mlp_curves", "experiments": ["encode", "sweep_*"]},
        {"id": "poisson_mlp_forward", "experiments": ["forward"]},
    ],
}


@pytest.fixture(autouse=True)
def one_source(tmp_path, monkeypatch):
    """Let the only source be poisson_mlp, in a folder of its own with the entries above."""
    monkeypatch.setattr(sources, "FOLDER", tmp_path / "src" / "respike" / "sources")
    monkeypatch.setattr(sources, "SRC", tmp_path / "src")
    folder = sources.FOLDER / "poisson_mlp"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(ENTRIES))
    (folder / "claims.yaml").write_text(yaml.safe_dump(CLAIMS))
    jobs._ledger.cache_clear()
    yield
    jobs._ledger.cache_clear()


def at(scale="default", **more):
    config = {"scale": scale, "device": "cpu", "seeds": SEEDS, "sources": {"poisson_mlp": ENTRIES}}
    return {**config, "data": {"folder": "data", "nmnist": "emulated"}, **more}


def found(config):
    return {job.root: job for job in jobs.of(config)}


def asked(**wildcards):
    return SimpleNamespace(**wildcards)


def test_every_entry_that_extends_no_other_has_a_rule_of_its_name():
    assert [job.rule for job in jobs.of(at())] == [
        f"poisson_mlp_{root}"
        for root in ("encode", "overflow", "forward", "search", "table")
    ]  # fmt: skip
    wanted = {run["rule"] for run in dag.wanted(at()).values()}
    assert wanted == {job.rule for job in jobs.of(at())} - {"poisson_mlp_forward"}


def test_a_pattern_sends_each_experiment_to_the_rule_of_its_root():
    config = at()
    for name, one in dag.experiments(config, "poisson_mlp").items():
        own = [root for root, job in found(config).items() if re.fullmatch(job.pattern, name)]
        assert own == [one.root]


def test_the_dot_of_a_value_is_no_wildcard_and_no_experiment_matches_no_name():
    names = re.compile(found(at())["encode"].pattern)
    assert names.fullmatch(dag.variant_name("sweep", 0.5)) and not names.fullmatch("sweep_015")
    assert not re.compile(found(at())["forward"].pattern).fullmatch("")


def test_a_job_reads_the_data_sets_that_its_entry_names():
    inputs = {root: job.inputs for root, job in found(at("paper")).items()}
    assert inputs["encode"] == ["data/mnist/manifest.json"]  # where none is named
    assert inputs["overflow"] == []
    two = ["data/mnist/manifest.json", "data/nmnist_paper/manifest.json"]
    assert inputs["forward"] == two  # this machine has no real recordings
    data = {"folder": "data", "nmnist": "emulated", "nmnist_real": "archive.zip"}
    given = found(at("paper", data=data))["forward"].inputs
    assert given == [*two, "data/nmnist_real/manifest.json"]


def test_a_table_reads_the_searches_behind_it():
    inputs = found(at())["table"].inputs(asked(experiment="table", seed="1"))
    parts = [f"search_a_{n}_part_1" for n in (1, 2)]
    assert inputs == [f"results/default/poisson_mlp/{p}/seed=1/metrics.json" for p in parts]


def test_resources_are_the_entrys_or_the_usual_ones():
    at_paper = found(at("paper"))
    assert at_paper["encode"].memory_mb == jobs.MEMORY_MB and at_paper["encode"].runtime == "6h"
    assert at_paper["forward"].memory_mb == 5000 and at_paper["forward"].runtime == jobs.RUNTIME
    by_scale = [found(at(scale))["overflow"].memory_mb for scale in dag.SCALES]
    assert by_scale == [4000, 4000, 9000]
    assert (at_paper["encode"].priority, at_paper["forward"].priority) == (9, 0)
    assert (at_paper["encode"].title, at_paper["forward"].title) == ("training", "forward")


def test_only_a_job_that_can_use_a_gpu_asks_for_one():
    roots = ("encode", "overflow")
    for device, expected in {"cpu": (0, 0), "cuda": (1, 0)}.items():
        config = found(at(device=device))
        assert tuple(config[root].gpus for root in roots) == expected
        assert [config[root].params["device"] for root in roots] == [device, "cpu"]


def test_params_are_what_a_result_depends_on(monkeypatch):
    monkeypatch.setattr(jobs, "code_digest", lambda module, device: f"code {module} {device}")
    monkeypatch.setattr(jobs, "pins_digest", lambda module, device: f"pins {module} {device}")
    job = found(at(device="cuda"))["encode"]
    params = job.params
    assert (params["root"], params["scale"], params["device"]) == ("encode", "default", "cuda")
    assert params["code"] == "code respike.sources.poisson_mlp.encode cuda"
    assert params["pins"] == "pins respike.sources.poisson_mlp.encode cuda"
    sweep = asked(experiment=dag.variant_name("sweep", 0.5))
    assert json.loads(params["settings"](sweep)) == {"epochs": 1, "beta": 0.5}
    assert params["protocol"](sweep) == "as_coded"
    assert params["protocol"](asked(experiment="encode")) == "as_documented"
    other = found(at(device="cuda"))["search"].params
    assert other["code"] == "code respike.sources.poisson_mlp.train cpu"  # by its `module`


def test_a_figure_is_drawn_from_the_runs_of_its_experiments():
    folder = "results/default/poisson_mlp"
    runs = [
        f"{folder}/{name}/seed={seed}"
        for name in ("encode", *(dag.variant_name("sweep", value) for value in (0.5, 1)))
        for seed in (0, 1)
    ]
    wanted = [f"{run}/{file}" for file in ("metrics.json", "arrays.npz") for run in runs]
    # That of `forward` has no run at this scale.
    assert jobs.figures(at(), "poisson_mlp") == {"poisson_mlp_curves": wanted}
    inputs = jobs.figure_inputs(at(), "poisson_mlp")
    assert inputs(asked(figure="poisson_mlp_curves")) == wanted
    assert list(jobs.figures(at("paper"), "poisson_mlp")) == [
        "poisson_mlp_curves", "poisson_mlp_forward"
    ]  # fmt: skip


def test_figures_mark_what_was_published(monkeypatch):
    for name in ("code_digest", "pins_digest"):
        monkeypatch.setattr(jobs, name, lambda module, name=name: f"{name} of {module}")
    module, params = "respike.sources.poisson_mlp.figures", jobs.figure_params("poisson_mlp")
    assert json.loads(params.pop("published")) == {
        "poisson_mlp.a": {"value": 0.5}, "poisson_mlp.b": {"low": 1, "high": 2}
    }  # fmt: skip
    assert params == {
        "module": module, "code": f"code_digest of {module}", "pins": f"pins_digest of {module}"
    }  # fmt: skip
    assert str(jobs.ledger_of("poisson_mlp")) == "src/respike/sources/poisson_mlp/claims.yaml"
