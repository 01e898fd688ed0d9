"""Atomic writes: whole content or the old file, one clear error, nothing left behind."""

import errno
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from respike.runs import files


@pytest.fixture
def tmpfs(tmp_path):
    """Mount a small file system with the given options; skip where that is not allowed."""
    mounted = []

    def mount(options):
        folder = tmp_path / f"mount{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this user may not mount a file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_bytes_and_text_arrive_whole_and_make_their_folder(tmp_path):
    files.write_bytes(tmp_path / "a" / "b" / "x.bin", b"\x00\xff")
    files.write_text(tmp_path / "a" / "x.txt", "tau_mem ≥ 10 ms\n")
    assert (tmp_path / "a" / "b" / "x.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a" / "x.txt").read_bytes() == "tau_mem ≥ 10 ms\n".encode()
    assert sorted(os.listdir(tmp_path / "a")) == ["b", "x.txt"]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        files.write_bytes(tmp_path / "x", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_json_has_null_for_nan_and_plain_numbers_for_numpy(tmp_path):
    value = {
        "b": np.float32(0.5),
        "a": [float("nan"), np.inf, -math.inf, np.float64("nan"), np.int64(3), np.bool_(True)],
        "array": np.array([[1.0, np.nan], [2.0, 3.0]]),
        "pair": (1, None, "ü"),
    }
    files.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "b": 0.5,
        "a": [None, None, None, None, 3, True],
        "array": [[1.0, None], [2.0, 3.0]],
        "pair": [1, None, "ü"],
    }
    assert list(json.loads(text)) == ["b", "a", "array", "pair"]
    assert text.endswith("}\n") and "ü" in text


def test_json_refuses_what_it_cannot_hold_and_keeps_the_old_file(tmp_path):
    files.write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "x.json", {"new": object()})
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_npz_reads_back_and_equal_arrays_give_equal_bytes(tmp_path):
    arrays = {"spk": np.arange(12, dtype=np.uint8).reshape(3, 4), "file": np.float32(1.5)}
    files.write_npz(tmp_path / "a.npz", arrays)
    files.write_npz(tmp_path / "b.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as found:
        assert sorted(found.files) == ["file", "spk"]
        assert found["spk"].dtype == np.uint8 and np.array_equal(found["spk"], arrays["spk"])
        assert found["file"] == np.float32(1.5)


def test_npz_refuses_python_objects(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        files.write_npz(tmp_path / "a.npz", {"x": np.array([{}])})
    assert os.listdir(tmp_path) == []


def test_failure_in_the_middle_keeps_the_old_file_and_leaves_no_temporary(tmp_path, monkeypatch):
    files.write_bytes(tmp_path / "x", b"old")

    def fsync(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(files.WriteError, match="cannot write .*x: Input/output error"):
        files.write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_interruption_leaves_no_temporary(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(tmp_path / "x", b"new")
    assert os.listdir(tmp_path) == []


def test_file_where_a_folder_is_needed(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(files.WriteError, match="results/x.json.*a file stands where a folder"):
        files.write_json(tmp_path / "results" / "x.json", {})
    assert (tmp_path / "results").read_text() == ""


def test_folder_where_the_file_should_go(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(files.WriteError, match="a folder stands where the file should go"):
        files.write_bytes(tmp_path / "x", b"1")
    assert os.listdir(tmp_path) == ["x"]


def test_read_only_disk(tmpfs):
    folder = tmpfs("ro")
    with pytest.raises(files.WriteError, match="x: Read-only file system.*another folder") as error:
        files.write_bytes(folder / "x", b"1")
    assert error.value.errno == errno.EROFS
    assert os.listdir(folder) == []


def test_full_disk_keeps_the_old_file(tmpfs):
    folder = tmpfs("size=64k")
    files.write_bytes(folder / "x", b"old")
    with pytest.raises(files.WriteError, match="No space left.*free some space"):
        files.write_bytes(folder / "x", bytes(200_000))
    assert os.listdir(folder) == ["x"]
    assert (folder / "x").read_bytes() == b"old"
    files.write_bytes(folder / "x", bytes(1000))
    assert (folder / "x").stat().st_size == 1000


def test_import_does_not_bring_numpy():
    code = "import sys, respike.runs.files; print('numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_links_cannot_be_made_files_are_copied(tmp_path, monkeypatch, number):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").write_bytes(b"older")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")  # again, onto the same file

    def refuse(source, target):
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "link", refuse)
    files.link_or_copy(tmp_path / "a", tmp_path / "new" / "c")
    assert (tmp_path / "new" / "c").read_bytes() == b"content"
    with pytest.raises(files.WriteError, match="cannot write .*d: No such file"):
        files.link_or_copy(tmp_path / "nothing", tmp_path / "d")
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert names == {"a", "b", "new", "new/c"}
