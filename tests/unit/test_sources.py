"""Documents are found by their folders, and what runs their experiments by their configuration."""

import os
from pathlib import Path

import pytest

from respike.runs import sources, strict_yaml
from respike.runs.provenance import ROOT
from respike.runs.sources import UnknownName

CONFIG = """\
train:
  job: {title: training}
long:
  extends: train
table:
  job: {module: search}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of made-up sources, and put it in the place of ours."""
    folder = tmp_path / "src" / "respike" / "sources"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sources, "FOLDER", folder)
    monkeypatch.setattr(sources, "SRC", tmp_path / "src")
    return folder


def put(folder: Path, name: str, **contents: str):
    (folder / name).mkdir()
    for file, text in contents.items():
        (folder / name / file.replace("__", ".")).write_text(text)


def test_a_folder_with_a_ledger_is_a_source_and_no_other_is(folder):
    put(folder, "b_source", claims__yaml="")
    put(folder, "a_source", claims__yaml="")
    put(folder, "shared", settings__py="")
    put(folder, "__pycache__")
    (folder / "claims.yaml").write_text("")
    assert sources.found() == ["a_source", "b_source"]
    put(folder, "c_source", claims__yaml="")
    assert sources.found() == ["a_source", "b_source", "c_source"]


def test_files_are_named_from_the_checkout(folder):
    put(folder, "a_source", claims__yaml="", rules__smk="")
    put(folder, "b_source", claims__yaml="", references__bib="")
    assert sources.file_of("a_source", sources.LEDGER) == Path(
        "src/respike/sources/a_source/claims.yaml"
    )
    assert sources.file_of("a_source", "none") == Path("src/respike/sources/a_source/none")
    assert sources.with_file(sources.RULES) == ["a_source"]
    assert sources.with_file(sources.BIBLIOGRAPHY) == ["b_source"]


def test_rules_of_a_source_that_is_left_out_are_not_read(folder):
    put(folder, "a_source", claims__yaml="", rules__smk="")
    assert sources.rule_files({"sources": {"a_source": {}}}) == [
        str(folder / "a_source" / "rules.smk")
    ]
    assert sources.rule_files({"sources": {}}) == []


def test_entries_and_their_lines(folder):
    put(folder, "a_source", claims__yaml="", config__yaml=CONFIG)
    entries, lines = sources.entries("a_source")
    assert list(entries) == ["train", "long", "table"]
    assert lines[("long", "extends")] == 4 and lines[("table",)] == 5
    file = folder / "a_source" / "config.yaml"
    before = file.stat()
    file.write_text(CONFIG.replace("long", "wide"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert list(sources.entries("a_source")[0]) == ["train", "wide", "table"]


def test_a_source_that_is_not_there_is_named_with_all_that_are(folder):
    put(folder, "a_source", claims__yaml="")
    put(folder, "b_source", claims__yaml="")
    for name in ("c_source", "a_source"):  # of the second the configuration is missing
        with pytest.raises(UnknownName, match=f"no source '{name}'; there are a_source, b_source"):
            sources.entries(name)


def test_a_key_given_twice_is_refused(folder):
    put(folder, "a_source", claims__yaml="", config__yaml="train:\n  a: 1\n  a: 2\n")
    with pytest.raises(strict_yaml.YamlError, match=r"config\.yaml:3: train\.a: given twice"):
        sources.entries("a_source")


def test_what_runs_an_experiment_follows_from_its_root_entry(folder):
    put(folder, "a_source", claims__yaml="", config__yaml=CONFIG)
    assert sources.module_of("a_source", "train") == "respike.sources.a_source.train"
    assert sources.module_of("a_source", "table") == "respike.sources.a_source.search"
    for root in ("long", "none"):
        with pytest.raises(UnknownName, match=rf"a_source/config\.yaml has no experiment {root}"):
            sources.module_of("a_source", root)


def test_every_source_of_the_project_is_whole():
    for source in sources.found():
        modules = {
            sources.module_of(source, entry)
            for entry, body in sources.entries(source)[0].items()
            if "extends" not in body
        }
        assert modules
        for module in (*modules, f"respike.sources.{source}.settings"):
            assert (ROOT / "src" / (module.replace(".", "/") + ".py")).is_file(), module
