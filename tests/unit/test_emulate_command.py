"""The command `respike emulate-nmnist`: files, names, what tonic reads, errors."""

import gzip

import numpy as np
import pytest
import tonic.io
from tonic.datasets import NMNIST

from respike.commands import cli
from respike.data.emulator import camera
from respike.data.nmnist import binary_format


@pytest.fixture
def idx(mnist_folder):
    """Return the options that name MNIST's training half."""
    half = mnist_folder / "train-{}-ubyte"
    return [
        "--images",
        str(half).format("images-idx3"),
        "--labels",
        str(half).format("labels-idx1"),
    ]


def run(*arguments):
    return cli.main(["emulate-nmnist", *map(str, arguments)])


def test_files_hold_the_recordings_of_their_images(idx, tmp_path, mnist_folder, capsys):
    assert run(*idx, "--indices", "500:503", "--seed", 4, "--out", tmp_path) == 0
    assert "3 recordings" in capsys.readouterr().out
    from respike.data import mnist

    data = mnist.load(mnist_folder)
    found = sorted((tmp_path / "NMNIST" / "Train").rglob("*.bin"))
    assert sorted(path.name for path in found) == ["00501.bin", "00502.bin", "00503.bin"]
    for path in found:
        index = int(path.stem) - 1
        assert path.parent.name == str(data.train_labels[index])
        expected, _ = camera.emulate(data.train_images[index : index + 1], [index], 4)
        assert np.array_equal(binary_format.decode(path.read_bytes(), path.name), expected)
        theirs = tonic.io.read_mnist_file(str(path), dtype=NMNIST.dtype)
        for name, field in zip("xytp", binary_format.unpack(expected), strict=True):
            assert np.array_equal(theirs[name], field)


def test_the_test_half_and_gzip(mnist_folder, tmp_path):
    images = tmp_path / "t10k-images-idx3-ubyte.gz"
    images.write_bytes(gzip.compress((mnist_folder / "t10k-images-idx3-ubyte").read_bytes(), 1))
    labels = mnist_folder / "t10k-labels-idx1-ubyte"
    out = tmp_path / "out"
    assert run("--images", images, "--labels", labels, "--indices", "0:2", "--split", "test",
               "--out", out) == 0  # fmt: skip
    assert len(list((out / "NMNIST" / "Test").rglob("*.bin"))) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--indices", "59990:60001"], "numbered 0 to 59999"),
        (["--indices", "5"], "FIRST:END"),
        (["--indices", "-3:5"], "FIRST:END"),
        (["--indices", "7:7"], "60000 images"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_wrong_options_are_named(idx, tmp_path, capsys, arguments, said):
    assert run(*idx, "=".join(arguments), "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_wrong_files_are_named(idx, tmp_path, capsys):
    short = tmp_path / "short"
    short.write_bytes(b"\x00\x00\x08\x03" + b"\x00\x00\x00\x05" * 3 + b"\x00")
    wrong = {
        tmp_path / "none": "cannot be read",
        short: "1 bytes of data",
        idx[3]: "needed is (n, 28, 28)",
        __file__: "not an IDX file",
    }
    for images, said in wrong.items():
        assert run("--images", images, *idx[2:], "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert said in error and str(images) in error
    assert run("--images", idx[1], "--labels", idx[1], "--out", tmp_path / "out") == 2
    assert "for 60000 images" in capsys.readouterr().err
