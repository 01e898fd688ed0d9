"""Locks of a killed run are stale, those of a living one are not."""

import os
import signal
import subprocess
import sys

import pytest

HOLD = "import sys; from respike import run_lock; print(run_lock.hold(sys.argv[1]), flush=True)"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the locks of a run."""
    for name in ("0.input.lock", "0.output.lock"):
        (tmp_path / "locks").mkdir(exist_ok=True)
        (tmp_path / "locks" / name).write_text("results/a\n")
    return tmp_path


def start(folder, then):
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HOLD}; {then}", folder], stdout=subprocess.PIPE, text=True
    )
    return process, int(process.stdout.readline())


def test_locks_go_when_their_run_was_killed_and_stay_while_one_lives(folder):
    first, removed = start(folder, "import time; time.sleep(60)")
    assert removed == 2  # nobody held the folder: left by a killed run
    (folder / "locks" / "0.output.lock").write_text("results/b\n")  # the lock of the first run
    _, removed = start(folder, "pass")
    assert removed == 0
    assert (folder / "locks" / "0.output.lock").exists()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    _, removed = start(folder, "pass")
    assert removed == 1
    assert not list((folder / "locks").iterdir())


def test_a_job_that_outlives_a_killed_run_does_not_hold_its_lock(folder):
    run, _ = start(
        folder, "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    )
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    (folder / "locks" / "0.output.lock").write_text("results/b\n")
    _, removed = start(folder, "pass")
    assert removed == 1


def test_a_folder_that_cannot_be_made_is_left_to_snakemake(tmp_path):
    (tmp_path / "file").write_text("")
    _, removed = start(tmp_path / "file" / "folder", "pass")
    assert removed == 0
