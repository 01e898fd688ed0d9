"""N-MNIST archives to tables and back: every bad input is one clear line that names the file.

Servers are real ones on this machine; the addresses and checksums that tonic's class holds are
replaced by theirs.
"""

import errno
import hashlib
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from tonic.datasets import NMNIST

from respike.data.download import mirrors, resume
from respike.data.download.mirrors import SourceError
from respike.data.nmnist import archive as nmnist_archive
from respike.data.nmnist import event_table
from respike.data.nmnist import official as nmnist
from respike.data.nmnist.binary_format import encode, pack
from respike.data.nmnist.event_table import TableError
from respike.runs import owned
from respike.runs.files import WriteError

N_TRAIN, N_TEST = 30, 12


def digit(i):
    return 7 * i % 10


def raw_of(i):
    """Return the file of a small recording, another one for each i."""
    t = np.arange(1 + i % 5) * 1000
    return encode(pack(i % 34, t // 1000, t, i % 2))


def members(half, count, first=0):
    return {f"{half}/{digit(i)}/{i + 1:05}.bin": raw_of(i) for i in range(first, first + count)}


def make_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo()
            info.filename = name  # as it is: the constructor would mend a bad one
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def make_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def local(out, path):
    lines = []
    nmnist.from_local(out, path, lines.append)
    return event_table.load(out, verify=True), lines


def assert_whole(recordings, count, first=0):
    assert recordings.index.tolist() == list(range(first, first + count))
    assert recordings.labels.tolist() == [digit(i) for i in range(first, first + count)]
    for i in range(count):
        assert encode(recordings.recording(i)) == raw_of(first + i)


@pytest.fixture
def both():
    return members("Train", N_TRAIN) | members("Test", N_TEST)


# Local recordings.


def layouts(tmp_path, both):
    train = {n: c for n, c in both.items() if n.startswith("Train")}
    test = {n: c for n, c in both.items() if n.startswith("Test")}
    deep = {f"NMNIST/{name}": content for name, content in both.items()}
    yield make_zip(tmp_path / "plain.zip", both)
    yield make_zip(tmp_path / "deep.zip", deep)
    yield make_folder(tmp_path / "plain", both)
    yield make_folder(tmp_path / "deep", deep)
    yield make_zip(tmp_path / "zips" / "train.zip", train).parent
    make_zip(tmp_path / "zips" / "test.zip", test)
    yield make_zip(tmp_path / "capitals" / "Train.zip", train).parent
    make_zip(tmp_path / "capitals" / "Test.zip", test)


def test_all_layouts_give_the_same_table(tmp_path, both):
    hashes = set()
    for number, path in enumerate(list(layouts(tmp_path, both))):
        table, lines = local(tmp_path / f"out{number}", path)
        assert table.kind == "local" and table.splits.keys() == {"train", "test"}
        assert_whole(table.splits["train"], N_TRAIN)
        assert_whole(table.splits["test"], N_TEST)
        assert [line for line in lines if "train: 30 recordings" in line]
        hashes.add(tuple(split.sha256 for split in table.splits.values()))
    assert len(hashes) == 1


def test_one_half_with_other_numbers(tmp_path):
    path = make_zip(tmp_path / "part.zip", members("Train", 20, first=500))
    table, _ = local(tmp_path / "out", path)
    assert table.splits.keys() == {"train"}
    assert_whole(table.splits["train"], 20, first=500)
    assert table.description.endswith("train 20 (images 500 to 519); no test half.")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    assert table.source == {"files": {"part.zip": md5}}


def test_blocks_join_without_a_seam(tmp_path):
    path = make_zip(tmp_path / "many.zip", members("Test", 205))
    assert_whole(local(tmp_path / "out", path)[0].splits["test"], 205)


def test_other_files_are_passed_over(tmp_path, both):
    more = {"ReadMe(Train).txt": b"hello", "Train/.DS_Store": b"", "Train/3/._00001.bin": b"x"}
    more |= {"__MACOSX/Train/3/00001.bin": b"x", "Train/3/": b""}
    table, _ = local(tmp_path / "out", make_zip(tmp_path / "a.zip", both | more))
    assert_whole(table.splits["train"], N_TRAIN)


def test_real_recordings(real_table):
    train = real_table.splits["train"]
    assert real_table.splits.keys() == {"train"} and len(train) == 500
    assert train.index.tolist() == list(range(500))
    assert train.labels[:6].tolist() == [5, 0, 4, 1, 9, 2]  # as MNIST begins
    assert 1_000 < np.diff(train.offsets).min() and np.diff(train.offsets).max() < 8_000


def test_progress_says_how_far(tmp_path, both, monkeypatch):
    monkeypatch.setattr(mirrors, "REPORT_S", 0)
    _, lines = local(tmp_path / "out", make_zip(tmp_path / "a.zip", both))
    assert "  train: 7 of 30 recordings" in lines


# Bad recordings and archives, each as a zip and as a folder.

ONE = "Train/5/00001.bin"


def bad_cases():
    base = {ONE: raw_of(4), "Train/0/00002.bin": raw_of(3)}
    two = np.frombuffer(raw_of(1), np.uint8).reshape(-1, 5)
    yield "truncated", base | {ONE: raw_of(4)[:-2]}, ONE, "truncated: 23 bytes"
    yield "outside", base | {ONE: b"\x22\x00\x00\x00\x00"}, ONE, "event 0: pixel x 34, y 0"
    yield "falls", base | {ONE: two[::-1].tobytes()}, ONE, "event 1: time falls from 1000 to 0"
    yield "empty", base | {ONE: b""}, ONE, "an empty recording"
    name = "Train/five/00001.bin"
    yield "label", base | {name: raw_of(4)}, name, "the label folder 'five' is no digit"
    name = "Train/10/00001.bin"
    yield "label 10", base | {name: raw_of(4)}, name, "the label folder '10' is no digit"
    name = "Train/00003.bin"
    yield "no label", base | {name: raw_of(4)}, name, "Train"
    gap = base | {"Train/0/00005.bin": raw_of(4)}
    yield "gap", gap, "", "Train: 00003.bin is missing and 1 more (numbers go from 00001 to 00005)"
    name = "Train/6/00001.bin"
    yield "twice", base | {name: raw_of(4)}, "00001.bin", "there is also Train/"
    for file in ("1.bin", "000001.bin", "00000.bin", "0000a.bin"):
        name = f"Train/6/{file}"
        yield file, base | {name: raw_of(4)}, name, "not named 00001.bin, 00002.bin, ..."
    yield "nothing", {"Train/readme.txt": b""}, "", "no file Train/<digit>/<number>.bin"


@pytest.mark.parametrize("form", [make_zip, make_folder])
@pytest.mark.parametrize(
    "files, where, said", [pytest.param(*case[1:], id=case[0]) for case in bad_cases()]
)
def test_bad_recordings_are_named(tmp_path, capsys, form, files, where, said):
    path = form(tmp_path / ("a.zip" if form is make_zip else "a"), files)
    out = tmp_path / "out"
    assert nmnist.main(["--local", str(path), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"nmnist: error: {path}") and error.count("\n") == 1
    assert where in error and said in error, error
    assert not out.exists() or os.listdir(out) in ([], [owned.MARK])


def refused(path, said):
    with pytest.raises(SourceError, match=said) as caught:
        nmnist.from_local(path.parent / "out", path, lambda line: None)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["/Train/5/00001.bin", "../Train/5/00001.bin", "Train/../../5/00001.bin", "C:/Train/5/1.bin",
     "..\\Train\\5\\00001.bin", "Train/5/00001.bin\0.txt", "../readme.txt"],
)  # fmt: skip
def test_archive_with_an_unsafe_name_is_refused(tmp_path, both, name):
    refused(
        make_zip(tmp_path / "a.zip", both | {name: raw_of(0)}),
        rf"archive refused: unsafe member .*{re.escape(repr(name)[1:-1])}",
    )
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]


def test_archive_with_a_link_is_refused(tmp_path, both):
    path = make_zip(tmp_path / "a.zip", both)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("Train/5/00031.bin")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    refused(path, "archive refused: 'Train/5/00031.bin' is a link")


def test_recording_damaged_in_the_archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored, so that the content can be found
        for name, content in members("Train", 5).items():
            archive.writestr(name, content)
    raw = bytearray(path.read_bytes())
    raw[raw.index(raw_of(4)) + 3] ^= 1
    path.write_bytes(raw)
    refused(path, f"a.zip: Train/{digit(4)}/00005.bin: damaged in the archive: Bad CRC-32")


def test_too_large_member_is_not_unpacked(tmp_path):
    bomb = {"Train/5/00001.bin": bytes(nmnist_archive.LARGEST + 5)}
    refused(make_zip(tmp_path / "a.zip", bomb), "Train/5/00001.bin: too large")


def test_file_that_is_no_archive(tmp_path, both):
    path = make_zip(tmp_path / "a.zip", both)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "no zip archive, or a truncated one")
    path.write_bytes(b"<!DOCTYPE html><title>Log in</title>")
    refused(path, "an HTML page instead of an archive")
    path.unlink()
    refused(path, "no such file or folder")


