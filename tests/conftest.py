"""Data that tests of several folders share."""

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def mnist_folder():
    """Return the folder of the real MNIST; it is fetched if the checkout has none yet."""
    folder = ROOT / "data" / "mnist"
    if not (folder / "manifest.json").exists():
        subprocess.run(
            [sys.executable, "-m", "respike.data.fetch", "mnist", "--out", folder], check=True
        )
    return folder


@pytest.fixture(scope="session")
def small_mnist_folder(tmp_path_factory):
    """Return a folder in the format of MNIST: 80 training and 40 test images made of two bars."""
    folder = tmp_path_factory.mktemp("small_mnist")
    rng = np.random.default_rng(0)
    manifest = {"dataset": "mnist", "kind": "synthetic", "files": {}}
    for half, count in (("train", 80), ("t10k", 40)):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 3 : 2 * label + 6, 5:23] = rng.integers(150, 256, (3, 18))
            image[5:23, 24 - label : 26 - label] = 255
        for name, array in ((f"{half}-images-idx3", images), (f"{half}-labels-idx1", labels)):
            head = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
            content = head + array.tobytes()
            (folder / f"{name}-ubyte").write_bytes(content)
            manifest["files"][f"{name}-ubyte"] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
            }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def threads():
    """Return a function that sets the threads of numba and torch; both are put back at the end."""
    import numba
    import torch

    before = numba.get_num_threads(), torch.get_num_threads()

    def set_threads(n):
        if n > numba.config.NUMBA_NUM_THREADS:
            pytest.skip(f"needs {n} cores, numba has {numba.config.NUMBA_NUM_THREADS}")
        numba.set_num_threads(n)
        torch.set_num_threads(n)

    yield set_threads
    numba.set_num_threads(before[0])
    torch.set_num_threads(before[1])
