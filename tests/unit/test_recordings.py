"""The table of recordings in use: emulated, given, or emulated because nothing else is there."""

import json

import numpy as np
import pytest

from respike.data.emulator import camera
from respike.data.nmnist import event_table, recordings


def table(folder, sizes, kind="local"):
    """Write a table of made-up recordings; `sizes` says how many per split."""
    rng = np.random.default_rng(1)
    with event_table.TableWriter(folder, kind, "Made-up recordings.", {}) as writer:
        for split, n in sizes.items():
            counts = rng.integers(5, 30, n)
            events = np.concatenate(
                [np.sort(rng.integers(0, 3 * 10**5, c)) << 13 | 5 << 6 | 7 for c in counts]
            ).astype(np.uint32)
            writer.add(split, events, counts, np.arange(n) % 10, np.arange(n))
    return folder


def run(*arguments):
    return recordings.main([str(a) for a in arguments])


def test_emulated_recordings_are_those_of_the_emulator(tmp_path, mnist_folder):
    manifest = mnist_folder / "manifest.json"
    out = tmp_path / "nmnist"
    assert run("--out", out, "--mnist", manifest, "--numbers", "[5, 3]", "--device", "cpu") == 0
    found = event_table.load(out, verify=True)
    assert found.kind == "emulated" and "no camera" in found.description
    assert [len(found.splits[s]) for s in ("train", "test")] == [5, 3]
    from respike.data import mnist

    data = mnist.load(mnist_folder)
    expected, counts = camera.emulate(data.test_images[:3], np.arange(3))
    assert np.array_equal(found.splits["test"].events, expected)
    assert np.array_equal(np.diff(found.splits["test"].offsets), counts)
    assert np.array_equal(found.splits["test"].labels, data.test_labels[:3])
    content = json.loads((out / "manifest.json").read_text())["source"]
    assert set(content) == {"seed", "device", "parameters_sha256", "mnist_sha256"}


def test_a_whole_table_is_used_as_it_is(tmp_path, mnist_folder):
    given = table(tmp_path / "given", {"train": 20, "test": 10}, "official")
    out = tmp_path / "nmnist"
    for _ in range(2):  # the second time over what is there
        assert run("--out", out, "--mnist", mnist_folder / "manifest.json",
                   "--given", given / "manifest.json") == 0  # fmt: skip
    found = event_table.load(out, verify=True)
    assert found.kind == "official"
    assert (out / "train_events.npy").samefile(given / "train_events.npy"), "not copied"


def test_without_a_test_half_the_last_fifth_becomes_one(tmp_path, mnist_folder):
    given = table(tmp_path / "given", {"train": 21})
    out = tmp_path / "nmnist"
    assert run("--out", out, "--mnist", mnist_folder / "manifest.json",
               "--given", given / "manifest.json") == 0  # fmt: skip
    found, source = event_table.load(out), event_table.load(given).splits["train"]
    assert found.kind == "local" and "last 4 serve as test" in found.description
    assert found.splits["train"].index.tolist() == list(range(17))
    assert found.splits["test"].index.tolist() == list(range(17, 21))
    assert np.array_equal(found.splits["test"].recording(0), source.recording(17))


def test_where_the_official_ones_cannot_be_had_they_are_emulated(tmp_path, mnist_folder, capsys):
    event_table.write_unreachable(tmp_path / "official", "no connection: refused")
    manifest = tmp_path / "official" / "manifest.json"
    assert event_table.is_unreachable(manifest)
    with pytest.raises(event_table.TableError):
        event_table.load(manifest)
    assert run("--out", tmp_path / "nmnist", "--mnist", mnist_folder / "manifest.json",
               "--given", manifest, "--numbers", "[2, 1]", "--device", "cpu") == 0  # fmt: skip
    assert "emulated" in capsys.readouterr().out
    assert event_table.load(tmp_path / "nmnist").kind == "emulated"


def test_a_missing_input_is_one_clear_line(tmp_path, mnist_folder, capsys):
    assert run("--out", tmp_path / "a", "--mnist", tmp_path / "manifest.json") == 1
    assert capsys.readouterr().err.startswith("nmnist: error: ")
    assert run("--out", tmp_path / "b", "--mnist", mnist_folder / "manifest.json",
               "--given", tmp_path / "none" / "manifest.json") == 1  # fmt: skip
    error = capsys.readouterr().err
    assert "no such file" in error and error.count("\n") == 1
    assert not (tmp_path / "a" / "manifest.json").exists()
