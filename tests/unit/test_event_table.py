"""Tables of recordings: what is written is read, equal content is equal bytes, no half table."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from respike.data.nmnist import event_table
from respike.data.nmnist.binary_format import RecordingError, pack
from respike.data.nmnist.event_table import TableError, TableWriter
from respike.runs import files

ALL_FILES = sorted(
    [f"{s}_{p}.npy" for s in ("train", "test") for p in ("events", "offsets", "labels", "index")]
    + ["manifest.json"]
)


def writer(folder):
    return TableWriter(folder, "emulated", "Made up for a test.", {"seed": 0})


def write(folder, recordings, block=100, splits=("train", "test")):
    """Write the recordings to both splits in blocks; image 2 i, digit i % 10."""
    with writer(folder) as table:
        for split in splits:
            for start in range(0, len(recordings), block):
                part = recordings[start : start + block]
                numbers = np.arange(start, start + len(part))
                counts = [len(events) for events in part]
                table.add(split, np.concatenate(part), counts, numbers % 10, 2 * numbers)
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path, made_recordings):
    return write(tmp_path / "table", made_recordings)


def test_what_is_written_is_read(folder, made_recordings):
    table = event_table.load(folder, verify=True)
    assert (table.kind, table.description) == ("emulated", "Made up for a test.")
    assert table.source == {"seed": 0} and list(table.splits) == ["train", "test"]
    for split in table.splits.values():
        assert len(split) == len(made_recordings)
        for i, events in enumerate(made_recordings):
            np.testing.assert_array_equal(split.recording(i), events)
        assert split.labels.tolist() == [i % 10 for i in range(len(split))]
        assert split.index.tolist() == [2 * i for i in range(len(split))]
    assert event_table.load(folder / "manifest.json").kind == "emulated"


def test_manifest_vouches_for_the_content(folder, made_recordings):
    entry = json.loads((folder / "manifest.json").read_text())["splits"]["train"]
    parts = [np.load(folder / f"train_{p}.npy") for p in ("events", "offsets", "labels", "index")]
    assert [part.dtype.str for part in parts] == ["<u4", "<i8", "|u1", "<i4"]
    assert entry["recordings"] == len(made_recordings) and entry["events"] == len(parts[0])
    digest = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    assert entry["sha256"] == digest == event_table.load(folder).splits["train"].sha256


def test_blocks_and_order_of_splits_change_no_byte(folder, tmp_path, made_recordings):
    one_by_one = write(tmp_path / "b", made_recordings, block=1, splits=("test", "train"))
    assert content(one_by_one) == content(folder)
    assert sorted(content(folder)) == ALL_FILES


def test_events_stay_on_the_disk(folder):
    events = event_table.load(folder).splits["train"].events
    assert isinstance(events.base, np.memmap) and not events.flags.writeable


def test_take_copies_recordings_in_the_order_asked_for(folder, made_recordings):
    events, offsets = event_table.load(folder).splits["train"].take([6, 0, 6])
    expected = [made_recordings[i] for i in (6, 0, 6)]
    np.testing.assert_array_equal(events, np.concatenate(expected))
    assert np.diff(offsets).tolist() == [len(e) for e in expected] and offsets[0] == 0
    events, offsets = event_table.load(folder).splits["train"].take([])
    assert len(events) == 0 and offsets.tolist() == [0]
    for beyond in (-1, len(made_recordings)):
        with pytest.raises(IndexError):
            event_table.load(folder).splits["train"].take([0, beyond])


def test_memory_holds_a_block_not_the_table(tmp_path):
    events = pack(np.zeros(250_000), 0, np.arange(250_000), 0)  # 1 MB
    tracemalloc.start()
    try:
        with writer(tmp_path) as table:
            for i in range(40):
                table.add("train", events, [len(events)], [0], [i])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "train_events.npy").stat().st_size > 40e6
    assert peak < 10e6


# Runs that end early.


def test_error_leaves_nothing_of_this_table_and_of_the_one_before(folder, made_recordings):
    with pytest.raises(KeyError), writer(folder) as table:
        table.add("train", made_recordings[3], [len(made_recordings[3])], [1], [0])
        raise KeyError
    assert content(folder) == {}


def test_killed_run_leaves_no_table_and_its_rest_is_cleared(tmp_path, made_recordings):
    program = (
        "import os, signal, numpy as np\n"
        "from respike.data.nmnist.event_table import TableWriter\n"
        "with TableWriter('table', 'emulated', '', {}) as table:\n"
        "    table.add('train', np.zeros(10**6, np.uint32), [10**6], [0], [0])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    (rest,) = os.listdir(tmp_path / "table")
    assert rest.startswith(".train_events.npy.")
    with pytest.raises(TableError, match="manifest.json: no such file"):
        event_table.load(tmp_path / "table")
    write(tmp_path / "table", made_recordings)
    assert sorted(os.listdir(tmp_path / "table")) == ALL_FILES


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(files.WriteError, match="file stands where a folder is needed"):
        writer(tmp_path / "file").__enter__()


def test_full_disk_is_one_line_and_no_table(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(files.WriteError, match="train_events.npy: No space.*free some space"):
        with writer(tmp_path) as table:
            table.add("train", pack([1], [1], [1], [1]), [1], [0], [0])
    assert os.listdir(tmp_path) == []


# Wrong content.

TWO = pack([1, 2, 3], [1, 2, 3], [5, 6, 4], [0, 1, 0])  # recordings of two events and one


@pytest.mark.parametrize(
    "change, said",
    [
        ({"split": "validation"}, "split 'validation' is none of train, test"),
        ({"events": TWO.astype(np.int64)}, "not uint32"),
        ({"labels": [1]}, "differ in length"),
        ({"counts": [2, 2]}, "counts add up to 4, not 3"),
        ({"counts": [4, -1]}, "counts add up to 3"),
        ({"labels": [0, 10]}, "labels 0 to 10, not 0 to 9"),
        ({"index": [8, 7]}, "numbers of the images do not rise"),
        ({"index": [4, 9]}, "numbers of the images do not rise"),  # 4 is there
    ],
)
def test_block_that_does_not_fit_is_refused(tmp_path, change, said):
    block = {"split": "train", "events": TWO, "counts": [2, 1], "labels": [3, 4], "index": [7, 8]}
    with pytest.raises(TableError, match=said), writer(tmp_path) as table:
        table.add("train", TWO[:2], [2], [0], [4])
        table.add(**block | change)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "counts, said",
    [([3, 0], "image 7: event 2: time falls from 6 to 4 us"), ([0, 3], "image 7: an empty")],
)
def test_recording_that_breaks_the_format_is_named(tmp_path, counts, said):
    counts = counts if counts[0] == 0 else [3]
    with pytest.raises(RecordingError, match=f"^train recording of {said}"):
        with writer(tmp_path) as table:
            n = len(counts)
            table.add("train", TWO, counts, [3, 4][:n], [7, 8][:n])
    assert os.listdir(tmp_path) == []


def test_table_without_recordings_is_refused(tmp_path):
    with pytest.raises(TableError, match="no recordings"), writer(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_unknown_kind_is_refused(tmp_path):
    with pytest.raises(TableError, match="kind 'real' of an event table is none of official"):
        TableWriter(tmp_path, "real", "", {})


def edit_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut_short(folder):
    path = folder / "train_events.npy"
    path.write_bytes(path.read_bytes()[:-3])


def shift_offsets(folder):
    offsets = np.load(folder / "test_offsets.npy")
    offsets[1] = 0
    np.save(folder / "test_offsets.npy", offsets)


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda f: (f / "manifest.json").unlink(), "manifest.json: no such file"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json: not the manifest"),
        (lambda f: edit_manifest(f, dataset="mnist"), "manifest.json: not the manifest"),
        (lambda f: edit_manifest(f, kind="real"), "manifest.json: not the manifest"),
        (lambda f: edit_manifest(f, splits={"train": {}}), "manifest.json: not the manifest"),
        (lambda f: (f / "test_labels.npy").unlink(), "test_labels.npy: no such file"),
        (cut_short, "train_events.npy: truncated or damaged"),
        (lambda f: (f / "train_index.npy").write_bytes(b""), "train_index.npy: truncated"),
        (lambda f: np.save(f / "train_labels.npy", np.zeros(3)), "labels.npy: float64"),
        (lambda f: np.save(f / "train_labels.npy", np.zeros(3, "u1")), r"labels.npy: uint8 \(3,\)"),
        (shift_offsets, "test_offsets.npy: offsets do not fit"),
    ],
)
def test_damaged_table_is_one_line_with_file_and_cure(folder, damage, said):
    damage(folder)
    with pytest.raises(TableError, match=said) as caught:
        event_table.load(folder)
    assert "Make the table again" in str(caught.value) and "\n" not in str(caught.value)


def test_changed_content_is_found_by_verify(folder):
    path = folder / "test_events.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    event_table.load(folder)
    with pytest.raises(TableError, match="test is not what manifest.json says"):
        event_table.load(folder, verify=True)
