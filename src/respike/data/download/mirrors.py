"""The kinds of sources of a data set: a local folder, a web server, an npm package.

Each source yields (file name, raw content) for the names wanted, or raises SourceError. Nothing
is written into the data folder here, and nothing is trusted: respike.data.fetch checks it all.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from respike.runs import foreign

CONNECT_S = 5  # a closed network must fail in seconds
SILENCE_S = 20  # longest wait for the next bytes of a started answer
NPM_S = 300  # longest run of `npm pack`
REPORT_S = 2  # time between two lines of progress
NO_NETWORK = {"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"}

# Read by requests, OpenSSL and curl; the user's, so they are named and never changed.
TLS_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_VARIABLES = {"all_proxy", "https_proxy", "http_proxy"}

Say = Callable[[str], None]
Items = Iterator[tuple[str, bytes]]


class SourceError(Exception):
    """One source failed; the message says why, in one line."""


def read(source: dict, wanted: dict, local: Path | None, say: Say) -> Items:
    """Yield (file name, raw content) of the files `wanted` (name -> spec) from one source."""
    if source["kind"] == "folder":
        return _from_folder(source, wanted, local)
    if source["kind"] == "url":
        return _from_url(source, wanted, say)
    return _from_npm(source, wanted, say)


def label(source: dict, local: Path | None) -> str:
    """Name a source as a line of progress shows it."""
    if source["kind"] == "folder":
        return f"local folder {local or ''}".strip()
    if source["kind"] == "url":
        return source["base"]
    return f"npm package {source['package']} {source['version']}"


def size(count: int) -> str:
    """Show a number of bytes as people read it."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count:,} bytes"


def _from_folder(source: dict, wanted: dict, local: Path | None) -> Items:
    """Read the files, plain or .gz, from a folder of this machine."""
    if not local:
        raise SourceError(f"skipped: {source['setting']} in config.yaml names none")
    try:
        found = {}
        for filename in wanted:
            choices = (local / filename, local / f"{filename}.gz")
            found[filename] = next((path for path in choices if path.is_file()), None)
        lacking = [filename for filename, path in found.items() if not path]
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}") from error
    if lacking:
        raise SourceError(f"lacks {', '.join(lacking)} (plain or .gz)")
    for filename, path in found.items():
        try:
            content = foreign.read_bytes(path, _most(wanted[filename]["bytes"]))
        except OSError as error:
            raise SourceError(f"{path.name} cannot be read: {error.strerror}") from error
        except foreign.ReadError as error:
            raise SourceError(f"wrong content: {error}") from error
        yield filename, content


def _most(length: int) -> int:
    """Return the most bytes that a file of `length` can have; gzip may add a little."""
    return length + length // 100 + 1024


def _from_url(source: dict, wanted: dict, say: Say) -> Items:
    """Download each file with pooch."""
    for filename, spec in wanted.items():
        yield filename, _download(source["base"] + filename + source["suffix"], spec["bytes"], say)


def _download(url: str, limit: int, say: Say) -> bytes:
    """Return what `url` holds, at most about `limit` bytes of it."""
    import pooch
    import requests

    sink = _Sink(url.rsplit("/", 1)[-1], limit, say)
    downloader = pooch.HTTPDownloader(sink, 8192, timeout=(CONNECT_S, SILENCE_S))
    try:
        downloader(url, sink, None)
    except requests.HTTPError as error:
        answer = error.response
        raise SourceError(
            f"{sink.name}: the server answers {answer.status_code} {answer.reason}"
        ) from error
    except SourceError:
        raise
    except Exception as error:
        # Whatever requests, urllib3, ssl or a proxy's library raise: nothing here is on the disk,
        # so all of it is this source's. A bad REQUESTS_CA_BUNDLE, for one, is a plain OSError.
        if sink.total is not None:
            raise SourceError(
                f"{sink.name}: connection lost after {size(len(sink.content))}"
            ) from error
        raise SourceError(f"no connection: {connection_problem(error)}") from error
    return bytes(sink.content)


def connection_problem(error: Exception) -> str:
    """Say in a few words why a server gave no answer, and which variables had a part in it."""
    import requests

    text = str(error)
    if isinstance(error, requests.exceptions.SSLError) or "TLS CA" in text:
        tls = [name for name in TLS_VARIABLES if os.environ.get(name)]
        if isinstance(error, requests.exceptions.SSLError):
            reason = "the server's certificate was not accepted"
            return f"{reason} (certificates as {_names(tls)})" if tls else reason
        return f"the certificates that {_names(tls)} are not there: {text.rpartition(': ')[2]}"
    reason = _reason(error, text)
    # Only the names: a proxy's address may hold a password.
    proxies = [name for name in os.environ if name.lower() in PROXY_VARIABLES]
    proxies = [name for name in proxies if os.environ[name]]
    return f"{reason} (by the proxy that {_names(proxies)})" if proxies else reason


