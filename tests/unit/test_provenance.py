import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from respike import provenance
from respike.provenance import ProvenanceError, code_digest, import_closure, pins_digest

SAMPLE = Path(__file__).parents[1] / "data" / "digest_sample.txt"
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
    "other": "Y = 1\n",
}


def digest(folder, **changes):
    return code_digest("respike.train", tree(folder, **{**BASE, **changes}))


def test_digest_is_the_same_under_every_supported_python(tmp_path):
    # The value was computed under 3.11.7, 3.12.1 and 3.13.0. It changes only with normal_form.
    src = tree(tmp_path)
    shutil.copy(SAMPLE, src / "respike" / "sample.py")
    assert code_digest("respike.sample", src) == "9ef9fa53a19ae13c"


@pytest.mark.parametrize(
    "neuron",
    [
        '"""Title."""\ndef step(mem, beta):\n    """Decay."""\n    return beta * mem\n',
        "# comment\n\n\ndef step(\n    mem,\n    beta,\n):\n    return (beta * mem)  # comment\n",
        "def step(mem, beta): return beta*mem",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tmp_path, neuron):
    before = digest(tmp_path)
    assert digest(tmp_path, neuron=neuron) == before


@pytest.mark.parametrize(
    "neuron",
    [
        "def step(mem, beta):\n    return mem * beta\n",
        "def step(mem, beta=None):\n    return beta * mem\n",
        "def step(mem, beta):\n    return beta * mem * 1\n",
        "def step(mem, beta):\n    return beta * mem\n\nstep.name = 'x'\n",
    ],
)
def test_logic_of_an_imported_module_counts(tmp_path, neuron):
    before = digest(tmp_path)
    assert digest(tmp_path, neuron=neuron) != before
    assert digest(tmp_path) == before


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("1", "1.0"),
        ("1", "True"),
        ("'1'", "1"),
        ("None", "()"),
        ("x if y else z", "z if y else x"),
        ("f'{x}'", "f'{x!r}'"),
        ("f'{x}a'", "f'{x:a}'"),
        ("{**x}", "{None: x}"),
        ("lambda *, a, b=1: a", "lambda *, a=1, b: a"),
        ("[x for x in y if z]", "[x for x in y]"),
        ("x[1:]", "x[:1]"),
        ("0.1", "0.1000000000000001"),
    ],
)
def test_small_differences_count(tmp_path, one, two):
    assert digest(tmp_path, neuron=f"v = {one}") != digest(tmp_path, neuron=f"v = {two}")


def test_an_unrelated_module_does_not_count(tmp_path):
    before = digest(tmp_path)
    assert digest(tmp_path, other="Y = 2\n") == before


def test_closure_follows_every_kind_of_import(tmp_path):
    src = tree(
        tmp_path,
        a="def f():\n    import respike.b as b\n    return b\n",
        b="from respike.sub import c, NAME\n",
        job="import respike.hidden\n",
        hidden="",
        **{
            "sub/__init__": "NAME = 1\n",
            "sub/c": "import respike.job\nfrom respike import a\n",  # a circle, and plumbing
        },
    )
    assert list(import_closure("respike.a", src)) == [
        "respike",
        "respike.a",
        "respike.b",
        "respike.sub",
        "respike.sub.c",
    ]


def test_plumbing_is_no_part_of_a_digest(tmp_path):
    train = BASE["train"] + "import respike.job\n"
    before = digest(tmp_path, train=train, job="A = 1\n")
    assert digest(tmp_path, train=train, job="A = 2\n") == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nfrom . import neuron\n", r"bad\.py:2: relative import; write `from respike"),
        ("from .neuron import step\n", "relative import"),
        ("import importlib\nm = importlib.import_module('x')\n", r"bad\.py:2: .*hides"),
        ("from importlib import import_module as load\n", "hides"),
        ("m = __import__('x')\n", "hides"),
        ("f = __import__\n", "hides"),
        ("def f(:\n", r"bad\.py:1: not valid Python"),
    ],
)
def test_an_import_that_cannot_be_followed_is_refused(tmp_path, text, says):
    src = tree(tmp_path, **BASE, bad=text, user="from respike import bad\n")
    with pytest.raises(ProvenanceError, match=says):
        code_digest("respike.user", src)


def test_an_unknown_module_is_named(tmp_path):
    with pytest.raises(ProvenanceError, match=r"no module respike\.nothing"):
        code_digest("respike.nothing", tree(tmp_path))


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
    module = "respike.encoding"
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
        ({"code": "0" * 16}, "code of respike.encoding was 0000000000000000, is now"),
        ({"pins": "0" * 16}, "pinned packages of respike.encoding were"),
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


def test_parameters_beside_a_module_count_but_not_for_its_logic(tmp_path):
    before, logic = digest(tmp_path), provenance.logic_digest("respike.train", tmp_path)
    beside = next(tmp_path.rglob("neuron.py")).with_suffix(".json")
    beside.write_text('{"a": 1, "b": [2, 3]}')
    with_parameters = digest(tmp_path)
    assert with_parameters != before
    beside.write_text('{"b":  [2,3],\n"a": 1}\n')  # layout and order of keys
    assert digest(tmp_path) == with_parameters
    beside.write_text('{"a": 1, "b": [2, 4]}')
    assert digest(tmp_path) != with_parameters
    assert provenance.logic_digest("respike.train", tmp_path) == logic
