"""The claims ledger: every mistake is named with its place, all of them at once."""

import copy

import pytest
import yaml

from respike.report import ledger

GOOD = {
    "source": {
        "id": "toy",
        "title": "A toy",
        "cite": "Nobody (2026)",
        "document": "toy.md",
        "protocols": {"as_documented": "As the text says."},
    },
    "claims": [
        {
            "id": "toy.accuracy",
            "says": "It works.",
            "where": "Table 1",
            "nature": "random",
            "protocol": "as_documented",
            "published": {"value": 0.9, "text": "90 %", "precision": 0.01},
            "unit": "fraction",
            "measure": {"kind": "value", "experiment": "train", "metric": "acc"},
            "accept": {"kind": "equivalence", "tol": 0.01, "why": "pilot"},
            "deviations": ["D1"],
            "unstated": ["U1"],
            "figures": ["toy_fig1"],
        },
        {
            "id": "toy.energy",
            "says": "It is cheap.",
            "where": "Outlook",
            "nature": "qualitative",
            "protocol": "as_documented",
            "verdict": {"status": "not_run", "reason": "No experiment."},
        },
    ],
    "deviations": [
        {"id": "D1", "what": "a", "source_says": "b", "why": "c", "risk": "low"},
    ],
    "unstated": [{"id": "U1", "what": "a", "chose": "b", "from": "c"}],
    "errata": [{"where": "a", "printed": "b", "should_be": "c", "shown_by": "d"}],
    "figures": [
        {
            **{"id": "toy_fig1", "title": "a", "caption": "b", "alt": "c", "where": "d"},
            **{"rule": "draw", "experiments": ["train"]},
        },
    ],
}


def write(tmp_path, content):
    path = tmp_path / "toy.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def broken(tmp_path, *changes):
    """Return the error text of the good ledger after (keys..., value) changes."""
    content = copy.deepcopy(GOOD)
    for *keys, last, value in changes:
        item = content
        for key in keys:
            item = item[key]
        item[last] = value
    with pytest.raises(ledger.LedgerError) as error:
        ledger.load(write(tmp_path, content))
    return str(error.value)


def test_a_good_ledger_loads(tmp_path):
    book = ledger.load(write(tmp_path, GOOD))
    assert [claim["id"] for claim in book.claims] == ["toy.accuracy", "toy.energy"]
    assert (
        ledger.load(
            write(
                tmp_path,
                {k: GOOD[k] for k in ("source", "claims")} | {"claims": GOOD["claims"][1:]},
            )
        ).figures
        == []
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("source", "tittle", "x"), "key source: unknown key tittle (did you mean title?)"),
        (
            ("claims", 0, "acept", {}),
            "claim toy.accuracy: unknown key acept (did you mean accept?)",
        ),
        (("claims", 0, "nature", "odd"), "claim toy.accuracy, key nature: found 'odd', allowed: "),
        (("claims", 0, "says", 3), "claim toy.accuracy, key says: found 3, expected string"),
        (("claims", 0, "id", "toy"), "claim toy, key id"),
        (("claims", 0, "id", "other.accuracy"), "must start with toy."),
        (("claims", 0, {}), "claim number 1: missing key id, says, where, nature, protocol"),
        (("claims", 0, "accept", {"kind": "equivalence", "why": "x"}), "missing key tol"),
        (("claims", 0, "accept", "bound", 1), "key accept: unknown key bound; allowed: kind, tol"),
        (("claims", 0, "accept", "tol", float("nan")), "expected a finite number"),
        (("claims", 0, "accept", "tol", 0), "claim toy.accuracy, key accept.tol"),
        (("claims", 0, "accept", "kind", "close"), "key accept.kind: found 'close', allowed: "),
        (("claims", 0, "accept", "min_runs", 1), "needs at least 2 runs"),
        (("claims", 0, "measure", "kind", "guess"), "key measure.kind: found 'guess', allowed: "),
        (("claims", 0, "measure", {"kind": "ratio", "a": {}}), "key measure: missing key b"),
        (("claims", 0, "published", "value", None), "equivalence needs published.value"),
        (("claims", 0, "published", "value", "90"), "key published.value: found '90', expected"),
        (("claims", 0, "accept", {"kind": "exact", "why": "x"}), "is for deterministic claims"),
        (("claims", 0, "protocol", "as_coded"), "unknown as_coded; known: as_documented"),
        (("claims", 0, "deviations", ["D9"]), "key deviations: unknown id D9"),
        (("claims", 0, "unstated", ["U9"]), "key unstated: unknown id U9"),
        (("claims", 0, "figures", ["toy_fig9"]), "key figures: unknown id toy_fig9"),
        (("claims", 1, "id", "toy.accuracy"), "claim toy.accuracy, key id: the id is given twice"),
        (("claims", 1, "verdict", "status", "reproduced"), "found 'reproduced', allowed: not_run"),
        (
            ("claims", 1, "accept", {}),
            "claim toy.energy: measure and accept are not allowed together",
        ),
        (("source", "answer", "word " * 91), "key source.answer: 91 words, allowed are 90: put"),
        (("source", "answer", "in 3 of 4"), "key source.answer"),
        (("figures", 0, "id", "fig1"), "figure fig1, key id: must start with toy_"),
        (("deviations", 0, "risk", "huge"), "deviation D1, key risk: found 'huge', allowed: low"),
    ],
)
def test_each_mistake_is_named(tmp_path, change, said):
    text = broken(tmp_path, change)
    assert said in text
    assert str(tmp_path / "toy.yaml:") in text


