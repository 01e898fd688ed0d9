"""Emulated N-MNIST recordings as official files: the command `respike emulate-nmnist`.

tonic's NMNIST class opens what it writes, if there are 10,000 recordings or more; its reader of
single files (tonic.io.read_mnist_file) opens any.
"""

import gzip
import io
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from respike.data.emulator import camera, parameters
from respike.data.nmnist import official
from respike.data.nmnist.event_table import EventTable, Recordings
from respike.runs import foreign
from respike.runs.progress import Progress

DESCRIPTION = "Emulated N-MNIST recordings (respike.data.emulator.camera), not taken with a camera."


IDX_BYTES = 128 * 2**20  # MNIST's largest file has 47 MB


class InputError(ValueError):
    """A file or an option cannot be used; the message names it and what it must be."""


def read_idx(path: Path) -> np.ndarray:
    """Return the array of an IDX file of unsigned bytes (LeCun et al. 1998), gzip or not."""
    try:
        raw = foreign.read_bytes(path, IDX_BYTES)
        if raw[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
                raw = stream.read(IDX_BYTES + 1)
            if len(raw) > IDX_BYTES:
                raise InputError(f"{path}: unpacks to more than {IDX_BYTES:,} bytes")
    except (OSError, EOFError, zlib.error, foreign.ReadError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        raise InputError(f"{path}: not an IDX file of unsigned bytes (wrong head)")
    if raw[3] not in (1, 3):
        raise InputError(f"{path}: {raw[3]} axes; images have three, labels one")
    head = 4 + 4 * raw[3]
    shape = [int(n) for n in np.frombuffer(raw[4:head], ">u4")]
    if len(raw) - head != math.prod(shape):
        raise InputError(f"{path}: {len(raw) - head} bytes of data for the shape {shape}")
    if 0 in shape:
        raise InputError(f"{path}: nothing in it, the shape is {shape}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def read_indices(text: str, n: int) -> np.ndarray:
    """Return the indices that `first:end` or `first:end:step` takes of `n`, as Python slices."""
    try:
        parts = [int(part) if part else None for part in text.split(":")]
        if not 2 <= len(parts) <= 3 or any(part is not None and part < 0 for part in parts):
            raise ValueError
        chosen = np.arange(n)[slice(*parts)]
    except ValueError:
        raise InputError(f"--indices {text!r}: needed is FIRST:END, as 500:1000") from None
    if not len(chosen) or (parts[1] or 0) > n:
        raise InputError(f"--indices {text!r}: there are {n} images, numbered 0 to {n - 1}")
    return chosen


def write_recordings(
    images: np.ndarray,
    labels: np.ndarray,
    indices: np.ndarray,
    out: Path,
    seed: int = 0,
    split: str = "train",
    device: str = "cpu",
) -> None:
    """Write `out`/NMNIST/Train/<digit>/<index + 1>.bin (or Test) for the chosen images.

    images (n, 28, 28) uint8 and labels (n,) are the whole files, `indices` what to take of them.
    Raises TableError, and writes nothing, where a file of another content is there.
    """
    progress = Progress("emulate-nmnist")
    there = [
        i for i in indices if os.path.lexists(official.exported_file(out, split, labels[i], i))
    ]
    # Also with nothing there: a foreign archive beside them counts.
    for table, _ in _tables(images, labels, np.array(there or indices[:1]), seed, split, device):
        official.check_export(table, split, out)
    for table, done in _tables(images, labels, indices, seed, split, device):
        official.export(table, split, out, say=lambda line: None)
        progress("recording", done, len(indices))


def _tables(images, labels, indices, seed, split, device) -> Iterator[tuple[EventTable, int]]:
    """Yield the emulated recordings block by block, and how many they are by then."""
    p = parameters.load_parameters()
    for part, events, counts in camera.emulate_blocks(images[indices], indices, seed, p, device):
        offsets = np.concatenate(([0], np.cumsum(counts)))
        index = indices[part].astype(np.int32)
        block = Recordings(events, offsets, labels[indices][part], index, sha256="")
        yield EventTable("emulated", DESCRIPTION, {}, {split: block}), part.stop


def run(
    images: Path, labels: Path, out: Path, indices: str, seed: int, split: str, device: str
) -> None:
    """Write the recordings of some images of an IDX file, and say where they are.

    Parameters
    ----------
    images, labels
        IDX files.
    out, seed, split
        As `write_recordings` takes them.
    indices
        As `read_indices` takes them.
    device
        auto, cpu or cuda.

    Raises
    ------
    InputError, EmulatorError, TableError, files.WriteError
    """
    pixels, digits = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or pixels.shape[1:] != (28, 28):
        raise InputError(f"{images}: shape {pixels.shape}, needed is (n, 28, 28)")
    if digits.shape != (len(pixels),):
        raise InputError(f"{labels}: shape {digits.shape} for {len(pixels)} images")
    if len(digits) and digits.max() > 9:
        raise InputError(f"{labels}: label {digits.max()}, not 0 to 9")
    if seed < 0:
        raise InputError(f"--seed {seed}: must not be negative")
    from respike.runs.devices import device_name

    device = device_name(device)
    chosen = read_indices(indices, len(pixels))
    write_recordings(pixels, digits, chosen, out, seed, split, device)
    print(f"{len(chosen)} recordings in {out / 'NMNIST'}, {device}")
