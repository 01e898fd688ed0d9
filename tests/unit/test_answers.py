"""Questions about one claim: found by name, answered whole, every run checked."""

import json

import pytest
import test_report

from respike.commands import answers
from respike.runs import provenance, sources

tree = test_report.tree  # the fixture


@pytest.fixture
def verdicts(tree):
    return test_report.verdicts(tree)


def test_a_claim_is_found_by_its_id_or_its_unique_end(verdicts):
    assert answers.find(verdicts, "toy.good")[1]["id"] == "toy.good"
    assert answers.find(verdicts, "good")[1]["id"] == "toy.good"
    with pytest.raises(answers.AskError, match="did you mean toy.good"):
        answers.find(verdicts, "toy.god")
    other = json.loads(json.dumps(verdicts["sources"][0]).replace("toy.", "other."))
    both = {"sources": [*verdicts["sources"], other]}
    with pytest.raises(answers.AskError, match="did you mean toy.good, other.good"):
        answers.find(both, "good")


def test_without_verdicts_it_says_what_to_do(tmp_path):
    with pytest.raises(answers.AskError, match="make report SCALE=smoke"):
        answers.load("smoke", tmp_path)


def test_a_verdict_is_shown_with_its_numbers(verdicts):
    text = "\n".join(answers.verdict(*answers.find(verdicts, "toy.good")))
    assert text.startswith("toy.good: reproduced\n")
    assert "published  95 %" in text and "95.20 ± 0.20 % (n = 5)" in text
    assert "0: 95.00 %, 1: 95.10 %" in text and "epochs: source 2, ours 2" in text
    assert "at or above 90.00 % (at_least: pilot)" in text
    text = "\n".join(answers.verdict(*answers.find(verdicts, "toy.bad")))
    assert "D1         a" in text and "U1         a" in text


def test_a_claim_without_runs_has_an_answer_too(verdicts, tree):
    source, claim = answers.find(verdicts, "toy.later")
    assert "no number" in "\n".join(answers.verdict(source, claim))
    assert len(list(answers.why(source, claim, tree))) == 3


def test_why_leads_to_every_run_its_code_and_the_command(verdicts, tree):
    source, claim = answers.find(verdicts, "toy.good")
    lines = list(answers.why(source, claim, tree))
    text = "\n".join(lines)
    assert text.count(": current") == 5
    assert "commit 0000000000, tree not clean" in text
    assert 'settings   train: {"epochs": 2}' in text
    code = provenance.code_digest(test_report.MODULE)
    assert f"module     {test_report.MODULE}, code {code}\n" in text
    assert "data       train-images aaaaaaaaaaaa" in text
    assert lines[-1] == f"  remake     {claim['remake']}"


def test_why_goes_on_where_an_experiment_is_gone(verdicts, tree, monkeypatch):
    source, claim = answers.find(verdicts, "toy.good")

    def gone(source, root):
        raise sources.UnknownName(f"no source {source!r}")

    monkeypatch.setattr(sources, "module_of", gone)
    text = "\n".join(answers.why(source, claim, tree))
    assert text.count("metrics.json: no source 'toy'") == 5 and "commit 0000000000" in text
    assert "module  " not in text and "  remake " in text


def test_why_names_what_is_not_sound_any_more(verdicts, tree):
    folder = tree / "results/default/toy/train"
    file = folder / "seed=0" / "metrics.json"
    file.write_text(file.read_text().replace('"good": 0.95', '"good": 0.99'))
    (folder / "seed=1" / "arrays.npz").write_bytes(b"others")
    (folder / "seed=2" / "metrics.json").unlink()
    test_report.edit(tree, 3, code="0" * 16)
    text = "\n".join(answers.why(*answers.find(verdicts, "toy.good"), tree))
    for said in (
        "seed=0/metrics.json: the numbers were edited after the run",
        "seed=1/metrics.json: arrays.npz beside it was edited",
        "seed=2/metrics.json: cannot be read",
        "seed=3/metrics.json: code of toy train was 0000000000000000",
        "seed=4/metrics.json: current",
    ):
        assert said in text