def test_a_claim_without_rule_and_without_verdict(tmp_path):
    content = copy.deepcopy(GOOD)
    del content["claims"][1]["verdict"]
    with pytest.raises(ledger.LedgerError, match="toy.energy: missing key measure, accept, unit"):
        ledger.load(write(tmp_path, content))


def test_exact_needs_the_printed_precision(tmp_path):
    change = ("claims", 0, "accept", {"kind": "exact", "why": "x"})
    published = ("claims", 0, "published", {"value": 1, "text": "1"})
    assert "exact needs published.precision" in broken(tmp_path, change, published)


def test_range_and_rivals(tmp_path):
    accept = {"kind": "range", "low": 2, "high": 1, "why": "x"}
    rule = {"kind": "margin", "experiment": "a", "rivals": ["a"], "metric": "m", "better": "higher"}
    text = broken(tmp_path, ("claims", 0, "accept", accept), ("claims", 0, "measure", rule))
    assert "accept.low: 2 is not below the high end 1" in text
    assert "a cannot be its own rival" in text


def test_all_errors_at_once(tmp_path):
    text = broken(
        tmp_path, ("claims", 0, "nature", "odd"), ("claims", 1, "says", 1), ("errata", 0, "x", 1)
    )
    assert len(text.splitlines()) == 3
    later = broken(tmp_path, ("claims", 0, "figures", ["toy_x"]), ("claims", 0, "protocol", "no"))
    assert len(later.splitlines()) == 2


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: [", "\x00", "3"])
def test_what_is_no_ledger(tmp_path, text):
    with pytest.raises(ledger.LedgerError, match="toy.yaml"):
        ledger.load(write(tmp_path, text))


def test_a_key_given_twice_is_named_with_its_line(tmp_path):
    with pytest.raises(ledger.LedgerError, match="toy.yaml:3: a.b: given twice"):
        ledger.load(write(tmp_path, "a:\n  b: 1\n  b: 2\n"))


def test_missing_file(tmp_path):
    with pytest.raises(ledger.LedgerError, match="no such file"):
        ledger.load(tmp_path / "none.yaml")


def test_experiments_of_a_claim():
    sides = {s: {"experiment": s, "metric": "m"} for s in ("a", "b")}
    assert ledger.experiments({"measure": {"kind": "ratio", **sides}}) == ["a", "b"]
    rule = {"experiment": "a", "rivals": ["r_*"]}
    assert ledger.experiments({"measure": rule}) == ["a", "r_*"]
    assert ledger.experiments({"verdict": {}}) == []
