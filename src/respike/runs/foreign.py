"""Reads files that others wrote: within bounds, nothing is run, and what is wrong is one error.

A file from outside may be cut off, nested a million times, or a few kilobytes that unpack to
gigabytes. Whatever a reader raises here is a fault of the file, so all of it becomes `ReadError`.
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

JSON_BYTES = 16 * 2**20
NPZ_BYTES = 128 * 2**20  # of all arrays that are read, unpacked
DIRECTORY_BYTES = 16 * 2**20  # of an archive's list of files; that of N-MNIST has 7 MB
DEPTH = 50  # of values within values


class ReadError(ValueError):
    """A file cannot be read; the message names it and says what is wrong."""


def path(text: str | Path) -> Path:
    """Return a path as the user means it: `~` expanded, one spelling (no `./`, `//` or last `/`).

    Raises
    ------
    ReadError
        `~name` names nobody on this machine.
    """
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ReadError(f"{text}: no home folder is known for it (write ./{text} for a plain name)")
    return Path(expanded)


def read_bytes(file: Path | str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; raise ReadError, OSError."""
    with open(file, "rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ReadError(f"{file}: larger than {limit:,} bytes, which such a file never is")
    return content


def read_json(file: Path | str) -> Any:
    """Return what a JSON file holds, with finite numbers only; raise ReadError, OSError."""
    content = read_bytes(file, JSON_BYTES)
    try:
        value = json.loads(content.decode(), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{file}: no whole JSON: {error}") from None
    level = [value]
    for _ in range(DEPTH):
        inside = (v.values() if isinstance(v, dict) else v for v in level if _holds(v))
        level = [v for values in inside for v in values if _holds(v)]
        if not level:
            return value
    raise ReadError(f"{file}: values within values, more than {DEPTH} deep")


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


class _Bounded(io.BufferedReader):
    """A file that gives no more at once than a list of files may have."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = DIRECTORY_BYTES
        if size > DIRECTORY_BYTES:
            raise ReadError("its list of files is too long, or damaged")
        return super().read(size)


def open_zip(file: Path | str) -> zipfile.ZipFile:
    """Open a zip archive, to be closed by `close_zip`; raise ReadError, OSError."""
    stream = _Bounded(io.FileIO(file))
    try:
        return zipfile.ZipFile(stream)
    except Exception as error:
        stream.close()
        raise ReadError(f"{file}: no zip archive, or a truncated one ({_said(error)})") from error


def close_zip(archive: zipfile.ZipFile) -> None:
    """Close an archive and its file."""
    stream = archive.fp
    archive.close()  # leaves a file that it was given open
    if stream:
        stream.close()


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """Return the content of a member of at most `limit` bytes, checked by its CRC.

    Raises ReadError. Never unpacks more than that, whatever the archive declares.
    """
    if info.file_size > limit:
        raise ReadError(f"too large: {info.file_size:,} bytes declared, at most {limit:,} read")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # These unpack without a bound, a few kilobytes to gigabytes.
        raise ReadError(f"packed by method {info.compress_type}; pack it again with deflate")
    try:
        with archive.open(info) as stream:
            content = stream.read(info.file_size + 1)
    except Exception as error:
        raise ReadError(f"damaged in the archive: {_said(error)}") from error
    if len(content) != info.file_size:
        raise ReadError(f"damaged in the archive: {len(content)} of {info.file_size} bytes")
    return content


def read_npz(file: Path | str, names: Collection[str] | None = None) -> dict[str, Any]:
    """Return the arrays of an npz by name, or those of `names` that it holds.

    Arrays of Python objects are refused, nothing is ever unpickled. Raises ReadError, OSError.
    """
    archive = open_zip(file)
    try:
        arrays, left = {}, NPZ_BYTES
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or (names is not None and name not in names):
                continue
            try:
                content = read_member(archive, info, left)
                arrays[name] = _array(content)
            except ReadError as error:
                raise ReadError(f"{file}: {name}: {error}") from error
            left -= len(content)
        return arrays
    finally:
        close_zip(archive)


def _array(content: bytes):
    """Return the array of an .npy file's bytes, a copy that can be written to."""
    import numpy as np

    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        head = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_column, kind = head(stream)
        # Compared before anything of that size is made.
        at, size = stream.tell(), kind.itemsize * math.prod(shape)
        if kind.hasobject or not kind.itemsize or size != len(content) - at:
            raise ReadError(f"{len(content)} bytes are no array {shape} of {kind}")
        order = "F" if by_column else "C"
        return np.ndarray(shape, kind, content, at, order=order).copy(order=order)
    except Exception as error:
        raise ReadError(f"no array of numbers ({_said(error)})") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
