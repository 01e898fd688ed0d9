import re
import subprocess
import textwrap

import pytest

from respike.runs import provenance
from respike.runs.provenance import ProvenanceError, pins_digest

LOCK = "numpy==2.0.0 \\\n    --hash=sha256:aa\nscikit-learn==1.5 ; sys_platform == 'linux' \\\n"


def tree(folder, **modules):
    """Write modules of a package `respike` and return the folder above it."""
    for name, text in {"__init__": "", **modules}.items():
        file = folder / "respike" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return folder


BASE = {
    "neuron": "def step(mem, beta):\n    return beta * mem\n",
    "train": "import numpy as np\nfrom respike.neuron import step\nX = step(np.ones(3), 0.5)\n",
}


def test_pins_are_those_of_the_packages_that_are_imported(tmp_path):
    src = tree(tmp_path, **BASE, learn="import json\nfrom sklearn.svm import SVC\n")
    lock = tmp_path / "requirements.lock"

    def pins(module, text):
        lock.write_text(text)
        return pins_digest(module, src, lock)

    assert provenance.third_party("respike.learn", src) == ["scikit-learn"]
    before = pins("respike.train", LOCK)
    assert pins("respike.train", LOCK.replace("sha256:aa", "sha256:bb")) == before
    assert pins("respike.train", LOCK.replace("==1.5", "==1.6")) == before
    assert pins("respike.train", LOCK.replace("==2.0.0", "==2.0.1")) != before
    assert pins("respike.learn", LOCK) != pins("respike.learn", LOCK.replace("==1.5", "==1.6"))
    with pytest.raises(ProvenanceError, match="imports numpy: not in requirements.lock"):
        pins("respike.train", "scipy==1.0\n")
    lock.unlink()
    with pytest.raises(ProvenanceError, match="cannot read the locked versions"):
        pins_digest("respike.train", src, lock)


def result(**changes):
    found = unsealed(**changes)
    return found | {"seal": provenance.seal(found)}


def unsealed(**changes):
    module = "respike.spiking.encoding"
    fields = {
        **provenance.record(module),
        **{"source": "s", "experiment": "e", "protocol": "as_documented", "scale": "smoke"},
        **{"seed": 0, "settings": {}, "data_sha256": {}, "data_kind": "official"},
        **{"device": "cpu", "threads": 1, "started": "2026-01-01T00:00:00Z", "wall_s": 1.5},
        **{"metrics": {"a": 1, "b": None}, "series": {"c": [0.5, None]}},
        "arrays_sha256": "0" * 64,
    }
    return {**fields, **changes}


def test_a_fresh_record_is_current():
    assert provenance.problems(result()) == []
    assert re.fullmatch("[0-9a-f]{16}", result()["code"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code": "0" * 16}, "code of respike.spiking.encoding was 0000000000000000, is now"),
        ({"pins": "0" * 16}, "pinned packages of respike.spiking.encoding were"),
        ({"module": "respike.gone"}, "no module respike.gone"),
        ({"schema": 2}, "schema: 1 was expected"),
        ({"metrics": {"a": "high"}}, "metrics.a: 'high' is not of type"),
        ({"extra": 1}, "'extra' was unexpected"),
        ({"started": "yesterday"}, "started: "),
    ],
)
def test_a_result_that_is_not_current_says_why(changes, says):
    assert any(says in line for line in provenance.problems(result(**changes)))


def test_a_result_without_a_field_is_refused():
    lacking = result()
    del lacking["code"]
    assert provenance.problems(lacking) == ["content: 'code' is a required property"]


def test_an_edit_breaks_the_seal():
    edited = result()
    edited["metrics"]["a"] = 2
    (said,) = provenance.problems(edited)
    assert "edited after the run" in said


def test_dirty_is_about_sources_not_reports(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "reports").mkdir()
    (tmp_path / "file").write_text("1")
    (tmp_path / "reports" / "page").write_text("1")
    git("init")
    assert provenance.commit_and_dirty(tmp_path) == (None, None)  # no commit yet
    git("add", ".")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-m", "one")
    commit, dirty = provenance.commit_and_dirty(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", commit) and dirty is False
    (tmp_path / "reports" / "page").write_text("2")
    assert provenance.commit_and_dirty(tmp_path) == (commit, False)
    (tmp_path / "file").write_text("2")
    assert provenance.commit_and_dirty(tmp_path) == (commit, True)
    # A copy without its own repository, inside another one.
    assert provenance.commit_and_dirty(tmp_path / "reports") == (None, None)
    monkeypatch.setenv("PATH", "")
    assert provenance.commit_and_dirty(tmp_path) == (None, None)