def _names(variables: list[str]) -> str:
    return f"{' and '.join(variables)} {'name' if len(variables) > 1 else 'names'}"


def _reason(error: Exception, text: str) -> str:
    import requests

    if "SOCKS" in text:
        return "a SOCKS proxy needs another package: pip install PySocks"
    if isinstance(error, requests.ConnectTimeout):
        return f"no answer in {CONNECT_S} s"
    if isinstance(error, requests.ReadTimeout):
        return f"no answer in {SILENCE_S} s"
    if "resolve" in text:
        return "host name not found"
    if "refused" in text:
        return "refused"
    return type(error).__name__


def is_page(head: bytes) -> bool:
    """Say whether data that begin so are an HTML page, as of a login or an error."""
    head = head[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))


class _Sink:
    """What pooch writes to and its progress bar: keeps bytes, says how far, stops at a limit."""

    def __init__(self, name: str, limit: int, say: Say):
        self.name, self.limit, self.say = name, limit, say
        self.content = bytearray()
        self.total = None  # set by pooch when the server has answered; 0 if no length was given
        self.next_report = time.monotonic() + REPORT_S

    def write(self, chunk: bytes) -> None:
        self.content += chunk
        if len(self.content) > _most(self.limit):
            raise SourceError(f"{self.name}: wrong content: larger than {size(self.limit)}")
        if time.monotonic() >= self.next_report:
            self.next_report += REPORT_S
            whole = f" of {size(self.total)}" if self.total else ""
            self.say(f"  {self.name}: {size(len(self.content))}{whole}")

    # The rest of what pooch calls; `write` has already done the work.
    def flush(self) -> None: ...

    def update(self, count: int) -> None: ...

    def reset(self) -> None: ...

    def close(self) -> None: ...


def _from_npm(source: dict, wanted: dict, say: Say) -> Items:
    """Let npm bring the package as an archive and read the files out of it."""
    npm = shutil.which("npm")
    if not npm:
        raise SourceError("no npm on this machine")
    package = f"{source['package']}@{source['version']}"
    try:
        with tempfile.TemporaryDirectory(prefix="respike-npm-") as temp:
            # npm's own settings wait for minutes on a closed network. --ignore-scripts: nothing
            # of the package is ever run.
            command = [npm, "pack", package, "--loglevel=error", "--ignore-scripts"]
            command += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
            command += ["--fetch-retry-maxtimeout=2000", "--fetch-timeout=30000"]
            _run_npm(command, temp, say)
            archives = list(Path(temp).glob("*.tgz"))
            if len(archives) != 1:
                raise SourceError("npm pack left no archive")
            say(f"  {archives[0].name}: {size(archives[0].stat().st_size)}")
            yield from _members(archives[0], source["folder"], wanted)
    except OSError as error:
        raise SourceError(f"npm pack: {error}") from error


def _run_npm(command: list[str], folder: str, say: Say) -> None:
    """Run npm with a line of progress now and then; it shows none itself without a terminal."""
    log = Path(folder) / "npm.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        try:
            waited = 0
            while True:
                try:
                    code = process.wait(timeout=REPORT_S)
                    break
                except subprocess.TimeoutExpired:
                    waited += REPORT_S
                    if waited >= NPM_S:
                        raise SourceError(f"npm pack: not done in {NPM_S} s") from None
                    say(f"  npm pack at work: {waited} s")
        finally:
            process.kill()
            process.wait()
    if code != 0:
        lines = log.read_text(errors="replace").splitlines()
        # npm writes "npm error code E404" or "npm ERR! code E404", by version.
        codes = [line.split()[-1] for line in lines if line.startswith("npm") and " code " in line]
        reason = codes[0] if codes else (lines[-1:] or [f"exit code {code}"])[0]
        cause = "no connection to a package registry: " if reason in NO_NETWORK else ""
        raise SourceError(f"npm pack failed: {cause}{reason}")


def _members(archive: Path, folder: str, wanted: dict) -> Items:
    """Read the wanted files out of a .tgz by their exact names; nothing is ever extracted."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = {}
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise SourceError(f"archive refused: unsafe member {member.name!r}")
                if not (member.isfile() or member.isdir()):
                    raise SourceError(f"archive refused: {member.name!r} is a link or device")
                members[member.name] = member
            lacking = [name for name in wanted if f"{folder}/{name}" not in members]
            if lacking:
                raise SourceError(f"the archive lacks {', '.join(lacking)}")
            for name, spec in wanted.items():
                stream = tar.extractfile(members[f"{folder}/{name}"])
                if stream is None:
                    raise SourceError(f"the archive holds no file {name}")
                yield name, stream.read(spec["bytes"] + 1)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise SourceError(f"the archive is damaged or truncated: {error}") from error
