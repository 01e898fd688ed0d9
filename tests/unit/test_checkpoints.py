"""Parts of a long job: found again, refused when damaged or made from something else."""

import json
import os

import numpy as np
import pytest

from respike.runs.checkpoints import Kept


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "parts", {"code": "a"})


def test_a_part_is_found_again_by_another_process(kept):
    assert kept.get("cell 1") is None
    kept.put("cell 1", {"accuracy": np.float64(0.5), "curve": [0.1, 0.5]})
    again = Kept(kept.folder, {"code": "a"})
    assert again.get("cell 1") == {"accuracy": 0.5, "curve": [0.1, 0.5]}
    assert again.get("cell 2") is None


def test_a_part_made_from_other_code_is_not_taken(kept):
    kept.put("cell 1", 1)
    assert Kept(kept.folder, {"code": "b"}).get("cell 1") is None


@pytest.mark.parametrize("damage", ["truncated", "edited", "emptied"])
def test_a_damaged_part_is_made_anew(kept, damage):
    kept.put("cell 1", {"accuracy": 0.5})
    (file,) = kept.folder.iterdir()
    text = file.read_text()
    content = json.loads(text)
    content["value"]["accuracy"] = 0.9
    file.write_text({"truncated": text[:-20], "edited": json.dumps(content), "emptied": ""}[damage])
    assert kept.get("cell 1") is None


def test_arrays_are_kept_and_dropped(kept):
    kept.put_arrays("state", {"0_m": np.arange(3.0)})
    assert np.array_equal(kept.get_arrays("state")["0_m"], np.arange(3.0))
    (file,) = kept.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-30])
    assert kept.get_arrays("state") is None
    kept.drop_arrays("state")
    kept.drop_arrays("state")
    assert list(kept.folder.iterdir()) == []


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_a_file_of_another_part_under_this_ones_name_is_not_taken(kept, ending):
    """A careless copy, or a file renamed by hand."""
    other = Kept(kept.folder, {"code": "b"})
    for each in (kept, other):
        each.put("cell 1", 1)
        each.put_arrays("cell 1", {"a": np.arange(3)})
    assert kept.get("cell 1") == 1 and kept.get_arrays("cell 1")["a"].size == 3
    os.replace(other._file("cell 1", ending), kept._file("cell 1", ending))
    assert (kept.get("cell 1") if ending == ".json" else kept.get_arrays("cell 1")) is None
