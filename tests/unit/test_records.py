"""Run records: what is kept, refused, stale, withdrawn, and that none is ever changed."""

import hashlib
import json

import numpy as np
import pytest

from respike.runs import files, provenance, records, sources

SOURCE, ROOT = "poisson_mlp", "encode"  # any experiment of ours has a digest
MODULE = sources.module_of(SOURCE, ROOT)
SETTINGS = {"epochs": 2}
WANTED = {
    f"results/default/{SOURCE}/train/seed=0/metrics.json": {
        "source": SOURCE,
        "experiment": "train",
        "seed": 0,
        "settings": SETTINGS,
    }  # fmt: skip
}
PATH = next(iter(WANTED))


def finish(folder, **changes):
    """Write a finished run into a folder; return its metrics.json."""
    arrays = changes.pop("arrays", {"predictions": np.zeros(9, np.uint8)})
    files.write_npz(folder / "arrays.npz", arrays)
    result = {
        "schema": 2, "source": SOURCE, "experiment": "train", "seed": 0, "settings": SETTINGS,
        "protocol": "as_documented", "scale": "default", "root": ROOT,
        "code": provenance.code_digest(MODULE), "pins": provenance.pins_digest(MODULE),
        "data_sha256": {}, "data_kind": "official", "device": "cpu", "threads": 2,
        "versions": {"python": "3.11.2"}, "machine": "a machine", "commit": "0" * 40,
        "dirty": False, "started": "2026-01-01T10:00:00+00:00", "wall_s": 30,
        "metrics": {"accuracy": 0.9}, "series": {},
        "arrays_sha256": hashlib.sha256((folder / "arrays.npz").read_bytes()).hexdigest(),
    } | changes  # fmt: skip
    files.write_json(folder / "metrics.json", result | {"seal": provenance.seal(result)})
    return folder / "metrics.json"


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "records"


def loaded(kept):
    return records.load(kept)


def test_a_record_holds_the_result_as_it_is(tmp_path, kept):
    metrics = finish(tmp_path)
    where = records.add(metrics, kept)
    assert where.parent == kept / SOURCE / "train" / "seed=0"
    assert where.name.startswith("20260101T100000Z_")
    (record,) = loaded(kept)
    assert record.result == json.loads(metrics.read_text())
    assert record.complete and not record.why_stale
    assert (where / "arrays.npz").read_bytes() == (tmp_path / "arrays.npz").read_bytes()


def test_a_second_call_changes_nothing_and_runs_stand_side_by_side(tmp_path, kept):
    where = records.add(finish(tmp_path), kept)
    before = {p: p.read_bytes() for p in where.iterdir()}
    assert records.add(finish(tmp_path), kept) is None
    assert {p: p.read_bytes() for p in where.iterdir()} == before
    records.add(finish(tmp_path, started="2026-01-02T10:00:00+00:00"), kept)
    assert len(loaded(kept)) == 2


def test_an_interrupted_call_can_be_repeated(tmp_path, kept):
    where = records.add(finish(tmp_path), kept)
    (where / "record.json").unlink()
    assert loaded(kept) == []
    assert records.add(finish(tmp_path), kept) == where
    assert len(loaded(kept)) == 1


def test_of_large_arrays_only_the_answers_are_kept(tmp_path, kept):
    rng = np.random.default_rng(0)
    arrays = {
        "weights": rng.random(records.LARGEST), "predictions": np.zeros(9, np.uint8),
        "labels": np.ones(9, np.uint8),
    }  # fmt: skip
    where = records.add(finish(tmp_path, arrays=arrays), kept)
    with np.load(where / "arrays.npz") as archive:
        assert sorted(archive.files) == ["labels", "predictions"]
    assert not loaded(kept)[0].complete
    assert sum(p.stat().st_size for p in where.iterdir()) < 5000


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code": "0" * 16}, f"code of {SOURCE} {ROOT} was"),
        ({"scale": "smoke"}, "smoke run"),
        ({"arrays_sha256": "0" * 64}, "arrays.npz beside it was edited"),
        ({"wall_s": -1}, "wall_s"),
    ],
)
def test_what_is_not_current_is_not_recorded(tmp_path, kept, changes, says):
    with pytest.raises(records.RecordError, match=says):
        records.add(finish(tmp_path, **changes), kept)
    assert not kept.exists()


def test_tampering_is_refused_and_every_file_named(tmp_path, kept):
    one = records.add(finish(tmp_path), kept)
    two = records.add(finish(tmp_path, seed=1), kept)
    three = records.add(finish(tmp_path, seed=2), kept)
    text = (one / "record.json").read_text()
    (one / "record.json").write_text(text.replace("0.9", "0.99"))
    (two / "arrays.npz").write_bytes(b"others")
    three.rename(three.with_name("20260101T100000Z_" + "0" * 16))
    with pytest.raises(records.RecordError) as error:
        records.load(kept)
    said = str(error.value)
    assert "seed=0" in said and "the seal does not fit" in said
    assert "seed=1" in said and "belongs to another record" in said
    assert "seed=2" in said and "record of another run" in said
    assert "git checkout" in said


def test_a_number_and_both_seals_forged_for_another_place_are_refused(tmp_path, kept):
    where = records.add(finish(tmp_path), kept)
    record = json.loads((where / "record.json").read_text())
    record["result"]["metrics"]["accuracy"] = 1.0
    record["result"]["seal"] = provenance.seal(record["result"])
    record["seal"] = provenance.seal({k: v for k, v in record.items() if k != "seal"})
    (where / "record.json").write_text(json.dumps(record))
    with pytest.raises(records.RecordError, match="record of another run"):
        records.load(kept)


def test_the_newest_current_record_counts_and_stale_ones_are_told(tmp_path, kept, monkeypatch):
    records.add(finish(tmp_path), kept)
    newer = records.add(finish(tmp_path, started="2026-01-02T10:00:00+00:00"), kept)
    chosen = records.choose(WANTED, loaded(kept), "default")
    assert chosen.current[PATH].folder == newer
    assert not chosen.stale and not chosen.missing
    other = {PATH: WANTED[PATH] | {"settings": {"epochs": 3}}}
    chosen = records.choose(other, loaded(kept), "default")
    assert chosen.stale[PATH][1] == ["setting epochs was 2, is now 3"]
    monkeypatch.setattr(provenance, "code_digest", lambda module, **more: "f" * 16)
    chosen = records.choose(WANTED, loaded(kept), "default")
    assert not chosen.current
    assert "is now ffffffffffffffff" in chosen.stale[PATH][1][0]
    assert records.choose(WANTED, loaded(kept), "paper").missing == [PATH]


def test_a_withdrawn_record_stays_and_is_not_used(tmp_path, kept):
    where = records.add(finish(tmp_path), kept)
    with pytest.raises(records.RecordError, match="needs a reason"):
        records.withdraw(where, " ")
    records.withdraw(where, "wrong data")
    assert loaded(kept)[0].withdrawn == "wrong data"
    assert records.choose(WANTED, loaded(kept), "default").missing == [PATH]
    with pytest.raises(records.RecordError, match="never changed"):
        records.withdraw(where, "again")
    with pytest.raises(records.RecordError, match="no record.json"):
        records.withdraw(tmp_path, "x")


def test_a_record_unpacks_to_the_result(tmp_path, kept):
    records.add(finish(tmp_path), kept)
    records.unpack(loaded(kept)[0], tmp_path / "new" / "metrics.json")
    for name in ("metrics.json", "arrays.npz"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / name).read_bytes()