def test_folder_without_recordings(tmp_path):
    refused(make_folder(tmp_path / "a", {"readme.txt": b""}), "no folder Train or Test, no NMNIST")


def test_same_half_in_both_archives(tmp_path):
    for name in ("test.zip", "train.zip"):
        make_zip(tmp_path / "a" / name, members("Train", 3))
    with pytest.raises(SourceError, match="train.zip: train recordings, as in .*test.zip"):
        nmnist.from_local(tmp_path / "out", tmp_path / "a", lambda line: None)


def test_earlier_table_stays_when_the_source_is_missing(tmp_path, both):
    local(tmp_path / "out", make_zip(tmp_path / "a.zip", both))
    refused(tmp_path / "b.zip", "no such file")
    assert_whole(event_table.load(tmp_path / "out").splits["train"], N_TRAIN)


# Downloads.

DATA = random.Random(0).randbytes(600_000)
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture
def server():
    """A web server on this machine; `answers` maps a path to bytes. It goes on where it is asked.

    `ranges` False: it always sends all. `stop_after`: bytes of an answer before it hangs up.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content, asked = web.answers.get(self.path), self.headers.get("Range")
            web.asked.append((self.path, asked))
            if content is None:
                self.send_error(404)
                return
            start = int(asked[6:-1]) if asked and web.ranges else 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                place = f"bytes {start + web.shift}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", place)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: web.stop_after])
            web.sent.set()
            while web.hang:
                time.sleep(0.02)

        def log_message(self, *arguments): ...

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    web.answers, web.asked, web.sent = {"/a.zip": DATA}, [], threading.Event()
    web.ranges, web.shift, web.stop_after, web.hang = True, 0, None, False
    web.base = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield web
    web.hang = False
    web.shutdown()
    thread.join()
    web.server_close()


def download(server, path, md5=MD5):
    lines = []
    resume.download(f"{server.base}/a.zip", path, md5, lines.append)
    return lines


def assert_downloaded(path):
    assert path.read_bytes() == DATA and os.listdir(path.parent) == [path.name]


def test_download(server, tmp_path):
    lines = download(server, tmp_path / "new" / "a.zip")
    assert_downloaded(tmp_path / "new" / "a.zip")
    assert lines == ["  a.zip: 0.6 MB, MD5 verified"]


def test_download_that_is_there_asks_nobody(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(DATA)
    assert download(server, tmp_path / "a.zip") == ["  a.zip: present, MD5 verified"]
    assert server.asked == []
    (tmp_path / "a.zip").write_bytes(DATA[:-1])
    assert "wrong content (MD5), will be replaced" in download(server, tmp_path / "a.zip")[0]
    (tmp_path / "a.zip.replaced-1").unlink()  # it may have been the user's own
    assert_downloaded(tmp_path / "a.zip")


def test_lost_connection_keeps_what_came_and_the_next_run_goes_on(server, tmp_path):
    server.stop_after = 400_000
    with pytest.raises(SourceError, match=r"a.zip: connection lost after 0.4 MB \(run again"):
        download(server, tmp_path / "a.zip")
    assert os.listdir(tmp_path) == ["a.zip.part"]
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert 400_000 - resume.CHUNK < kept <= 400_000
    server.stop_after = None
    lines = download(server, tmp_path / "a.zip")
    assert lines[0] == "  a.zip: going on after 0.4 MB"
    assert server.asked[1] == ("/a.zip", f"bytes={kept}-")
    assert_downloaded(tmp_path / "a.zip")


def test_server_that_cannot_go_on_sends_all_again(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(DATA[:100_000])
    server.ranges = False
    lines = download(server, tmp_path / "a.zip")
    assert lines[0] == "  a.zip: the server cannot go on after 0.1 MB, starting again"
    assert_downloaded(tmp_path / "a.zip")


@pytest.mark.parametrize("part", [DATA, DATA + b"more", b"x" * 1000])
def test_part_that_is_complete_or_of_another_file(server, tmp_path, part):
    (tmp_path / "a.zip.part").write_bytes(part)
    lines = download(server, tmp_path / "a.zip")
    assert_downloaded(tmp_path / "a.zip")
    again = [line for line in lines if "wrong content (MD5) after going on, starting" in line]
    assert len(again) == len(server.asked) - 1 == (part != DATA)


def test_server_that_sends_another_part_than_asked_for(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(DATA[:1000])
    server.shift = 1
    with pytest.raises(SourceError, match="the server sends another part than was asked for"):
        download(server, tmp_path / "a.zip")
    assert (tmp_path / "a.zip.part").read_bytes() == DATA[:1000]


def test_wrong_content_is_not_kept(server, tmp_path):
    with pytest.raises(SourceError, match=r"a.zip: wrong content: MD5 \w+... \(0.6 MB\), expected"):
        download(server, tmp_path / "a.zip", md5="0" * 32)
    assert os.listdir(tmp_path) == []


def test_page_instead_of_data(server, tmp_path):
    server.answers["/a.zip"] = b"\n<!DOCTYPE html><title>Log in</title>"
    with pytest.raises(SourceError, match="a.zip: an HTML page instead of data"):
        download(server, tmp_path / "a.zip")
    assert os.listdir(tmp_path) == []


def test_refusal_is_told(server, tmp_path):
    server.answers.clear()
    with pytest.raises(SourceError, match="a.zip: the server answers 404 Not Found"):
        download(server, tmp_path / "a.zip")


def test_closed_port_fails_at_once_and_keeps_the_part(tmp_path):
    (tmp_path / "a.zip.part").write_bytes(DATA[:1000])
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        start = time.monotonic()
        with pytest.raises(SourceError, match="no connection: refused"):
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/a.zip"
            resume.download(url, tmp_path / "a.zip", "0" * 32, lambda line: None)
    assert time.monotonic() - start < 5
    assert (tmp_path / "a.zip.part").read_bytes() == DATA[:1000]


def test_silent_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "SILENCE_S", 0.3)
    server.stop_after, server.hang = 200_000, True
    with pytest.raises(SourceError, match="connection lost after 0.2 MB"):
        download(server, tmp_path / "a.zip")


def test_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write .*file stands where a folder is needed"):
        download(server, tmp_path / "file" / "a.zip")


def test_memory_does_not_grow_with_the_archive(server, tmp_path):
    server.answers["/a.zip"] = big = bytes(40_000_000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        # One copy that the server of this process slices off is not ours.
        download(server, tmp_path / "a.zip", hashlib.md5(big).hexdigest())
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 10e6


def test_progress_tells_the_size_so_far(server, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "REPORT_S", 0)
    (tmp_path / "a.zip.part").write_bytes(DATA[:100_000])
    lines = download(server, tmp_path / "a.zip")
    assert lines[-2] == "  a.zip: 0.6 MB of 0.6 MB" and lines[1].endswith(" of 0.6 MB")


# The official archives, in small.


@pytest.fixture
def official(server, tmp_path, both, monkeypatch):
    """Make tonic's class name two small archives of the server."""
    for half, count in (("train", N_TRAIN), ("test", N_TEST)):
        files = {n: c for n, c in both.items() if n.startswith(half.capitalize())}
        files |= {f"ReadMe({half}).txt": DATA[:300_000]}  # makes it long enough to interrupt
        raw = make_zip(tmp_path / "made" / f"{half}.zip", files).read_bytes()
        server.answers[f"/{half}/file_downloaded"] = raw
        monkeypatch.setattr(NMNIST, f"{half}_url", f"{server.base}/{half}/file_downloaded")
        monkeypatch.setattr(NMNIST, f"{half}_md5", hashlib.md5(raw).hexdigest())
        monkeypatch.setitem(nmnist.OFFICIAL, half, count)
    return server


