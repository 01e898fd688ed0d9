"""Recordings of one data set in one folder: the form that official and emulated ones share.

For each split ("train", "test") there are four NumPy files: `<split>_events.npy` (uint32, see
respike.data.nmnist.binary_format), `<split>_offsets.npy` (int64: recording i is events[offsets[i] :
offsets[i + 1]]), `<split>_labels.npy` (uint8) and `<split>_index.npy` (int32: which image of the
MNIST half the recording shows, from 0). `manifest.json`, written last, vouches for them. Equal
recordings give equal bytes.
"""

import hashlib
import io
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from respike.data.nmnist import binary_format
from respike.runs import files

SPLITS = ("train", "test")
KINDS = ("official", "local", "emulated")
UNREACHABLE = "unreachable"
PARTS = {"events": "<u4", "offsets": "<i8", "labels": "|u1", "index": "<i4"}


class TableError(ValueError):
    """A table is missing or wrong; the message names the file and the cure."""


@dataclass(frozen=True)
class Recordings:
    """The recordings of one split, sorted by `index`."""

    events: np.ndarray  # (n_events,) uint32, mapped from the disk
    offsets: np.ndarray  # (n + 1,) int64
    labels: np.ndarray  # (n,) uint8, 0 to 9
    index: np.ndarray  # (n,) int32, number of the MNIST image, from 0
    sha256: str  # of the content of the four arrays

    def __len__(self) -> int:
        return len(self.labels)

    def recording(self, i: int) -> np.ndarray:
        """Return the packed events of the i-th recording of this table."""
        return self.events[self.offsets[i] : self.offsets[i + 1]]

    def take(self, chosen) -> tuple[np.ndarray, np.ndarray]:
        """Return events and offsets (len(chosen) + 1,) of the chosen recordings, one after another.

        A copy in memory, ready for respike.data.nmnist.event_frames. `chosen` are numbers from 0.
        """
        chosen = np.asarray(chosen, np.int64)
        if (chosen < 0).any():
            raise IndexError(f"recording {chosen.min()} of {len(self)}")
        offsets = np.zeros(len(chosen) + 1, np.int64)
        np.cumsum(self.offsets[chosen + 1] - self.offsets[chosen], out=offsets[1:])
        parts = [self.recording(i) for i in chosen]
        return np.concatenate(parts) if parts else np.empty(0, np.uint32), offsets


@dataclass(frozen=True)
class EventTable:
    """A loaded table."""

    kind: str  # one of KINDS
    description: str  # one sentence for the report
    source: dict  # where the recordings come from
    splits: dict[str, Recordings]


class TableWriter:
    """Writes a table in blocks of recordings, with no more than a block in memory.

    A context manager. An earlier table of the folder, and what a killed run left there, are
    removed at its start; the manifest is written at its end, unless an error ended it.

    Raises
    ------
    nmnist_format.RecordingError
        A recording breaks the format.
    TableError
        Labels, numbers or counts do not fit, or there are no recordings at all.
    files.WriteError
        The folder cannot be written.
    """

    def __init__(self, folder: Path | str, kind: str, description: str, source: dict):
        if kind not in KINDS:
            raise TableError(f"kind {kind!r} of an event table is none of {', '.join(KINDS)}")
        self.folder = Path(folder)
        self.head = {
            "dataset": "nmnist", "kind": kind, "description": description, "source": source,
        }  # fmt: skip
        self.parts: dict[str, _Part] = {}

    def __enter__(self) -> "TableWriter":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # First, because it vouches for the rest.
            (self.folder / "manifest.json").unlink(missing_ok=True)
            for split in SPLITS:
                for part in PARTS:
                    (self.folder / f"{split}_{part}.npy").unlink(missing_ok=True)
                    for stale in self.folder.glob(f".{split}_{part}.npy.*.tmp"):
                        stale.unlink(missing_ok=True)
        except OSError as error:
            raise files.write_error(self.folder, error) from error
        return self

    def add(self, split: str, events, counts, labels, index) -> None:
        """Append recordings to a split.

        events uint32 (sum of counts,), packed; counts, labels and index (n,): the number of
        events, digit and MNIST image of each. `index` rises from recording to recording.
        """
        if split not in SPLITS:
            raise TableError(f"split {split!r} is none of {', '.join(SPLITS)}")
        if split not in self.parts:
            self.parts[split] = _Part(self.folder / f"{split}_events.npy")
        self.parts[split].add(split, events, counts, labels, index)

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            for part in self.parts.values():
                part.discard()

    def _finish(self) -> None:
        if not self.parts:
            raise TableError(f"{self.folder}: no recordings to write")
        splits = {}
        for split in SPLITS:  # always in this order, whichever came first
            if split in self.parts:
                splits[split] = self.parts[split].finish(self.folder, split)
        files.write_json(self.folder / "manifest.json", self.head | {"splits": splits})


