"""Run records: results that are kept in the repository, never changed, so that others can check.

    reports/records/<source>/<experiment>/seed=<n>/<started>_<seal>/record.json, arrays.npz

A record holds the whole content of metrics.json, and of the arrays what is small: per-image
predictions and labels always, everything if the file is below `LARGEST`. Records of one run stand
side by side; the newest that is current counts, and one whose code, pins or settings differ from
the tree's is stale: shown as such, never judged. A record that was wrong is withdrawn by a file
beside it, not removed.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from respike.runs import files, foreign, provenance
from respike.workflow import dag

FOLDER = dag.RECORDS
LARGEST = 128 * 1024  # bytes of arrays.npz that are kept whole
ALWAYS = ("predictions", "labels")


class RecordError(RuntimeError):
    """Records or results that cannot be used; one line per file, with the cure."""


@dataclass(frozen=True)
class Record:
    """One run record."""

    folder: Path
    result: dict  # content of metrics.json
    complete: bool  # whether all arrays of the run are kept
    withdrawn: str = ""  # why, if it was
    why_stale: list[str] = field(default_factory=list)  # empty if code and pins are current

    @property
    def key(self) -> tuple:
        """Return what run this is: (scale, source, experiment, seed)."""
        return tuple(self.result[name] for name in ("scale", "source", "experiment", "seed"))


def place(result: dict, folder: Path = FOLDER) -> Path:
    """Return the folder of a result's record."""
    started = datetime.datetime.fromisoformat(result["started"]).strftime("%Y%m%dT%H%M%SZ")
    where = folder / result["source"] / result["experiment"] / f"seed={result['seed']}"
    return where / f"{started}_{result['seal']}"


def add(metrics: Path, folder: Path = FOLDER) -> Path | None:
    """Record one finished result; return the record's folder, None if it is there already.

    Raises
    ------
    RecordError
        The result is broken, not current or of a smoke run, or another record stands in its place.
    """
    try:
        result = foreign.read_json(metrics)
        packed = foreign.read_bytes(metrics.with_name("arrays.npz"), foreign.NPZ_BYTES)
    except (OSError, ValueError) as error:
        raise RecordError(f"{metrics}: cannot be read: {error}") from None
    wrong = provenance.problems(result)
    if not wrong and hashlib.sha256(packed).hexdigest() != result["arrays_sha256"]:
        wrong = ["arrays.npz beside it was edited or belongs to another run"]
    if not wrong and result["scale"] == "smoke":
        wrong = ["a smoke run shows nothing that is worth keeping"]
    if wrong:
        raise RecordError(f"{metrics}: not recorded: {'; '.join(wrong)}")
    where = place(result, folder)
    if (where / "record.json").exists():
        _read(where)  # raises if it is not whole
        return None
    complete = len(packed) <= LARGEST
    arrays = where / "arrays.npz"
    if complete:
        files.write_bytes(arrays, packed)
    else:
        try:
            kept = foreign.read_npz(metrics.with_name("arrays.npz"), ALWAYS)
        except foreign.ReadError as error:
            raise RecordError(f"{metrics}: not recorded: {error}") from None
        files.write_npz(arrays, kept)
    record = {
        "schema": 1,
        "result": result,
        "complete": complete,
        "arrays_sha256": hashlib.sha256(arrays.read_bytes()).hexdigest(),
    }
    # Last: without it there is no record, and a killed call can be repeated.
    files.write_json(where / "record.json", record | {"seal": provenance.seal(record)})
    return where


def withdraw(where: Path, reason: str) -> None:
    """Say that a record must not be used any more, and why; raise RecordError if it cannot be."""
    where = where.resolve()
    if not (where / "record.json").is_file():
        raise RecordError(f"{where}: no record.json there; name the folder of a record")
    _read(where)  # raises if it is another program's
    note = where / "withdrawn.json"
    if note.exists():
        raise RecordError(f"{note}: withdrawn before; a withdrawal is never changed")
    if not reason.strip():
        raise RecordError(f"{where}: a withdrawal needs a reason: --reason TEXT")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    files.write_json(note, {"date": today, "reason": reason.strip()})


def load(folder: Path = FOLDER) -> list[Record]:
    """Return all records, oldest first; raise one RecordError that lists every broken one."""
    found, bad = [], []
    for file in sorted(folder.glob("*/*/seed=*/*/record.json")):
        try:
            found.append(_read(file.parent))
        except RecordError as error:
            bad.append(str(error))
    if bad:
        raise RecordError(
            "\n".join(
                [*bad, "Records are never changed: put them back with `git checkout -- <folder>`."]
            )
        )
    return sorted(found, key=lambda record: record.result["started"])


def _read(where: Path) -> Record:
    file = where / "record.json"
    try:
        record = foreign.read_json(file)
        packed = foreign.read_bytes(where / "arrays.npz", foreign.NPZ_BYTES)
        note = where / "withdrawn.json"
        withdrawn = str(foreign.read_json(note)["reason"]) if note.exists() else ""
        result = record["result"]
        if misshapen := provenance.misshapen(result):
            raise ValueError(misshapen[0])
        sealed = record["seal"] == provenance.seal(record)
        expected = place(result, where.parents[3])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecordError(f"{file}: the record is not whole: {error!r}") from None
    if not sealed or result.get("seal") != provenance.seal(result):
        raise RecordError(f"{file}: the numbers were edited after the run: the seal does not fit")
    if hashlib.sha256(packed).hexdigest() != record["arrays_sha256"]:
        raise RecordError(f"{where / 'arrays.npz'}: edited, or it belongs to another record")
    if expected != where:
        raise RecordError(f"{file}: it is the record of another run, of {expected}")
    return Record(where, result, bool(record["complete"]), withdrawn, provenance.problems(result))


@dataclass
class Chosen:
    """The records that stand for wanted results, by path of the result."""

    current: dict[str, Record] = field(default_factory=dict)
    stale: dict[str, tuple[Record, list[str]]] = field(default_factory=dict)  # and why
    missing: list[str] = field(default_factory=list)


def choose(wanted: dict[str, dict], records: Iterable[Record], scale: str) -> Chosen:
    """Return for every wanted result its newest current record, or else its newest stale one."""
    by_key: dict[tuple, list[Record]] = {}
    for record in records:
        if not record.withdrawn:
            by_key.setdefault(record.key, []).append(record)
    chosen = Chosen()
    for path, expected in wanted.items():
        key = (scale, expected["source"], expected["experiment"], expected["seed"])
        found = by_key.get(key, [])
        wrong = {id(r): [*_settings(r.result, expected), *r.why_stale] for r in found}
        current = [record for record in found if not wrong[id(record)]]
        if current:
            chosen.current[path] = current[-1]
        elif found:
            chosen.stale[path] = (found[-1], wrong[id(found[-1])])
        else:
            chosen.missing.append(path)
    return chosen


def _settings(result: dict, expected: dict) -> Iterator[str]:
    have, want = result["settings"], expected["settings"]
    for name in sorted({*have, *want}):
        if name not in have or name not in want or have[name] != want[name]:
            yield f"setting {name} was {have.get(name)!r}, is now {want.get(name)!r}"


def unpack(record: Record, metrics: Path) -> None:
    """Write a record as a result: metrics.json and, if they are all kept, arrays.npz."""
    files.write_json(metrics, record.result)
    if record.complete:
        content = (record.folder / "arrays.npz").read_bytes()
        files.write_bytes(metrics.with_name("arrays.npz"), content)
