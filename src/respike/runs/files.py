"""Files that are written whole or not at all.

Every result, figure and download of the project goes through these functions: the content is
written to a temporary file in the same folder, flushed to the disk and only then moved to its
name. A reader never sees half a file, and a late write of an orphaned job harms nobody.
"""

import errno
import io
import json
import math
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CURES = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space: the disk quota is used up",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.EACCES: "make the folder writable or choose another",
    errno.EPERM: "make the folder writable or choose another",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
    errno.EEXIST: "a file stands where a folder is needed: move it away",
    errno.EISDIR: "a folder stands where the file should go: move it away",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class WriteError(OSError):
    """A file could not be written; the message names the file and the cure."""


def write_bytes(path: Path | str, content: bytes, sync: bool = True) -> None:
    """Write bytes to `path`, making its folder if need be.

    Without `sync` it does not wait for the disk: only a crash of the machine makes a difference.

    Raises
    ------
    WriteError
        The file could not be written. An earlier file of that name is left as it was.
    """
    path = Path(path)
    # One name for each writer: two jobs that write the same file must not share a temporary one.
    temp = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temp, "xb") as stream:
                stream.write(content)
                if sync:
                    stream.flush()
                    os.fsync(stream.fileno())
            os.replace(temp, path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise write_error(path, error) from error


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Give a file a second name without taking space, or copy it where links cannot be made.

    `target` takes the place of an earlier file whole; a second name must never be written into.
    Many file systems refuse links, or do so between two of them, each with an error of its own: if
    it was not for that, the copy fails too and its error counts.

    Raises
    ------
    WriteError
        The file could not be copied.
    """
    source, target = Path(source), Path(target)
    temp = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                os.link(source, temp)
            except OSError:
                shutil.copyfile(source, temp)
            os.replace(temp, target)
        finally:
            # Also after success: of two names of one file, `replace` leaves both.
            temp.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(target, error) from error


def tree(folder: Path | str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path below `folder` with /, stat) of each file, links followed, each folder once.

    Raises OSError where a folder or file cannot be looked at.
    """
    seen, todo = set(), [(Path(folder), "")]
    while todo:
        place, below = todo.pop()
        of_folder = place.stat()
        if (of_folder.st_dev, of_folder.st_ino) in seen:  # a link back up
            continue
        seen.add((of_folder.st_dev, of_folder.st_ino))
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                try:
                    if entry.is_dir():
                        todo.append((place / entry.name, f"{below}{entry.name}/"))
                    elif entry.is_file():
                        yield f"{below}{entry.name}", entry.stat()
                except OSError as error:
                    error.filename = str(place / entry.name)
                    raise


def write_error(path: Path | str, error: OSError) -> WriteError:
    """Return `error` as a WriteError that names the file and the cure."""
    cure = _CURES.get(error.errno, "check the folder and try again")
    failure = WriteError(f"cannot write {path}: {error.strerror or error} ({cure})")
    failure.errno = error.errno
    return failure


def write_text(path: Path | str, text: str) -> None:
    """Write text to `path` as UTF-8, line ends as given."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as JSON; NaN and infinities become null, numpy values plain numbers and lists.

    Keys keep their order. Raises TypeError for a value that JSON cannot hold.
    """
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_npz(path: Path | str, arrays: Mapping[str, Any]) -> None:
    """Write a dict of arrays as a compressed .npz; equal arrays give equal bytes.

    `numpy.savez_compressed` would do, but it promises nothing about the time stamps in the
    archive and takes the order of the dict.
    """
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as stream:
                # No pickles: an array of Python objects is an error here, not in the reader.
                np.lib.format.write_array(stream, np.asarray(arrays[name]), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def plain(value: Any) -> Any:
    """Return `value` with only what JSON knows; arrays and numpy scalars have `tolist`."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