def test_official_archives(official, tmp_path, capsys):
    out = tmp_path / "out"
    assert nmnist.main(["--official", "--out", str(out)]) == 0
    table = event_table.load(out, verify=True)
    assert table.kind == "official" and "Official" in table.description
    assert table.source["files"].keys() == {"train.zip", "test.zip"}
    assert_whole(table.splits["train"], N_TRAIN)
    assert_whole(table.splits["test"], N_TEST)
    assert f"train.zip: from {official.base}/train/file_downloaded" in capsys.readouterr().out
    assert nmnist.main(["--official", "--out", str(out)]) == 0
    assert len(official.asked) == 2  # the second run needed no server


def test_official_archives_brought_by_hand(official, tmp_path):
    table, _ = local(tmp_path / "out", tmp_path / "made")
    assert table.kind == "official" and official.asked == []


def test_official_archive_with_a_recording_too_few(official, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(nmnist.OFFICIAL, "test", N_TEST + 1)
    assert nmnist.main(["--official", "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "12 recordings for test, not 13: files are missing" in error
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_no_network_says_what_to_do(official, tmp_path, monkeypatch, capsys):
    official.answers.clear()
    out = tmp_path / "out"
    assert nmnist.main(["--official", "--out", str(out), "--archives", str(tmp_path / "z")]) == 1
    error = capsys.readouterr().err
    assert (
        error.startswith("nmnist: error: train.zip: the server answers 404")
        and error.count("\n") == 1
    )
    assert f"put train.zip and test.zip into {tmp_path / 'z'}" in error


def test_numbers_of_the_official_data_set():
    assert nmnist.OFFICIAL == {"train": 60_000, "test": 10_000}


def test_sigterm_keeps_the_download_and_the_next_run_goes_on(official, tmp_path):
    official.stop_after, official.hang = 200_000, True
    program = (
        "import runpy, sys\nfrom tonic.datasets import NMNIST\n"
        f"NMNIST.train_url = {NMNIST.train_url!r}\n"
        f"sys.argv = ['nmnist', '--official', '--out', {str(tmp_path / 'out')!r}]\n"
        "runpy.run_module('respike.data.nmnist', run_name='__main__')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    assert official.sent.wait(60)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    archives = tmp_path / "out" / "archives"
    assert os.listdir(archives) == ["train.zip.part"]
    kept = (archives / "train.zip.part").stat().st_size
    assert kept > 200_000 - resume.CHUNK
    official.stop_after, official.hang = None, False
    lines = []
    nmnist.from_official(tmp_path / "out", archives, lines.append)
    assert event_table.load(tmp_path / "out").kind == "official"
    assert official.asked[1] == ("/train/file_downloaded", f"bytes={kept}-")


@pytest.mark.parametrize("given", [[], ["--local", ""], ["--local", "a.zip", "--official"]])
def test_one_source_must_be_named(given, capsys):
    with pytest.raises(SystemExit) as caught:
        nmnist.main([*given, "--out", "out"])
    assert caught.value.code == 2
    assert "give either --local PATH or --official" in capsys.readouterr().err


# Export.


def write_table(folder, recordings, split="train", first=0):
    with event_table.TableWriter(folder, "emulated", "Emulated for a test.", {}) as table:
        numbers = np.arange(first, first + len(recordings))
        table.add(
            split, np.concatenate(recordings), [len(r) for r in recordings], numbers % 10, numbers
        )
    return event_table.load(folder)


def export(table, split, out):
    lines = []
    nmnist.export(table, split, out, lines.append)
    return lines


@pytest.mark.parametrize("split, half", [("train", "Train"), ("test", "Test")])
def test_export_and_back(tmp_path, made_recordings, split, half):
    table = write_table(tmp_path / "table", made_recordings, split, first=500)
    lines = export(table, split, tmp_path / "out")
    assert "opens 10,000 recordings or more" in lines[-1]
    place = tmp_path / "out" / "NMNIST"
    assert (place / half / "0" / "00501.bin").read_bytes() == encode(made_recordings[0])
    again, _ = local(tmp_path / "again", tmp_path / "out")
    assert again.splits[split].sha256 == table.splits[split].sha256
    export(table, split, tmp_path / "out")  # over itself
    assert len(list(place.rglob("*.bin"))) == len(made_recordings)
    assert not list(place.rglob("*.tmp"))


def test_real_recordings_are_exported_byte_by_byte(real_recordings, real_table, tmp_path):
    export(real_table, "train", tmp_path)
    with zipfile.ZipFile(real_recordings) as archive:
        for name in archive.namelist():
            assert (tmp_path / name).read_bytes() == archive.read(name)


def test_tonic_opens_an_export_unchanged(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    recordings = [
        pack(*rng.integers(0, 34, (2, 3)), np.sort(rng.integers(0, 308_000, 3)), [0, 1, 1])
        for _ in range(10_000)
    ]
    table = write_table(tmp_path / "table", recordings, "test")
    assert len(export(table, "test", tmp_path)) == 1
    monkeypatch.setattr(NMNIST, "download", lambda self: pytest.fail("tonic starts a download"))
    found = NMNIST(save_to=tmp_path, train=False)
    assert len(found) == 10_000
    assert sorted(found.targets) == sorted(table.splits["test"].labels)
    for place in (0, 1, 5_000, 9_999):
        events, target = found[place]
        i = int(found.data[place][-9:-4]) - 1
        assert target == i % 10
        np.testing.assert_array_equal(pack(*(events[f] for f in "xytp")), recordings[i])


def test_read_me_stands_where_tonic_looks_for_the_archive(tmp_path, made_recordings):
    export(write_table(tmp_path / "table", made_recordings), "train", tmp_path)
    with zipfile.ZipFile(tmp_path / "NMNIST" / NMNIST.train_filename) as archive:
        assert archive.namelist() == ["README.txt"]
        text = archive.read("README.txt").decode()
    assert text == "Emulated for a test.\nNot the official train.zip.\n"


def test_export_never_mixes_with_the_official_recordings(tmp_path, made_recordings, both):
    table = write_table(tmp_path / "table", made_recordings)
    archive = make_zip(tmp_path / "NMNIST" / "train.zip", both)
    for content in (archive.read_bytes(), b"half a downl"):
        archive.write_bytes(content)
        with pytest.raises(TableError, match="train.zip: there are other recordings here"):
            export(table, "train", tmp_path)
        assert archive.read_bytes() == content and os.listdir(tmp_path / "NMNIST") == ["train.zip"]


def test_export_of_a_split_that_is_not_there(tmp_path, made_recordings):
    with pytest.raises(TableError, match="the table holds train, no test recordings"):
        export(write_table(tmp_path / "table", made_recordings), "test", tmp_path)


def test_names_with_backslashes_are_read(tmp_path, both):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in both.items():
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\")
            archive.writestr(info, content)
    nmnist.from_local(tmp_path / "from_windows", tmp_path / "a.zip", lambda line: None)
    nmnist.from_local(tmp_path / "plain", make_zip(tmp_path / "b.zip", both), lambda line: None)
    sums = [
        {name: half.sha256 for name, half in event_table.load(tmp_path / out).splits.items()}
        for out in ("from_windows", "plain")
    ]
    assert sums[0] == sums[1]


def test_what_is_no_zip_of_recordings_is_said_to_be_what_it_is(tmp_path, both):
    inner = make_zip(tmp_path / "Train.zip", both)
    outer = make_zip(tmp_path / "outer.zip", {"NMNIST/Train.zip": inner.read_bytes()})
    refused(outer, r"holds other archives \(NMNIST/Train.zip\): unpack it and name the folder")
    for name, head, kind in (("a.tgz", b"\x1f\x8b", "gzip"), ("a.7z", b"7z\xbc\xaf\x27\x1c", "7z")):
        (tmp_path / name).write_bytes(head + bytes(99))
        refused(tmp_path / name, rf"a {kind} .*, not a zip archive: unpack it and name the folder")


def test_digits_that_are_links_to_another_place_are_read(tmp_path, both):
    make_folder(tmp_path / "a", both)
    (tmp_path / "elsewhere").mkdir()
    for digit in (tmp_path / "a" / "Train").iterdir():
        digit.rename(tmp_path / "elsewhere" / digit.name)
        digit.symlink_to(tmp_path / "elsewhere" / digit.name)
    nmnist.from_local(tmp_path / "out", tmp_path / "a", lambda line: None)
    assert "train" in event_table.load(tmp_path / "out").splits


@pytest.mark.parametrize("variable, value, said", [
    ("REQUESTS_CA_BUNDLE", "/gone", "REQUESTS_CA_BUNDLE names"),
    ("ALL_PROXY", "socks5h://127.0.0.1:9", "SOCKS proxy needs another package"),
])  # fmt: skip
def test_bad_surroundings_are_unreachable(tmp_path, monkeypatch, capsys, variable, value, said):
    from tonic.datasets import NMNIST

    for name in ("no_proxy", "NO_PROXY", *mirrors.TLS_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(NMNIST, "train_url", "https://127.0.0.1:9/train.zip")
    monkeypatch.setenv(variable, value)
    out = str(tmp_path / "out")
    assert nmnist.main(["--official", "--out", out]) == 1
    error = capsys.readouterr().err
    assert said in error and "cannot write" not in error and error.count("\n") == 1
    assert nmnist.main(["--official", "--if-reachable", "--out", out]) == 0
    assert event_table.is_unreachable(tmp_path / "out" / "manifest.json")


def test_a_full_disk_is_the_disk_and_not_the_network(tmp_path, official, monkeypatch):
    real = resume.Path.open

    class Full:
        def write(self, chunk):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self): ...

    def opened(path, mode="r", **options):
        return Full() if mode in ("ab", "wb") else real(path, mode, **options)

    monkeypatch.setattr(resume.Path, "open", opened)
    with pytest.raises(WriteError, match="No space left on device"):
        nmnist.from_official(tmp_path / "out", tmp_path / "archives", lambda line: None)
