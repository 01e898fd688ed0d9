"""What happens when a run is killed, the disk is full, or somebody touches the results.

Plain `snakemake` is called throughout: no wrapper, no --unlock, no cleaning up by hand.
"""

import base64
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from respike.commands import reproduce

pytestmark = pytest.mark.smoke

KILLS = int(os.environ.get("RESPIKE_KILLS", "20"))
# Quick jobs, one that imports torch and keeps parts, a table made of its results.
EXPERIMENTS = (
    "poisson_mlp/encode", "poisson_mlp/optimum", "kulkarni_forward/encode",
    "nmnist_grid/search_1_t_window_2000_part_1", "nmnist_grid/table_1",
)  # fmt: skip
JUDGED = "results/smoke/verdicts.json"


class Runs:
    """Some results of a finished tree: taken away, made again, held against the first ones."""

    def __init__(self, tree, undisturbed):
        self.tree, self.undisturbed = tree, undisturbed
        self.targets = []

    def take_away(self, experiments=EXPERIMENTS):
        """Remove the results of these experiments, and the parts that jobs keep."""
        self.targets = [f"results/smoke/{name}/seed=0/metrics.json" for name in experiments]
        for target in self.targets:
            for file in (self.tree / target).parent.iterdir():
                file.unlink()
        for file in (self.tree / "results/smoke/nmnist_grid/parts").iterdir():
            file.unlink()
        (self.tree / JUDGED).unlink()

    def start(self):
        """Start the run in a process group of its own."""
        command = ("snakemake", "--cores", "2", *self.targets, JUDGED, "--config", "scale=smoke")
        return subprocess.Popen(
            command, cwd=self.tree.root, env=self.tree.env, text=True, start_new_session=True,
            stdout=open(self.tree / "said.txt", "w"), stderr=subprocess.STDOUT,
        )  # fmt: skip

    def said(self):
        return (self.tree / "said.txt").read_text()

    def finished(self):
        """Return target -> time of the results that Snakemake counts as finished."""
        begun = {file.name for file in (self.tree / ".snakemake/incomplete").rglob("*")}
        made = {}
        for target in self.targets:
            file = self.tree / target
            marks = [base64.b64encode(str(name).encode()).decode() for name in
                     (target, target.replace("metrics.json", "arrays.npz"))]  # fmt: skip
            if file.exists() and not begun.intersection(marks):
                made[target] = file.stat().st_mtime_ns
        return made

    def check(self, finished):
        """Everything is there and as in the undisturbed tree; finished work was not done again."""
        for target in self.targets:
            was, now = self.undisturbed / target, self.tree / target
            for part in ("metrics", "series", "settings", "code"):
                assert numbers(now)[part] == numbers(was)[part], (target, part)
            assert not reproduce.arrays_that_differ(was.parent, now.parent), target
        assert verdicts(self.tree) == verdicts(self.undisturbed)
        for target, made in finished.items():
            assert (self.tree / target).stat().st_mtime_ns == made, f"{target} was made twice"
        assert not list(self.tree.root.glob("results/smoke/*/*/seed=*/.*.tmp"))


def numbers(file):
    content = json.loads(file.read_text())
    for part in ("metrics", "series"):
        content[part] = {
            k: v for k, v in content[part].items() if not reproduce.TIMES.search(k.split()[0])
        }
    return content


def verdicts(tree):
    content = json.loads((tree / JUDGED).read_text())
    return {claim["id"]: claim["verdict"]["status"] for source in content["sources"]
            for claim in source["claims"]}  # fmt: skip