class _Part:
    """The events of one split on their way to the disk, and what goes with them."""

    def __init__(self, path: Path):
        self.path = path
        self.temp = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
        self.digest = hashlib.sha256()
        self.n_events = 0
        self.counts, self.labels, self.index = [], [], []
        self.last = -1
        try:
            self.stream = open(self.temp, "xb")
            self._header()
        except OSError as error:
            raise files.write_error(path, error) from error

    def _header(self) -> None:
        # NumPy leaves room for the length to grow, so the header written at the end fits.
        self.stream.seek(0)
        np.lib.format.write_array_header_1_0(
            self.stream, {"descr": "<u4", "fortran_order": False, "shape": (self.n_events,)}
        )

    def add(self, split: str, events, counts, labels, index) -> None:
        events = np.ascontiguousarray(events)
        counts, labels, index = (np.asarray(field, np.int64) for field in (counts, labels, index))
        if events.dtype != np.uint32 or not len(counts) == len(labels) == len(index):
            raise TableError(f"{split}: events are not uint32, or fields differ in length")
        offsets = np.concatenate(([0], np.cumsum(counts)))
        if (counts < 0).any() or offsets[-1] != len(events):
            raise TableError(f"{split}: the counts add up to {offsets[-1]}, not {len(events)}")
        if not len(counts):
            return
        if labels.min() < 0 or labels.max() > 9:
            raise TableError(f"{split}: labels {labels.min()} to {labels.max()}, not 0 to 9")
        if (np.diff(index, prepend=self.last) <= 0).any() or index[-1] >= 2**31:
            raise TableError(f"{split}: the numbers of the images do not rise")
        binary_format.check(events, offsets, lambda i: f"{split} recording of image {index[i]}")
        try:
            self.stream.write(events.astype("<u4", copy=False).data)
        except OSError as error:
            raise files.write_error(self.path, error) from error
        self.digest.update(events.astype("<u4", copy=False).data)
        self.n_events += len(events)
        self.last = int(index[-1])
        for kept, field in ((self.counts, counts), (self.labels, labels), (self.index, index)):
            kept.append(field)

    def finish(self, folder: Path, split: str) -> dict:
        """Give the files of the split their names; return its entry in the manifest."""
        try:
            self._header()
            self.stream.flush()
            os.fsync(self.stream.fileno())
            os.replace(self.temp, self.path)
        except OSError as error:
            raise files.write_error(self.path, error) from error
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(self.counts))))
        small = {"offsets": offsets, "labels": self.labels, "index": self.index}
        for name, values in small.items():
            values = np.concatenate(values) if isinstance(values, list) else values
            array = values.astype(PARTS[name])
            self.digest.update(array.data)
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            files.write_bytes(folder / f"{split}_{name}.npy", buffer.getvalue())
        return {
            "recordings": len(offsets) - 1, "events": self.n_events,
            "sha256": self.digest.hexdigest(),
        }  # fmt: skip

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        self.stream.close()
        self.temp.unlink(missing_ok=True)


def load(folder: Path | str, verify: bool = False) -> EventTable:
    """Open the table of a folder, or of the folder of a manifest.json; events stay on the disk.

    Sizes and types are checked always, the SHA-256 of the content only with `verify` (seconds
    for 70,000 recordings).

    Raises
    ------
    TableError
        The manifest or a file is missing, or a file is not what the manifest says.
    """
    folder = Path(folder)
    if folder.name == "manifest.json":
        folder = folder.parent
    manifest = _manifest(folder)
    splits = {
        split: _read(folder, split, entry, verify) for split, entry in manifest["splits"].items()
    }
    return EventTable(manifest["kind"], manifest["description"], manifest["source"], splits)


def write_unreachable(folder: Path, reason: str) -> None:
    """Write down, in place of a table, that its recordings cannot be had from here."""
    manifest = {"dataset": "nmnist", "kind": UNREACHABLE, "description": reason}
    files.write_json(folder / "manifest.json", manifest)


def is_unreachable(manifest: Path | str) -> bool:
    """Say whether a manifest only says that its recordings cannot be had."""
    try:
        return json.loads(Path(manifest).read_text(encoding="utf-8"))["kind"] == UNREACHABLE
    except (OSError, ValueError, KeyError, TypeError):
        return False  # `load` says what is wrong with it


def _manifest(folder: Path) -> dict:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["dataset"] != "nmnist" or manifest["kind"] not in KINDS:
            raise ValueError
        manifest["description"], manifest["source"]
        for split, entry in manifest["splits"].items():
            if split not in SPLITS or not isinstance(entry["sha256"], str):
                raise ValueError
            int(entry["recordings"]), int(entry["events"])
    except FileNotFoundError:
        raise TableError(f"{path}: no such file. {_CURE}") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}). {_CURE}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TableError(f"{path}: not the manifest of an event table. {_CURE}") from None
    return manifest


def _read(folder: Path, split: str, entry: dict, verify: bool) -> Recordings:
    n, n_events = entry["recordings"], entry["events"]
    lengths = {"events": n_events, "offsets": n + 1, "labels": n, "index": n}
    arrays = {}
    for name, length in lengths.items():
        path = folder / f"{split}_{name}.npy"
        try:
            array = np.load(path, mmap_mode="r" if name == "events" else None, allow_pickle=False)
        except FileNotFoundError:
            raise TableError(f"{path}: no such file. {_CURE}") from None
        except (OSError, ValueError, EOFError) as error:
            problem = " ".join(str(error).split())
            raise TableError(f"{path}: truncated or damaged ({problem}). {_CURE}") from None
        if array.dtype != np.dtype(PARTS[name]) or array.shape != (length,):
            raise TableError(
                f"{path}: {array.dtype} {array.shape}, not {np.dtype(PARTS[name])} ({length},). "
                f"{_CURE}"
            )
        arrays[name] = array.view(np.ndarray)  # slices of np.memmap itself are slow to make
    offsets = arrays["offsets"]
    if offsets[0] != 0 or offsets[-1] != n_events or (np.diff(offsets) <= 0).any():
        raise TableError(f"{folder / split}_offsets.npy: offsets do not fit the events. {_CURE}")
    if verify:
        digest = hashlib.sha256()
        for name in PARTS:
            digest.update(arrays[name].data)
        if digest.hexdigest() != entry["sha256"]:
            raise TableError(f"{folder}: {split} is not what manifest.json says. {_CURE}")
    return Recordings(**arrays, sha256=entry["sha256"])


_CURE = "Make the table again (for recordings: python -m respike.data.nmnist --help)"
