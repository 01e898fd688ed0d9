"""Every experiment has the settings that its module reads, and each says what it is."""

import dataclasses
import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

from respike.runs import sources
from respike.workflow import config, dag, jobs, settings

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
# Any file that exists: the experiments with real N-MNIST recordings are there too.
REAL = {"nmnist_real": __file__}
SCALES = {
    scale: config.load(ROOT / "config.yaml", {"scale": scale, "data": REAL}) for scale in dag.SCALES
}
SOURCES = sources.found()


def experiments():
    return [
        pytest.param(found, id=f"{scale}-{source}-{found.name}")
        for scale in SCALES
        for source in SOURCES
        for found in dag.experiments(SCALES[scale], source).values()
    ]


def settings_class(source, root):
    return importlib.import_module(sources.module_of(source, root)).Settings


@pytest.mark.parametrize("experiment", experiments())
def test_the_module_accepts_the_settings(experiment):
    source = experiment.source
    text = dag.settings_json(SCALES[experiment.scale], source, experiment.name)
    read = settings.read(text, settings_class(source, experiment.root))
    assert dataclasses.asdict(read).keys() == experiment.settings.keys()


@pytest.mark.parametrize("source", SOURCES)
def test_the_configuration_is_checked_against_the_class_that_the_module_reads(source):
    for job in jobs.of(SCALES["paper"]):
        if job.source == source:
            module = sources.module_of(source, job.root).rpartition(".")[2]
            assert settings.class_of(source, module) is settings_class(source, job.root)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("source", SOURCES)
def test_each_rule_runs_the_experiments_of_one_root(source, scale):
    own = [job for job in jobs.of(SCALES[scale]) if job.source == source]
    found = dag.experiments(SCALES[scale], source).values()
    assert own and found
    for one in found:
        takes = [job.rule for job in own if re.fullmatch(job.pattern, one.name)]
        assert takes == [f"{source}_{one.root}"], one.name


def described(cls):
    """Return setting -> the comments on it, in a class and those that it is made from."""
    found = {}
    for base in cls.__mro__[:-1]:
        above = ""
        for line in inspect.getsource(base).splitlines():
            text = line.strip()
            if field := re.match(r"(\w+): [^#]*(.*)", text):
                found[field[1]] = f"{found.get(field[1], '')} {above} {field[2]}"
            above = text if text.startswith("#") else ""
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_every_setting_of_a_source_is_described(source):
    """At one place at least: what two experiments share need not be said twice."""
    roots = {job.root for job in jobs.of(SCALES["paper"]) if job.source == source}
    said = {}
    for cls in {settings_class(source, root) for root in roots}:
        comments = described(cls)
        for field in dataclasses.fields(cls):
            words = re.sub(r"\bU\d+\b|[#;]", "", comments[field.name]).split()
            said[field.name] = max(said.get(field.name, 0), len(words))
    assert said
    assert not [name for name, words in said.items() if words < 2]


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
    classes = {settings_class(job.source, job.root) for job in jobs.of(SCALES["paper"])}
    found |= {f"settings of {cls.__module__}": settings.schema(cls) for cls in classes}
    assert len(found) > 5 + len(SOURCES)
    for at, part in found.items():
        assert part.get("additionalProperties") is False, at