def jobs(tree):
    """Return the processes of experiments that run in the tree."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"-m" in command[:2] and (process / "cwd").readlink() == tree.root:
                found.append(int(process.name))
        except OSError:  # it ended meanwhile
            continue
    return found


@pytest.fixture(scope="module")
def runs(shared_copy, smoke_tree):
    """Return the copy in which runs are disturbed, and the tree that it was taken from."""
    return Runs(shared_copy, smoke_tree)


def kill(run, how, tree):
    """Kill a job, Snakemake, or everything; or interrupt as Ctrl-C does."""
    if how == "job":
        for pid in jobs(tree)[:1]:
            os.kill(pid, signal.SIGKILL)
        run.wait(120)
    elif how == "snakemake":
        run.kill()
    elif how == "group":
        os.killpg(run.pid, signal.SIGKILL)
    else:
        os.killpg(run.pid, signal.SIGINT)
    run.wait(120)


def test_a_run_killed_at_random_moments_goes_on_with_the_same_command(runs):
    """Kills follow each other before the work is done, so that a recovery is killed too."""
    moments, kills = random.Random(0), 0
    length_s = 5.0
    while kills < KILLS:
        runs.take_away()
        finished, begun = {}, time.monotonic()
        while True:
            run = runs.start()
            try:
                status = run.wait(moments.uniform(0.2, length_s) if kills < KILLS else 300)
            except subprocess.TimeoutExpired:
                kill(run, ("job", "snakemake", "group", "interrupt")[kills % 4], runs.tree)
                finished |= runs.finished()
                kills += 1
                continue
            break
        assert status == 0, runs.said()
        runs.check(finished)
        length_s = min(length_s, time.monotonic() - begun)
    assert "Nothing to be done" in runs.tree.snakemake(*runs.targets, JUDGED).stderr


def test_two_runs_at_once(runs):
    """The second ends with one message and touches nothing; the first goes on."""
    runs.take_away(EXPERIMENTS[:3])
    first = runs.start()
    locks = runs.tree / ".snakemake/locks"
    while not (locks.is_dir() and any(locks.iterdir())):
        assert first.poll() is None, runs.said()
        time.sleep(0.05)
    second = runs.tree.snakemake(*runs.targets, JUDGED, status=1)
    said = second.stdout + second.stderr
    assert "another run is at work in this folder" in said.lower() and "Traceback" not in said
    assert first.wait(300) == 0, runs.said()
    runs.check({})


@pytest.fixture
def small_disk(runs):
    """Return the folder of one experiment's results on a disk of its own, and how to change it."""
    folder = runs.tree / "results/smoke/poisson_mlp/optimum"
    kept = folder.rename(folder.with_name("kept"))
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this user may not mount a file system")

    yield folder, mount
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()
    kept.rename(folder)


def test_a_full_disk_ends_in_one_message_and_the_same_command_goes_on(runs, small_disk):
    folder, mount = small_disk
    mount("size=4k")
    target = "results/smoke/poisson_mlp/optimum/seed=0/metrics.json"
    said = runs.tree.snakemake(target, status=1)
    text = said.stdout + said.stderr
    assert "No space left on device (free some space on that disk)" in text
    assert "Traceback" not in text
    assert not [file for file in folder.rglob("*") if file.is_file()]
    mount("remount,size=8m")
    runs.tree.snakemake(target)
    was = runs.undisturbed / target
    assert numbers(runs.tree / target)["metrics"] == numbers(was)["metrics"]


def test_results_that_cannot_be_written_end_in_one_message(runs, small_disk):
    _, mount = small_disk
    mount("ro")
    said = runs.tree.snakemake("results/smoke/poisson_mlp/optimum/seed=0/metrics.json", status=1)
    text = said.stdout + said.stderr
    assert "ead-only file system" in text and "results/smoke/poisson_mlp/optimum" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("file", ["metrics.json", "arrays.npz"])
@pytest.mark.parametrize("damage", ["cut off", "edited", "removed"])
def test_a_damaged_result_is_never_used(runs, file, damage):
    """Snakemake sees what is missing; what was cut off or edited, the judge refuses by name."""
    target = "results/smoke/poisson_mlp/optimum/seed=0/metrics.json"
    path = (runs.tree / target).with_name(file)
    with runs.tree.unchanged(path.relative_to(runs.tree.root), JUDGED):
        if damage == "removed":
            path.unlink()
            runs.tree.snakemake(target)
            assert (
                numbers(runs.tree / target)["metrics"]
                == numbers(runs.undisturbed / target)["metrics"]
            )
            return
        content = path.read_bytes()
        if damage == "cut off":
            path.write_bytes(content[: len(content) // 2])
        else:
            middle = content.index(b'"seed":') + 8 if file == "metrics.json" else len(content) // 2
            path.write_bytes(
                content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            )
        text = runs.tree.snakemake(JUDGED, status=1).stderr
        assert target in text and f"snakemake --cores 2 {target} --force" in text
        assert "Traceback" not in text


def test_a_clock_that_was_set_back(runs):
    """What was made before now carries times of the future: nothing is stale, and work goes on."""
    planned, future = runs.tree.planned(), time.time() + 86_400
    for folder in ("data", "results", "reports", ".snakemake"):
        for file in (runs.tree / folder).rglob("*"):
            os.utime(file, (future, future), follow_symlinks=False)
    assert runs.tree.planned() <= planned
    runs.take_away(EXPERIMENTS[:3])
    run = runs.start()
    assert run.wait(300) == 0, runs.said()
    runs.check({})
    assert not {path for path in runs.tree.planned() if path in runs.targets}
