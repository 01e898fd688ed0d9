"""Download of a large file: straight to the disk, resumed after an interruption, MD5 verified."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from respike.data.download import mirrors
from respike.data.download.mirrors import Say, SourceError, size
from respike.runs import files, owned

CHUNK = 2**16  # a lost connection loses less than this


class Unreachable(SourceError):
    """There is no way to the server from here, or it does not give the file."""


def download(url: str, path: Path, md5: str, say: Say, agent: str = "respike") -> None:
    """Bring what `url` holds to `path`, if it is not there yet.

    It arrives in `<path>.part`, which stays when the connection is lost: the next call asks the
    server for the rest only. `path` itself appears when the MD5 is right; a file of that name with
    another content, which may be the user's own, is renamed then. `agent` is the name
    given to the server.

    Raises
    ------
    SourceError
        No connection, a connection lost, a refusal, or a wrong content (then nothing is kept).
    files.WriteError
        The disk does not take it.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if file_md5(path) == md5:
                say(f"  {path.name}: present, MD5 verified")
                return
            say(f"  {path.name}: wrong content (MD5), will be replaced")
        resumed = part.exists() and part.stat().st_size > 0
        _receive(url, part, say, agent)
        if resumed and file_md5(part) != md5:
            # What was there before may belong to another version of the file.
            say(f"  {path.name}: wrong content (MD5) after going on, starting again")
            part.unlink()
            _receive(url, part, say, agent)
        found = file_md5(part)
        if found != md5:
            length = size(part.stat().st_size)
            part.unlink()
            raise SourceError(
                f"{path.name}: wrong content: MD5 {found[:12]}... ({length}), "
                f"expected {md5[:12]}..."
            )
        if os.path.lexists(path):
            say(f"  {path.name}: the wrong one is now {owned.set_aside(path)}")
        part.replace(path)
    except files.WriteError:
        raise
    except OSError as error:
        raise files.write_error(error.filename or part, error) from error
    say(f"  {path.name}: {size(path.stat().st_size)}, MD5 verified")


def file_md5(path: Path) -> str:
    """Return the MD5 of a file as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _receive(url: str, part: Path, say: Say, agent: str) -> None:
    """Append to `part` what it lacks."""
    import requests

    name = part.stem
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    answered = False
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=(mirrors.CONNECT_S, mirrors.SILENCE_S)
        ) as answer:
            if have and answer.status_code == 416:  # nothing after what is here; the MD5 decides
                return
            answered = True
            if answer.status_code not in (200, 206):
                raise Unreachable(
                    f"{name}: the server answers {answer.status_code} {answer.reason}"
                )
            if answer.status_code == 206:
                start = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
                if not start or int(start[1]) != have:
                    raise SourceError(f"{name}: the server sends another part than was asked for")
                say(f"  {name}: going on after {size(have)}")
            elif have:
                say(f"  {name}: the server cannot go on after {size(have)}, starting again")
                have = 0
            _write(answer, part, have, name, say)
    except (SourceError, files.WriteError):
        raise
    except Exception as error:
        # What is left is of the network, TLS or a proxy, some of it plain OSError: the disk's have
        # become WriteError in `_write`.
        if answered:
            now = part.stat().st_size if part.exists() else 0
            raise SourceError(
                f"{name}: connection lost after {size(now)} (run again to go on from there)"
            ) from error
        raise Unreachable(f"no connection: {mirrors.connection_problem(error)}") from error


def _write(answer, part: Path, have: int, name: str, say: Say) -> None:
    length = answer.headers.get("Content-Length", "")
    whole = f" of {size(have + int(length))}" if length.isdigit() else ""
    next_report = time.monotonic() + mirrors.REPORT_S
    with _to_disk(part):
        stream = part.open("ab" if have else "wb")
    try:
        for chunk in answer.iter_content(CHUNK):
            if have == 0 and mirrors.is_page(chunk):
                part.unlink()
                raise Unreachable(f"{name}: an HTML page instead of data (a login or error page?)")
            with _to_disk(part):
                stream.write(chunk)
            have += len(chunk)
            if time.monotonic() >= next_report:
                next_report += mirrors.REPORT_S
                say(f"  {name}: {size(have)}{whole}")
    finally:
        with _to_disk(part):
            stream.close()


@contextlib.contextmanager
def _to_disk(path: Path) -> Iterator[None]:
    """Turn an OSError of the disk into one that cannot pass for the network's."""
    try:
        yield
    except OSError as error:
        raise files.write_error(path, error) from error
