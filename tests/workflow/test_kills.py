"""Runs that end in other ways than test_recovery.py tries, on a workflow of four small jobs.

Real Snakemake with the start-up of the project. A minute of computing time in all.
"""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import machine
import pytest

from respike.workflow import run_lock

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SNAKEFILE = """
from respike.workflow import startup

config = {"scale": "smoke", "device": "cpu", "data": {"folder": "data"}}
startup.prepare(workflow, config)

rule all:
    input: expand("made/{n}", n=range(4))

rule job:
    input: lambda wildcards: [] if wildcards.n == "0" else "made/0"
    output: "made/{n}"
    resources: gpu=0
    shell: "echo $$ >> begun; sh job.sh {wildcards.n} && echo {wildcards.n} > {output}"
"""
# Waits for a file `enough` where there was one called `slow`, takes too much memory where there is
# one called `greedy`.
JOB = """
if test -e greedy && test $1 = 2; then
    ulimit -v 500000
    exec python -c "import ctypes, os, signal
try: bytearray(10**9)
except MemoryError: os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does"
fi
if test -e slow && test $1 != 0; then
    for _ in $(seq 600); do test -e enough || sleep 0.1; done
fi
"""
COMMAND = ("snakemake", "--cores", "2", "--scheduler", "greedy", "--keep-going",
           "--rerun-incomplete")  # fmt: skip
ENV = {
    **os.environ, "PYTHONPATH": str(ROOT / "src"),
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}  # fmt: skip


class Toy:
    """The workflow in a folder; what it started ends with the test."""

    def __init__(self, root):
        self.root, self.started = root, []

    def start(self, *arguments, before=(), env=None, **options):
        """Start the run in a process group of its own."""
        run = subprocess.Popen(
            [*before, *COMMAND, *arguments], cwd=self.root, env={**ENV, **(env or {})},
            **({"stdout": open(self.root / "said", "w"), "stderr": subprocess.STDOUT,
               "start_new_session": True} | options),
        )  # fmt: skip
        self.started.append(run.pid)
        return run

    def slow(self, **options):
        """Start a run whose jobs take long; return it when the first is done and the rest work."""
        (self.root / "slow").touch()
        run = self.start(**options)
        until = time.monotonic() + 60
        while len(self.jobs()) < 3 or not (self.root / "made/0").exists():
            assert run.poll() is None and time.monotonic() < until, self.said()
            time.sleep(0.05)
        return run

    def said(self):
        return (self.root / "said").read_text()

    def jobs(self):
        """Return the shells of all jobs that were begun."""
        begun = self.root / "begun"
        return [int(line) for line in begun.read_text().split()] if begun.exists() else []

    def goes_on(self, again=3, **options):
        """The same command makes what is missing, nothing else; nothing of the dead run lives."""
        before, made = self.jobs(), (self.root / "made/0").stat().st_mtime_ns
        for name in ("slow", "greedy"):
            (self.root / name).unlink(missing_ok=True)
        assert self.start(**options).wait(60) == 0, self.said()
        assert [(self.root / f"made/{n}").read_text() for n in range(4)] == [
            "0\n",
            "1\n",
            "2\n",
            "3\n",
        ]
        assert (self.root / "made/0").stat().st_mtime_ns == made
        assert len(self.jobs()) == len(before) + again
        assert not [job for job in before if machine.alive(job, 0.1)]
        assert not list((self.root / run_lock.LOCKS).glob("*"))

    def tidy(self):
        for pid in self.started:
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        for job in self.jobs():
            if machine.alive(job, 0.05):
                os.kill(job, signal.SIGKILL)


@pytest.fixture
def toy(tmp_path):
    root = tmp_path / "toy"
    root.mkdir()
    (root / "Snakefile").write_text(SNAKEFILE)
    (root / "job.sh").write_text(JOB)
    toy = Toy(root)
    yield toy
    toy.tidy()


