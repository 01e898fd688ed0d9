"""What a killed run left is cleared up; nothing of a run that lives, or may live, is touched."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import machine
import pytest

from respike.workflow import limits, run_lock

# Takes its place in the folder, says what there is to say, starts a job, and works.
RUN = """
import os, subprocess, sys, time
from respike.workflow import run_lock
said, _ = run_lock.hold(".")
job = subprocess.Popen(["sleep", "60"]).pid if "job" in sys.argv else 0
print(job, said.replace(chr(10), " | "), flush=True)
if "ends" not in sys.argv:
    time.sleep(60)
"""
LOCKS = ("0.input.lock", "0.output.lock")
REMOVED = "an earlier run was killed: 2 locks removed"
OTHER, PERHAPS = "another run is at work in this folder", "a run may be at work in this folder"


class Folder:
    """A folder in which runs are started; all of them end with the test."""

    def __init__(self, root):
        self.root, self.started = root, []
        root.mkdir(exist_ok=True)

    def lock(self):
        """Write the locks that Snakemake writes."""
        (self.root / run_lock.LOCKS).mkdir(parents=True, exist_ok=True)
        for name in LOCKS:
            (self.root / run_lock.LOCKS / name).write_text("results/a\n")

    def locks(self):
        return len(list((self.root / run_lock.LOCKS).glob("*")))

    def start(self, *how, before=(), env=None):
        """Return a run that was started, its job, and what it said."""
        run = subprocess.Popen(
            [*before, sys.executable, "-c", RUN, *how], cwd=self.root, stdout=subprocess.PIPE,
            text=True, env={**os.environ, **(env or {})},
        )  # fmt: skip
        job, _, said = run.stdout.readline().rstrip("\n").partition(" ")
        self.started += [run.pid, int(job)]
        return run, int(job), said

    def said(self, **options):
        """Return what a run says that ends at once."""
        run, _, said = self.start("ends", **options)
        assert run.wait() == 0
        return said


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "folder")
    yield folder
    for pid in filter(None, folder.started):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill(run):
    run.kill()
    run.wait()


def test_locks_go_when_their_run_was_killed_and_stay_while_one_lives(folder):
    first, _, said = folder.start()
    assert said == ""
    folder.lock()
    second, _, said = folder.start()
    assert said.startswith(OTHER) and f"process {first.pid} " in said and folder.locks() == 2
    assert run_lock.living(folder.root) == {first.pid, second.pid}
    kill(first)
    assert folder.said().startswith(OTHER) and folder.locks() == 2  # the second lives still
    kill(second)
    assert folder.said() == REMOVED and folder.locks() == 0
    assert folder.said() == "" and len(run_lock.runs(folder.root)) == 1
    assert run_lock.living(folder.root) == set()


def test_locks_of_nobody_on_record_are_left_to_the_user(folder):
    folder.lock()
    assert folder.said() == "" and folder.locks() == 2


def test_a_stopped_run_lives(folder):
    run, job, _ = folder.start("job")
    folder.lock()
    run.send_signal(signal.SIGSTOP)
    assert folder.said().startswith(OTHER)
    assert folder.locks() == 2 and machine.alive(job, 0.2)


def test_a_job_that_outlives_its_run_is_ended_and_no_other_process_is(folder, tmp_path):
    run, job, _ = folder.start("job")
    mark = {**os.environ, run_lock.MARK: run_lock.runs(folder.root)[0].mark}
    others = [
        subprocess.Popen(["sleep", "60"], cwd=cwd, env=env)
        for cwd, env in (
            (folder.root, os.environ),
            (tmp_path, mark),  # it went elsewhere
            (folder.root, {**mark, "SLURM_JOB_ID": "62"}),  # Slurm's jobs are cancelled, not killed
        )
    ]
    kill(run)
    assert machine.alive(job, 0.2)
    folder.lock()
    assert folder.said() == f"{REMOVED}, 1 processes of its jobs ended"
    assert not machine.alive(job) and [other.poll() for other in others] == [None] * 3
    for other in others:
        other.kill()


@pytest.mark.parametrize("killed", [False, True])
def test_a_copy_of_the_folder_of_a_run_is_a_folder_of_its_own(folder, tmp_path, killed):
    run, job, _ = folder.start("job")
    folder.lock()
    copy = Folder(tmp_path / "copy")
    shutil.copytree(folder.root, copy.root, dirs_exist_ok=True)
    if killed:
        kill(run)
    assert copy.said() == REMOVED and copy.locks() == 0
    assert machine.alive(job, 0.2) and (killed or run.poll() is None) and folder.locks() == 2
    assert folder.said().startswith(REMOVED if killed else OTHER)
    assert machine.alive(job, 0.2) != killed


def test_a_run_lives_on_when_its_folder_is_moved(folder, tmp_path):
    folder.start("job")
    folder.lock()
    folder.root = folder.root.rename(tmp_path / "moved")
    assert folder.said().startswith(OTHER) and folder.locks() == 2
    # And a copy in its old place is a copy.
    copy = Folder(tmp_path / "folder")
    shutil.copytree(folder.root, copy.root, dirs_exist_ok=True)
    assert copy.said() == REMOVED and folder.locks() == 2


@pytest.mark.parametrize("flock", machine.FLOCK)
def test_two_nodes_without_common_locks_leave_each_other_alone(folder, flock):
    env, node = machine.flock_that_is(flock), machine.other_node()
    there, _, _ = folder.start("job", before=node, env=env)
    here, job, said = folder.start("job", env=env)
    assert said.startswith(PERHAPS)
    folder.lock()
    assert folder.said(before=node, env=env).count(PERHAPS) == 2  # that is a third node
    kill(here)
    there.kill()
    there.wait()
    # The one here is known to be dead, of the one there nothing is known: the locks may be its.
    said = folder.said(env=env)
    assert said.startswith(PERHAPS) and said.endswith("killed: 1 processes of its jobs ended")
    assert folder.locks() == 2 and not machine.alive(job)
    run_lock.give_up(folder.root)  # snakemake --unlock
    assert folder.said(env=env) == REMOVED


@pytest.mark.parametrize("flock", machine.FLOCK)
def test_one_machine_needs_no_flock(folder, flock):
    env = machine.flock_that_is(flock)
    run, job, _ = folder.start("job", env=env)
    folder.lock()
    assert folder.said(env=env).startswith(OTHER) and machine.alive(job, 0.2)
    kill(run)
    assert folder.said(env=env) == f"{REMOVED}, 1 processes of its jobs ended"


def test_nobody_is_called_dead_where_proc_shows_other_processes(folder, monkeypatch):
    before = (*machine.other_node()[:-1],)  # /proc stays that of this machine
    run, job, _ = folder.start("job")
    folder.lock()
    assert folder.said(before=before).startswith(PERHAPS)
    kill(run)
    assert folder.said(before=before).startswith(PERHAPS) and machine.alive(job, 0.2)


def test_a_run_is_told_from_another_process_of_its_number(folder):
    run, _, _ = folder.start()
    mine = run_lock.runs(folder.root)[0]
    assert run_lock.state(mine, folder.root) == run_lock.ALIVE
    assert (
        run_lock.state(dataclasses.replace(mine, started=mine.started - 1), folder.root) == "dead"
    )


MACHINE = run_lock.Host("here", "m1", "b1", "pid:[1]")


@pytest.mark.parametrize(
    "host, file_system, found",
    [
        (dataclasses.replace(MACHINE, boot="b2"), "ext4", "dead"),  # started anew
        (dataclasses.replace(MACHINE, boot="b2"), "nfs4", "unknown"),  # or its disk was copied
        (dataclasses.replace(MACHINE, boot="b2"), "", "unknown"),
        (dataclasses.replace(MACHINE, boot="b2", name="there"), "ext4", "unknown"),
        (dataclasses.replace(MACHINE, boot="b2", machine="m2"), "ext4", "unknown"),
        (dataclasses.replace(MACHINE, boot="b2", namespace="pid:[2]"), "ext4", "unknown"),
        (dataclasses.replace(MACHINE, boot=""), "ext4", "unknown"),
        (dataclasses.replace(MACHINE, namespace="pid:[2]"), "ext4", "unknown"),
        (dataclasses.replace(MACHINE, name="renamed"), "nfs4", "dead"),  # same boot: process gone
    ],
)
def test_only_what_this_kernel_knows_is_called_dead(
    tmp_path, monkeypatch, host, file_system, found
):
    run = run_lock.Run("a", host, 2**30, 1, os.getuid(), str(tmp_path), 1, "today")
    monkeypatch.setattr(run_lock, "here", lambda: MACHINE)
    mount = limits.Mount("/", "/", file_system, [])
    monkeypatch.setattr(limits, "mounts", lambda: [mount] if file_system else [])
    assert run_lock.state(run, tmp_path) == found
    for unknown in (dataclasses.replace(MACHINE, boot=""),
                    dataclasses.replace(MACHINE, namespace="")):  # fmt: skip
        monkeypatch.setattr(run_lock, "here", lambda unknown=unknown: unknown)
        assert run_lock.state(run, tmp_path) == "unknown"
        assert run_lock.state(dataclasses.replace(run, ended=True), tmp_path) == "dead"


def test_a_process_of_another_user_that_proc_hides_lives(folder, monkeypatch):
    run, _, _ = folder.start()
    record = run_lock.runs(folder.root)[0]

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(run_lock.os, "kill", refused)
    monkeypatch.setattr(run_lock, "works_in", refused)
    assert run_lock.state(record, folder.root) == "alive"
    elsewhere = dataclasses.replace(record, folder="/elsewhere")
    assert run_lock.state(elsewhere, folder.root) == "alive"  # a mount of another name
    assert run_lock.state(dataclasses.replace(elsewhere, inode=1), folder.root) == "copied"
    monkeypatch.setattr(run_lock, "_stat", refused)  # hidepid
    assert run_lock.state(record, folder.root) == "alive"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"mark": 1}'])
def test_a_record_that_cannot_be_read_may_be_of_a_living_run(folder, content):
    run, _, _ = folder.start()
    folder.lock()
    kill(run)
    record = next((folder.root / run_lock.RECORDS).glob("*.json"))
    record.write_text(content)
    assert folder.said().startswith(f"{PERHAPS} (process 0 on an unknown machine")
    assert folder.locks() == 2
    run_lock.give_up(folder.root)
    assert folder.said() == REMOVED


def test_the_user_cannot_give_up_a_run_that_lives(folder):
    run, _, _ = folder.start()
    with pytest.raises(RuntimeError, match=f"keeps its locks: process {run.pid} on "):
        run_lock.give_up(folder.root)


def test_a_run_that_cannot_put_itself_on_record_touches_nothing(folder):
    run, job, _ = folder.start("job")
    folder.lock()
    kill(run)
    records = folder.root / run_lock.RECORDS
    records.rename(records.with_name("kept"))
    records.write_text("")
    assert "a file stands where a folder is needed" in folder.said()
    assert folder.locks() == 2 and machine.alive(job, 0.2)


def test_what_this_user_may_not_remove_stays_and_is_not_counted(folder, monkeypatch):
    run, _, _ = folder.start()
    folder.lock()
    kill(run)

    def refused(self, missing_ok=False):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        patch.setenv(run_lock.MARK, "")
        assert run_lock.hold(folder.root) == ("", [])
    assert folder.locks() == 2


def test_names_of_slurm_jobs_carry_the_mark(folder):
    assert run_lock.job_prefix("respike", "0123456789abcdef") == "respike_0123456789abcdef"
    assert run_lock.job_prefix("", "0123456789abcdef") == "0123456789abcdef"
    assert len(run_lock.job_prefix("x" * 50, "0123456789abcdef")) == 50


def test_the_file_system_of_a_path(monkeypatch, tmp_path):
    table = [limits.Mount("/", place, kind, []) for place, kind in (
        ("/", "ext4"), (str(tmp_path.parent), "nfs4"), (str(tmp_path), "ext4"),
        (str(tmp_path), "lustre"), (f"{tmp_path}x", "xfs"))]  # fmt: skip
    monkeypatch.setattr(limits, "mounts", lambda: table)
    (tmp_path / "link").symlink_to("/")
    assert run_lock.file_system(tmp_path / "a") == "lustre"
    assert run_lock.file_system(tmp_path / "link") == "ext4"
    assert run_lock.file_system(Path("/")) == "ext4"
