"""Every experiment of config.yaml has the settings that its module reads; the schema lists them."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest
import yaml

from respike.runs import job
from respike.workflow import config, dag

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
# Any file that exists: the experiments with real N-MNIST recordings are there too.
REAL = {"nmnist_real": __file__}
SCALES = {
    scale: config.load(ROOT / "config.yaml", {"scale": scale, "data": REAL}) for scale in dag.SCALES
}
SOURCES = list(SCALES["default"]["sources"])


def modules(source):
    """Return rule -> module of experiments, as the rule file of a source says."""
    text = (ROOT / "workflow" / "rules" / f"{source}.smk").read_text()
    found = {}
    for part in re.split(r"^(?:use )?rule ", text, flags=re.M)[1:]:
        name = re.match(r"(?:\w+ as )?(\w+)", part)[1]
        if module := re.search(r'"(respike\.experiments\.\w+)"', part):
            found[name] = module[1]
    return found


def experiments():
    return [
        pytest.param(found, id=f"{scale}-{source}-{found.name}")
        for scale in SCALES
        for source in SOURCES
        for found in dag.experiments(SCALES[scale], source).values()
    ]


def settings_class(source, root):
    return importlib.import_module(modules(source)[f"{source}_{root}"]).Settings


@pytest.mark.parametrize("experiment", experiments())
def test_the_module_accepts_the_settings(experiment):
    source = experiment.source
    text = dag.settings_json(SCALES[experiment.scale], source, experiment.name)
    settings = job.read_settings(text, settings_class(source, experiment.root))
    assert dataclasses.asdict(settings).keys() == experiment.settings.keys()


@pytest.mark.parametrize("source", SOURCES)
def test_each_rule_runs_the_experiments_of_one_root(source):
    roots = {e.root for scale in SCALES for e in dag.experiments(SCALES[scale], source).values()}
    assert {f"{source}_{root}" for root in roots} == set(modules(source))


@pytest.mark.parametrize("source", SOURCES)
def test_the_schema_names_every_setting_with_a_description_and_no_other(source):
    listed = SCHEMA["$defs"][source]["properties"]
    roots = {name.removeprefix(f"{source}_") for name in modules(source)}
    read = {field.name for root in roots
            for field in dataclasses.fields(settings_class(source, root))}  # fmt: skip
    assert read == set(listed)
    for name, part in listed.items():
        assert len(part.get("description", "").split()) >= 2, f"{name}: no description"


def test_the_schema_refuses_what_it_does_not_name_everywhere():
    def objects(part, at="schema"):
        if isinstance(part, dict):
            if part.get("type") == "object" and "properties" in part:
                yield at, part
            for key, inner in part.items():
                yield from objects(inner, f"{at}.{key}")
        elif isinstance(part, list):
            for k, inner in enumerate(part):
                yield from objects(inner, f"{at}[{k}]")

    found = dict(objects(SCHEMA))
    assert len(found) > 5
    for at, part in found.items():
        assert part.get("additionalProperties") is False, at
