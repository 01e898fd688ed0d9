"""MNIST as numpy arrays, read from the four IDX files that respike.data.fetch leaves.

File format (LeCun et al. 1998, the data set's page): big-endian 32-bit numbers, first 0x0000 0800
plus the number of axes, then the length of each axis, then the bytes.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np


class DataError(Exception):
    """The data are missing or wrong; the message names the file and the cure."""


@dataclass(frozen=True)
class Mnist:
    """The data set; the official one has 60,000 training and 10,000 test images."""

    train_images: np.ndarray  # (n_train, 28, 28) uint8, 0 is background
    train_labels: np.ndarray  # (n_train,) int64, 0 to 9
    test_images: np.ndarray  # (n_test, 28, 28) uint8
    test_labels: np.ndarray  # (n_test,) int64
    sha256: dict[str, str]  # file name -> SHA-256 of its content
    kind: str  # "official", or what the manifest says


def load(folder: Path | str) -> Mnist:
    """Read the data from a folder, or from the folder of a manifest.json, and verify it.

    Raises
    ------
    DataError
        The manifest or a file is missing, or a file is not what the manifest says.
    """
    folder = Path(folder)
    if folder.name == "manifest.json":
        folder = folder.parent
    manifest = _manifest(folder)
    hashes: dict[str, str] = {}
    train = _split(folder, "train", manifest, hashes)
    test = _split(folder, "t10k", manifest, hashes)
    return Mnist(*train, *test, sha256=hashes, kind=manifest["kind"])


def _manifest(folder: Path) -> dict:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(spec["sha256"], str) for spec in manifest["files"].values()):
            raise ValueError
        manifest["kind"], manifest["dataset"]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. {_cure(folder)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). {_cure(folder)}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: not a manifest of a data set. {_cure(folder)}") from None
    if manifest["dataset"] != "mnist":
        raise DataError(f"{path}: holds {manifest['dataset']!r}, not 'mnist'. {_cure(folder)}")
    return manifest


def _split(folder: Path, prefix: str, manifest: dict, hashes: dict) -> tuple:
    """Return images (n, 28, 28) uint8 and labels (n,) int64 of one half of the data."""
    images_path = folder / f"{prefix}-images-idx3-ubyte"
    labels_path = folder / f"{prefix}-labels-idx1-ubyte"
    images = _read_idx(images_path, 3, manifest, hashes)
    labels = _read_idx(labels_path, 1, manifest, hashes)
    if images.shape[1:] != (28, 28):
        raise DataError(f"{images_path}: images of {images.shape[1:]}, not 28 x 28 pixels")
    if len(images) != len(labels):
        raise DataError(f"{labels_path}: {len(labels)} labels for {len(images)} images")
    if len(labels) and labels.max() > 9:
        raise DataError(f"{labels_path}: label {labels.max()}, not 0 to 9")
    return images, labels.astype(np.int64)


def _read_idx(path: Path, axes: int, manifest: dict, hashes: dict) -> np.ndarray:
    """Read one IDX file of unsigned bytes into a writable array; note its SHA-256 in `hashes`."""
    cure = _cure(path.parent)
    try:
        raw = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or 'cannot be read'}. {cure}") from None
    hashes[path.name] = hashlib.sha256(raw).hexdigest()
    expected = manifest["files"].get(path.name, {}).get("sha256")
    if hashes[path.name] != expected:
        raise DataError(f"{path}: its content is not the one of manifest.json. {cure}")
    header = 4 * (axes + 1)
    if raw.size < header:
        raise DataError(f"{path}: {raw.size} bytes are too few for an IDX file. {cure}")
    magic, *shape = (int(number) for number in raw[:header].view(">u4"))
    if magic != 0x0800 + axes:
        raise DataError(f"{path}: magic number {magic:#010x}, not {0x0800 + axes:#010x}. {cure}")
    if raw.size - header != math.prod(shape):
        raise DataError(f"{path}: {raw.size - header} bytes of data for the shape {shape}. {cure}")
    return raw[header:].reshape(shape)


def _cure(folder: Path) -> str:
    return f"Run: python -m respike.data.fetch mnist --out {folder}"