def test_sigterm_lets_running_jobs_end_and_the_same_command_goes_on(toy):
    run = toy.slow()
    run.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    running = toy.jobs()[1:]
    assert run.poll() is None and all(machine.alive(job, 0.05) for job in running)
    (toy.root / "enough").touch()
    assert run.wait(60) != 0
    assert len(toy.jobs()) == 3 and len(list((toy.root / "made").iterdir())) == 3, toy.said()
    toy.goes_on(again=1)


def test_sigkill_of_snakemake_alone(toy):
    run = toy.slow()
    run.kill()
    run.wait()
    assert all(machine.alive(job, 0.05) for job in toy.jobs()[1:])
    toy.goes_on()
    assert "an earlier run was killed:" in toy.said() and "of its jobs ended" in toy.said()


def test_the_hangup_of_a_closed_terminal(toy):
    ours, theirs = pty.openpty()
    run = toy.slow(
        before=("setsid", "--ctty", "--wait"), stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=False,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)  # the window is gone
    assert run.wait(60) != 0
    toy.goes_on()


def test_a_stopped_run_is_left_alone_and_goes_on(toy):
    first = toy.slow()
    os.killpg(first.pid, signal.SIGSTOP)
    jobs = toy.jobs()[1:]
    second = subprocess.run(
        COMMAND, cwd=toy.root, env=ENV, capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 1 and "Directory cannot be locked" in second.stderr
    assert f"another run is at work in this folder (process {first.pid} on " in second.stderr
    assert all(machine.alive(job, 0.05) for job in jobs) and toy.jobs()[1:] == jobs
    unlock = subprocess.run(
        [*COMMAND, "--unlock"], cwd=toy.root, env=ENV, capture_output=True, text=True, timeout=60
    )
    assert unlock.returncode == 1 and "keeps its locks" in unlock.stderr
    assert len(list((toy.root / run_lock.LOCKS).glob("*"))) == 2
    (toy.root / "enough").touch()
    os.killpg(first.pid, signal.SIGCONT)
    assert first.wait(60) == 0, toy.said()
    toy.goes_on(again=0)


def test_a_job_that_the_kernel_kills_for_its_memory(toy):
    (toy.root / "greedy").touch()
    assert toy.start().wait(60) == 1
    made = sorted(file.name for file in (toy.root / "made").iterdir())
    assert made == ["0", "1", "3"], toy.said()
    toy.goes_on(again=1)


def kept(toy):
    """Return the locks and the records of a folder, with their times."""
    places = (toy.root / run_lock.LOCKS, toy.root / run_lock.RECORDS)
    return {file: file.stat().st_mtime_ns for place in places for file in place.iterdir()}


def test_who_only_looks_touches_nothing(toy):
    run = toy.slow()
    run.kill()
    run.wait()
    before = kept(toy)
    for look in ("--dry-run", "--summary"):
        subprocess.run([*COMMAND, look], cwd=toy.root, env=ENV, capture_output=True, check=True)
    assert kept(toy) == before and any("locks" in file.parts for file in before)
    assert all(machine.alive(job, 0.05) for job in toy.jobs()[1:])
    toy.goes_on()


def test_a_run_in_a_copy_of_the_folder_leaves_the_original_alone(toy):
    run = toy.slow()
    copy = Toy(toy.root.with_name("copy"))
    shutil.copytree(toy.root, copy.root)
    (copy.root / "slow").unlink()
    assert copy.start().wait(60) == 0, copy.said()
    assert run.poll() is None and all(machine.alive(job, 0.05) for job in toy.jobs()[1:])
    assert list((toy.root / run_lock.LOCKS).glob("*"))


# Answers as Slurm does: a queue in a file, jobs that never start.
SLURM = {
    "sbatch": 'echo "$@" >> asked; name=$(echo "$@" | sed "s/.*--job-name \\([^ ]*\\).*/\\1/");'
    ' n=$(wc -l < asked); echo "$n|$name|$PWD" >> queue; echo $n',
    "squeue": 'case "$*" in *%Z*) cat queue;; *) while IFS="|" read n _; do echo "$n|PENDING";'
    " done < queue;; esac",
    "scancel": 'for id; do sed -i "/^$id|/d" queue; done; echo $@ >> cancelled',
    "scontrol": "echo MinJobAge = 300 sec",
    **dict.fromkeys(("sacct", "sacctmgr", "sinfo"), "true"),
}


@pytest.fixture
def slurm(toy, tmp_path):
    """Return how to start a run for a made-up Slurm; its files lie beside the toy's."""
    for name, text in SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\ncd {toy.root}; touch queue\n{text}\n")
        (tmp_path / name).chmod(0o755)
    arguments = ("--executor", "slurm", "--jobs", "2", "--slurm-jobname-prefix", "respike",
                 "--slurm-init-seconds-before-status-checks", "1",
                 "--slurm-status-command", "squeue")  # fmt: skip
    env = {"PATH": f"{tmp_path}{os.pathsep}{ENV['PATH']}"}

    def start(**options):
        """Return a run when its first job is in the queue, or when it has ended."""
        before = set(queue(toy))
        run = toy.start(*arguments, env=env, **options)
        until = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < until and before >= set(queue(toy)):
            time.sleep(0.1)
        return run

    return start


def queue(toy):
    file = toy.root / "queue"
    return file.read_text().splitlines() if file.exists() else []


def test_slurm_jobs_are_cancelled_by_the_next_run_when_theirs_is_known_to_be_dead(toy, slurm):
    first = slurm()
    (job,) = queue(toy)
    assert f"|respike_{run_lock.runs(toy.root)[0].mark}_" in job, toy.said()
    assert "mem_mb" not in re.findall(r"Provided resources.*", toy.said())  # those of this machine
    # A second login node, which sees the folder and the queue.
    other = slurm(before=machine.other_node())
    assert other.wait(60) == 1 and "a run may be at work in this folder" in toy.said()
    assert queue(toy) == [job]
    first.kill()
    first.wait()
    other = slurm(before=machine.other_node())
    assert other.wait(60) == 1 and queue(toy) == [job]  # it may live: nobody there can tell
    again = slurm()
    assert "1 Slurm jobs of a killed run are cancelled" in toy.said()
    assert (toy.root / "cancelled").read_text() == "1\n" and again.poll() is None
    assert len(queue(toy)) == 1 and job not in queue(toy)


@pytest.mark.parametrize("flock", machine.FLOCK)
def test_a_run_needs_no_flock(toy, flock):
    assert toy.start(env=machine.flock_that_is(flock)).wait(60) == 0, toy.said()
    assert len(list((toy.root / "made").iterdir())) == 4


def test_two_nodes_without_common_locks(toy):
    env, node = machine.flock_that_is("per node"), machine.other_node()
    first = toy.slow(env=env)
    jobs = toy.jobs()[1:]
    second = subprocess.run(
        [*node, *COMMAND], cwd=toy.root, env={**ENV, **env}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert second.returncode == 1 and "Directory cannot be locked" in second.stderr
    assert f"a run may be at work in this folder (process {first.pid} on " in second.stderr
    assert all(machine.alive(job, 0.05) for job in jobs) and toy.jobs()[1:] == jobs
    assert list((toy.root / run_lock.LOCKS).glob("*"))
    # Where it is known what became of it the same command is enough; elsewhere the user's word is.
    first.kill()
    first.wait()
    toy.goes_on(env=env)


def test_what_another_node_left_goes_at_the_users_word(toy):
    node = machine.other_node()
    run = toy.slow(before=node)
    run.kill()  # and with it all that it started: the node is gone
    run.wait()
    assert toy.start().wait(60) == 1
    assert "snakemake --unlock" in toy.said() and "Directory cannot be locked" in toy.said()
    subprocess.run([*COMMAND, "--unlock"], cwd=toy.root, env=ENV, capture_output=True, check=True)
    (toy.root / "begun").write_text("")  # numbers of processes of another node
    toy.goes_on()
