"""Locks of a killed run are stale, those of a living one are not."""

import os
import signal
import subprocess
import sys
import time

import pytest

HOLD = (
    "import sys, time; from respike import run_lock;print(run_lock.hold(sys.argv[1]), flush=True)"
)
NOTHING, ONE, TWO = "", *(f"an earlier run was killed: {n} locks removed" for n in (1, 2))
OTHER = "another run is at work in this folder"


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
    return process, process.stdout.readline().rstrip("\n")


def test_locks_go_when_their_run_was_killed_and_stay_while_one_lives(folder):
    first, removed = start(folder, "import time; time.sleep(60)")
    assert removed == TWO  # nobody held the folder: left by a killed run
    (folder / "locks" / "0.output.lock").write_text("results/b\n")  # the lock of the first run
    second, said = start(folder, "print(run_lock.was_alone, flush=True); time.sleep(60)")
    assert said.startswith(OTHER) and second.stdout.readline() == "False\n"
    assert (folder / "locks" / "0.output.lock").exists()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    _, said = start(folder, "pass")  # the second lives still
    assert said.startswith(OTHER) and (folder / "locks" / "0.output.lock").exists()
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    _, removed = start(folder, "pass")
    assert removed == ONE
    assert not list((folder / "locks").iterdir())


def test_a_job_that_outlives_its_run_is_ended_by_the_next_and_no_other_process_is(folder):
    run, _ = start(
        folder,
        "import os, subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True);"
        "env = {**os.environ, 'SLURM_JOB_ID': '62'};"
        "print(subprocess.Popen(['sleep', '60'], env=env).pid, flush=True); time.sleep(60)",
    )
    job, of_slurm = (int(run.stdout.readline()) for _ in range(2))
    stranger = subprocess.Popen(["sleep", "60"])
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert alive(job)
    (folder / "locks" / "0.output.lock").write_text("results/b\n")
    _, removed = start(folder, "pass")
    assert removed == f"{ONE}, 1 processes of its jobs ended"
    assert not alive(job) and stranger.poll() is None
    os.kill(of_slurm, signal.SIGKILL)  # it lived on: Slurm's jobs are cancelled, not killed
    stranger.kill()


def test_after_a_run_that_ended_by_itself_nothing_is_cleared_up(folder):
    start(folder, "pass")[0].wait()
    child = subprocess.Popen(["sleep", "60"], env={**os.environ, "RESPIKE_RUN": "mine"})
    _, removed = start(folder, "pass")
    assert removed == NOTHING and child.poll() is None
    child.kill()


def alive(pid):
    for _ in range(50):  # killed is not yet gone
        try:
            if os.path.exists(f"/proc/{pid}") and " Z " not in open(f"/proc/{pid}/stat").read():
                time.sleep(0.02)
                continue
        except OSError:
            pass
        return False
    return True


def test_a_folder_that_cannot_be_made_is_left_to_snakemake(tmp_path):
    (tmp_path / "file").write_text("")
    _, removed = start(tmp_path / "file" / "folder", "pass")
    assert removed == NOTHING
