"""Recordings that the user gives: an edit in the folder counts, a time alone does not."""

import os

import pytest
from conftest import Tree

from respike.data.nmnist import binary_format

TABLE = "data/nmnist_real/manifest.json"
RAW = binary_format.encode(binary_format.pack([1, 2], [3, 4], [5, 6], [0, 1]))


@pytest.fixture
def tree(tmp_path):
    """Return a copy of the project with nothing made, and ten recordings in `rec`."""
    tree = Tree.of_checkout(tmp_path / "respike", without="reports/records")
    (tree / "rec/Train/7").mkdir(parents=True)
    for number in range(1, 11):
        (tree / f"rec/Train/7/{number:05}.bin").write_bytes(RAW)
    return tree


def test_an_edit_in_the_folder_of_recordings_makes_the_table_stale(tree):
    given = 'data={"nmnist": "local", "nmnist_real": "./rec/"}'

    def made(*arguments):
        command = ("snakemake", "--cores", 1, TABLE, *arguments, "--config", "scale=smoke", given)
        done = tree.run(*command)
        return "Nothing to be done" not in done.stdout + done.stderr  # -n writes to stdout

    assert made() and not made("-n")
    os.utime(tree / "rec")
    os.utime(tree / "rec/Train/7")
    assert not made("-n")
    (tree / "rec/Train/7/00010.bin").unlink()
    assert made("-n") and made() and not made("-n")
    assert '"recordings": 9' in (tree / TABLE).read_text()
    (tree / "rec/Train/7/00002.bin").write_bytes(RAW[5:] + b"\x05\x05\x00\x00\x07")
    assert made("-n")
