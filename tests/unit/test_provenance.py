import json
import re
import subprocess
import textwrap

import pytest

from respike.runs import provenance, sources
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


SOURCE, ROOT = "poisson_mlp", "encode"  # any experiment of ours


def result(**changes):
    fields = {
        **provenance.record(SOURCE, ROOT, changes.get("device", "cpu")),
        **{"experiment": "e", "protocol": "as_documented", "scale": "smoke"},
        **{"seed": 0, "settings": {}, "data_sha256": {}, "data_kind": "official"},
        **{"device": "cpu", "threads": 1, "started": "2026-01-01T00:00:00Z", "wall_s": 1.5},
        **{"metrics": {"a": 1, "b": None}, "series": {"c": [0.5, None]}},
        "arrays_sha256": "0" * 64,
        **changes,
    }
    found = {key: value for key, value in fields.items() if value is not ABSENT}
    return found | {"seal": provenance.seal(found)}


ABSENT = object()


def test_a_fresh_record_is_current():
    assert provenance.problems(result()) == []
    assert re.fullmatch("[0-9a-f]{16}", result()["code"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code": "0" * 16}, "code of poisson_mlp encode was 0000000000000000, is now"),
        ({"pins": "0" * 16}, "pinned packages of poisson_mlp encode were"),
        ({"source": "gone"}, "no source 'gone'; there are "),
        ({"root": "gone"}, "src/respike/sources/poisson_mlp/config.yaml has no experiment gone"),
        ({"root": "optimum"}, "config.yaml has no experiment optimum"),  # it extends another
        ({"schema": 3}, "schema: 3 is not one of [1, 2]"),
        ({"schema": 1}, "'module' is a required property"),
        ({"root": ABSENT}, "'root' is a required property"),
        ({"module": "respike.runs.x"}, "content: False schema does not allow 'respike.runs.x'"),
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


# ------------------------------------------------------------------- results of the form before

BRIDGE = json.loads(provenance.BRIDGE.read_bytes())["modules"]
OLD = [(m, s) for m, of in BRIDGE.items() for s in of["roots"] if s in sources.found()]


def old(module, source, **changes):
    """Return a result as it was written when results named modules."""
    fields = {"source": source, "module": module, **BRIDGE[module]["old"], **changes}
    return result(schema=1, root=ABSENT, **fields)


@pytest.mark.parametrize("device", ["cpu", "NVIDIA H100"])
@pytest.mark.parametrize(("module", "source"), OLD)
def test_an_old_result_is_held_against_what_its_code_is_now(module, source, device):
    """It is current exactly when the digests of its form are those of the bridge.

    Then it stands as a new result would whose digests were taken from the code of the bridge.
    """
    then = BRIDGE[module]["cpu" if device == "cpu" else "cuda"]
    found, root = old(module, source, device=device), BRIDGE[module]["roots"][source]
    assert provenance.origin(found) == (f"{source} {root}", sources.module_of(source, root))
    assert provenance.digests(found) == (then["code"], then["pins"])

    def as_new(**digests):
        return provenance.problems(result(source=source, root=root, device=device, **digests))

    assert provenance.problems(found) == as_new(**then)
    no = "0" * 16
    edited = provenance.problems(old(module, source, device=device, code=no))
    assert edited == as_new(code=no, pins=BRIDGE[module]["old"]["pins"])
    assert edited[0].startswith(f"code of {source} {root} was {no}, is now ")
    locked = provenance.problems(old(module, source, device=device, pins=no))
    assert locked == as_new(code=then["code"], pins=no)
    assert locked[-1].startswith(f"pinned packages of {source} {root} were {no}, are now ")


def test_an_old_result_counts_by_its_device(monkeypatch):
    """A result of a GPU is not current by the digests of the CPU, nor the other way round."""
    module, source = "respike.experiments.poisson_mlp_encode", SOURCE
    code, pins = (provenance.record(SOURCE, ROOT, "cpu")[key] for key in ("code", "pins"))
    now, other = {"code": code, "pins": pins}, {"code": "1" * 16, "pins": pins}
    bridge = {**BRIDGE[module], "cpu": now, "cuda": other}
    monkeypatch.setattr(provenance, "_bridge", lambda: {module: bridge})
    assert provenance.problems(old(module, source)) == []
    (said,) = provenance.problems(old(module, source, device="NVIDIA H100"))
    assert said.startswith("code of poisson_mlp encode was 1111111111111111, is now ")


def test_an_old_result_whose_experiment_is_gone_says_why(tmp_path, monkeypatch):
    module = "respike.experiments.poisson_mlp_encode"
    assert provenance.problems(old(module, "gone")) == [
        f"no experiment of gone is known to be {module}"
    ]
    (said,) = provenance.problems(result(schema=1, root=ABSENT, module="respike.gone"))
    assert said == "no experiment of poisson_mlp is known to be respike.gone"
    left = old(module, SOURCE)
    folder = tmp_path / "src" / "respike" / "sources"
    monkeypatch.setattr(sources, "FOLDER", folder)
    monkeypatch.setattr(sources, "SRC", tmp_path / "src")
    (said,) = provenance.problems(left)
    assert said.startswith("no source 'poisson_mlp'; there are ")
    (folder / SOURCE).mkdir(parents=True)
    (folder / SOURCE / "config.yaml").write_text("train: {job: {}}\n")
    assert provenance.problems(left) == [
        "src/respike/sources/poisson_mlp/config.yaml has no experiment encode"
    ]


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
