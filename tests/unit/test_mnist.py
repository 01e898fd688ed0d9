"""The MNIST reader, on small files made here; the real ones in the network test."""

import hashlib
import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from respike.data import mnist

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def idx(array):
    """Return the IDX content of an array of unsigned bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def change(folder, name, content):
    """Write a file and make the manifest vouch for it."""
    (folder / name).write_bytes(content)
    path = folder / "manifest.json"
    manifest = {"dataset": "mnist", "kind": "synthetic", "files": {}}
    if path.exists():
        manifest = json.loads(path.read_text())
    digest = hashlib.sha256(content).hexdigest()
    manifest["files"][name] = {"sha256": digest, "bytes": len(content)}
    path.write_text(json.dumps(manifest))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return {
        half: (
            rng.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            rng.integers(0, 10, count, dtype=np.uint8),
        )
        for half, count in (("train", 6), ("test", 3))
    }


@pytest.fixture
def folder(tmp_path, data):
    for half, arrays in data.items():
        for name, array in zip(NAMES[half], arrays, strict=True):
            change(tmp_path, name, idx(array))
    return tmp_path


def test_load_gives_the_arrays_and_their_hashes(folder, data):
    loaded = mnist.load(folder)
    assert np.array_equal(loaded.train_images, data["train"][0])
    assert np.array_equal(loaded.train_labels, data["train"][1])
    assert np.array_equal(loaded.test_images, data["test"][0])
    assert np.array_equal(loaded.test_labels, data["test"][1])
    assert loaded.train_images.dtype == np.uint8 and loaded.train_labels.dtype == np.int64
    assert loaded.train_images.flags.writeable  # torch.from_numpy warns otherwise
    assert loaded.kind == "synthetic"
    assert set(loaded.sha256) == set(NAMES["train"]) | set(NAMES["test"])
    content = (folder / NAMES["test"][1]).read_bytes()
    assert loaded.sha256[NAMES["test"][1]] == hashlib.sha256(content).hexdigest()


def test_load_takes_the_manifest_that_a_rule_hands_over(folder):
    assert len(mnist.load(str(folder / "manifest.json")).test_labels) == 3


def problem(folder):
    """Return the one error of load, which must name the cure or the file."""
    with pytest.raises(mnist.DataError) as error:
        mnist.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_folder_at_all(tmp_path):
    message = problem(tmp_path / "mnist")
    assert "manifest.json: no such file" in message
    assert f"python -m respike.data.fetch mnist --out {tmp_path / 'mnist'}" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": {"x": 1}}', "\x00"])
def test_broken_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    assert "not a manifest" in problem(folder)


def test_manifest_of_another_data_set(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"dataset": "nmnist"}))
    assert "'nmnist', not 'mnist'" in problem(folder)


def test_file_missing(folder):
    (folder / NAMES["test"][0]).unlink()
    message = problem(folder)
    assert f"{NAMES['test'][0]}: No such file" in message and "Run: python" in message


def test_one_changed_bit_is_found(folder):
    path = folder / NAMES["train"][0]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    message = problem(folder)
    assert f"{path}: its content is not the one of manifest.json" in message


def test_file_that_the_manifest_does_not_know(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"][NAMES["train"][1]]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "not the one of manifest.json" in problem(folder)


@pytest.mark.parametrize(
    ("half", "axis", "content", "said"),
    [
        ("train", 0, b"\x00\x00\x08", "too few for an IDX file"),
        ("train", 0, b"\x1f\x8b" + bytes(30), "magic number 0x1f8b0000, not 0x00000803"),
        ("train", 1, idx(np.zeros((6, 28, 28), np.uint8)), "magic number"),
        ("train", 0, idx(np.zeros((6, 28, 28), np.uint8))[:-1], "4703 bytes of data for the shape"),
        ("train", 0, struct.pack(">4I", 0x803, *[2**32 - 1] * 3), "0 bytes of data for the shape"),
        ("train", 0, idx(np.zeros((6, 27, 28), np.uint8)), "not 28 x 28"),
        ("test", 1, idx(np.zeros(4, np.uint8)), "4 labels for 3 images"),
        ("test", 1, idx(np.array([1, 2, 10], np.uint8)), "label 10, not 0 to 9"),
    ],
)
def test_content_that_is_no_mnist(folder, half, axis, content, said):
    name = NAMES[half][axis]
    change(folder, name, content)
    message = problem(folder)
    assert name in message and said in message


def test_import_is_light():
    code = (
        "import sys, respike.data.mnist; "
        "print(sorted({'torch', 'torchvision', 'pooch', 'yaml', 'respike.data.fetch'}"
        " & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
