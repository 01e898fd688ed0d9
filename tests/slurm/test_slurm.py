"""The pipeline on a real Slurm of one node, through the profiles a user would take.

`make test-slurm` starts that Slurm (workflow/slurm/start.sh) and ends it. Elsewhere these tests are
deselected, and skipped where they are asked for without it.

All of a smoke run would be about 140 Slurm jobs, each of which starts Snakemake twice: more than
ten minutes. `through_slurm` therefore makes anew one result of every rule that has results, one
figure of every source, and the report; the rest is taken from the local run.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import machine
import pytest

from respike.workflow import dag, jobs, orphans
from respike.workflow.config import load as load_config

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
SLURM = ("snakemake", "--workflow-profile", "profiles/slurm")
GENERIC = ("snakemake", "--workflow-profile", "profiles/cluster")
# The state is asked for after 2 s instead of 40, and four jobs are in the queue at a time, each
# with no more threads than a rule gets under --cores 2.
QUICK = ("--slurm-init-seconds-before-status-checks", 2, "--jobs", 4, "--max-threads", 2)
SMOKE = ("--config", "scale=smoke")


@pytest.fixture(scope="session", autouse=True)
def cluster():
    """Skip all of it unless the Slurm of workflow/slurm/start.sh answers: no other is used."""
    if shutil.which("scontrol"):
        done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
        if re.search(r"^ClusterName += respike$", done.stdout, re.M):
            return
    pytest.skip("the one-node Slurm does not run: make test-slurm")


def finished_jobs():
    """Return Slurm job id -> {JobState, Tres, ...} of the jobs that have ended."""
    config = subprocess.run(
        ["scontrol", "show", "config"], capture_output=True, text=True, check=True
    ).stdout
    record = Path(re.search(r"^JobCompLoc += (.*)$", config, re.M)[1]).read_text()
    lines = (dict(re.findall(r"(\w+)=(\S*)", line, re.A)) for line in record.splitlines())
    return {line["JobId"]: line for line in lines}


CLOCK = re.compile("cpu_m?s|train_s|speed_up")  # in the names of numbers that a clock measured


def numbers(tree, path):
    """Return what a result says, without when, how long and on what."""
    content = json.loads((tree / path).read_text())
    measured = {
        part: {name: value for name, value in content[part].items() if not CLOCK.search(name)}
        for part in ("metrics", "series")
    }
    same = ("settings", "seed", "code", "pins", "data_sha256", "arrays_sha256")
    return measured | {key: content[key] for key in same}


# ------------------------------------------------------------------ the numbers of a local run


@pytest.fixture(scope="module")
def config(smoke_tree):
    return load_config(smoke_tree / "config.yaml", {"scale": "smoke"})


@pytest.fixture(scope="module")
def results_of_rules(config):
    """Return rule -> the first of its results."""
    found = {}
    for path, what in dag.wanted(config).items():
        found.setdefault(what["rule"], path)
    assert len(found) > 20
    return found


@pytest.fixture(scope="module")
def figures_of_sources(config, results_of_rules, smoke_tree):
    """Return source -> a figure that is drawn from a result made here."""
    chosen = {}
    for source in config["sources"]:
        for figure, inputs in jobs.figures(config, source).items():
            if set(inputs) & set(results_of_rules.values()):
                chosen[source] = f"results/smoke/figures/{figure}.png"
                break
    assert chosen.keys() == config["sources"].keys()
    return chosen


@pytest.fixture(scope="module")
def through_slurm(smoke_tree, results_of_rules, figures_of_sources, tmp_path_factory):
    """Return a copy of the tree in which Slurm made one result of every rule, and the report."""
    tree = smoke_tree.copy(tmp_path_factory.mktemp("slurm") / "respike")
    results, figures = results_of_rules.values(), figures_of_sources.values()
    tree.run(*SLURM, *QUICK, *results, *figures, "--forcerun", *results, *SMOKE, timeout=1800)
    # Without the figures that are left: their rules are not allowed, their pictures are there.
    rules = ("nmnist_grid_table_1", "nmnist_grid_cells", "judge", "networks_figures", "report")
    tree.run(*SLURM, *QUICK, "all", "--allowed-rules", "all", *rules, *SMOKE)
    return tree


def test_slurm_gives_the_numbers_of_a_local_run(smoke_tree, through_slurm, results_of_rules):
    jobs = {job["WorkDir"] for job in finished_jobs().values()}
    assert str(through_slurm.root) in jobs
    for path in results_of_rules.values():
        before, after = smoke_tree / path, through_slurm / path
        assert after.stat().st_mtime_ns > before.stat().st_mtime_ns, path
        assert numbers(through_slurm, path) == numbers(smoke_tree, path), path


def test_slurm_gives_the_verdicts_and_the_report_of_a_local_run(smoke_tree, through_slurm):
    def judged(tree):
        content = json.loads((tree / "results/smoke/verdicts.json").read_text())
        claims = [claim for source in content["sources"] for claim in source["claims"]]
        return {
            claim["id"]: (claim["verdict"]["status"], claim["files"])
            if CLOCK.search(json.dumps(claim.get("measure")))
            else (claim["verdict"], claim["files"], claim["measured"])
            for claim in claims
        }

    assert judged(through_slurm) == judged(smoke_tree)
    for name in ("results/smoke/verdicts.json", "reports/smoke/comparison.html"):
        before, after = smoke_tree / name, through_slurm / name
        assert after.stat().st_mtime_ns > before.stat().st_mtime_ns


def test_what_slurm_made_is_current_for_a_local_run(through_slurm, results_of_rules):
    planned = through_slurm.planned()
    drawn_later = {path for path in planned if path.startswith("results/smoke/figures/")}
    assert planned - drawn_later <= {
        f"reports/smoke/{name}" for name in
        ("comparison.html", "comparison.md", "verdicts.csv", "results.csv", "networks.csv",
         "pairs.csv")
    }  # fmt: skip
    assert through_slurm.run("respike", "check", "--scale", "smoke").returncode == 0


def test_one_cell_per_job_gives_the_same_table(smoke_tree, tmp_path):
    tree = smoke_tree.copy(tmp_path / "respike")
    shutil.rmtree(tree / "results/smoke/nmnist_grid/parts")
    path = "results/smoke/nmnist_grid/table_2/seed=0/metrics.json"
    one = ("--config", "scale=smoke", "cells_per_job=1")
    done = tree.run(*SLURM, *QUICK, path, *one)
    assert "search_2_t_window_2000_part_2" in done.stdout + done.stderr
    was, now = numbers(smoke_tree, path), numbers(tree, path)
    assert now["metrics"] == was["metrics"] and now["series"] == was["series"]


# ------------------------------------------------------------- failures, time limits, fake GPUs


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the folder and the output of small.smk, whose jobs fail in several ways."""
    folder = tmp_path_factory.mktemp("small")
    done = subprocess.run(
        ["snakemake", "--workflow-profile", ROOT / "profiles/slurm", "--jobs", "7",
         "--slurm-init-seconds-before-status-checks", "2",
         "--snakefile", ROOT / "tests/slurm/small.smk"],
        cwd=folder, capture_output=True, text=True, timeout=600,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                          "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    shown = done.stdout + done.stderr
    assert done.returncode == 1, shown
    return folder, shown


def tried(folder, rule):
    """Return the Slurm job id, and what the job was given, of every attempt."""
    return [line.split() for line in (folder / "tried" / rule).read_text().splitlines()]


def test_a_job_over_its_memory_is_killed_and_gets_more(small):
    folder, shown = small
    (first, _), (second, _) = tried(folder, "memory")
    jobs = finished_jobs()
    assert (jobs[first]["JobState"], jobs[second]["JobState"]) == ("FAILED", "COMPLETED")
    assert "mem=400M," in jobs[first]["Tres"] and "mem=800M," in jobs[second]["Tres"]
    said = (folder / f"logs/slurm/rule_memory/{first}.log").read_text()
    assert "exceeded memory limit" in said
    assert f"logs/slurm/rule_memory/{first}.log" in shown
    assert (folder / "made/memory").exists()


def test_a_job_over_its_time_is_ended_named_and_gets_more(small):
    folder, shown = small
    (first, _), (second, _) = tried(folder, "late")
    jobs = finished_jobs()
    assert (jobs[first]["JobState"], jobs[second]["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert (jobs[first]["TimeLimit"], jobs[second]["TimeLimit"]) == ("1", "2")
    assert re.search(rf"SLURM-job '{first}' failed, SLURM status is: 'TIMEOUT'", shown)
    assert "DUE TO TIME LIMIT" in (folder / f"logs/slurm/rule_late/{first}.log").read_text()


def test_a_job_that_always_fails_runs_twice_and_stops_nobody(small):
    folder, shown = small
    assert len(tried(folder, "broken")) == 2
    assert "the reason of the failure" in shown
    made = {path.name for path in (folder / "made").iterdir()}
    assert made == {"memory", "late", "gpu_0", "gpu_1", "gpu_2", "gpu_3"}


def test_two_jobs_never_hold_one_gpu(small):
    folder, _ = small
    held = defaultdict(list)
    for path in (folder / "made").glob("gpu_*"):
        gpu, begin, end = path.read_text().split()
        held[gpu].append((float(begin), float(end)))
    assert held.keys() <= {"0", "1"} and sum(map(len, held.values())) == 4
    for spans in held.values():
        spans.sort()
        for (_, end), (begin, _) in zip(spans, spans[1:], strict=False):
            assert end <= begin
    # Both were in use at a time: it is not that the jobs ran one after the other.
    assert any(a < d and c < b for a, b in held["0"] for c, d in held["1"])


def test_a_rule_of_the_pipeline_asks_for_a_gpu_that_this_machine_lacks(smoke_tree, tmp_path):
    tree = smoke_tree.copy(tmp_path / "respike")
    path = "results/smoke/snn_mnist/ann/seed=0/metrics.json"
    cuda = ("--config", "scale=smoke", "device=cuda")
    run = Run(tree, *SLURM, *QUICK, "--retries", 0, path, *cuda)
    job = run.wait_for(lambda: orphans.left_over("respike", tree.root))[0]
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True).stdout
    assert re.search(r"TresPer\w+=gres:gpu:1", shown), shown
    # The GPU is none: torch finds nothing behind it, and the job says so.
    assert run.end() == 1
    assert "device: cuda was asked for and torch finds no GPU" in run.output()


# ----------------------------------------------------------------------------- cancelled runs


class Run:
    """A command that runs in a copy of the tree, its output in a file beside the copy."""

    def __init__(self, tree, *command):
        self.file = tree.root.with_suffix(".txt")
        with open(self.file, "w") as stream:
            self.process = subprocess.Popen(
                [str(part) for part in command], cwd=tree.root, env=tree.env,
                stdout=stream, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def output(self):
        return self.file.read_text()

    def wait_for(self, condition, patience_s=300):
        """Return the first answer of `condition` that is not empty, while the command runs."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until and self.process.poll() is None:
            if answer := condition():
                return answer
            time.sleep(0.2)
        self.process.kill()
        pytest.fail(f"ended or waited in vain:\n{self.output()}")

    def finished(self):
        """Return the experiments whose end Snakemake has taken note of."""
        names = dict(re.findall(r"^Job (\d+): \w+ (\w+):", self.output(), re.M))
        return {names[job] for job in re.findall(r"^Finished jobid: (\d+)", self.output(), re.M)}

    def end(self, patience_s=300):
        return self.process.wait(timeout=patience_s)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_cancelled_run_goes_on_with_the_same_command(smoke_tree, tmp_path, how):
    tree = smoke_tree.copy(tmp_path / "respike")
    names = ("encode", "forward", "train", "optimum", "no_grad_clip")
    paths = {name: f"results/smoke/poisson_mlp/{name}/seed=0/metrics.json" for name in names}
    for path in paths.values():
        shutil.rmtree((tree / path).parent)
    command = (*SLURM, *QUICK, *paths.values(), *SMOKE)

    run = Run(tree, *command)
    done = run.wait_for(run.finished)
    made = {name: (tree / paths[name]).stat().st_mtime_ns for name in done}
    queue = run.wait_for(lambda: orphans.left_over("respike", tree.root))
    run.process.send_signal(how)
    assert run.end() != 0
    if how == signal.SIGKILL:
        assert orphans.left_over("respike", tree.root)  # they live on
    else:
        assert not left_after_a_while(tree), run.output()

    again = tree.run(*command)
    shown = again.stdout + again.stderr
    if how == signal.SIGKILL:
        assert re.search(r"[1-9] Slurm jobs of a killed run are cancelled", shown), shown
        assert {finished_jobs()[job]["JobState"] for job in queue} <= {"CANCELLED", "COMPLETED"}
    assert not orphans.left_over("respike", tree.root)
    for path in paths.values():
        assert numbers(tree, path) == numbers(smoke_tree, path)
    for name in done:
        assert (tree / paths[name]).stat().st_mtime_ns == made[name], f"{name} was made again"


def test_a_live_run_keeps_its_jobs_when_another_login_node_starts_one(smoke_tree, tmp_path):
    tree = smoke_tree.copy(tmp_path / "respike")
    path = "results/smoke/poisson_mlp/train/seed=0/metrics.json"
    shutil.rmtree((tree / path).parent)
    command = (*SLURM, *QUICK, path, *SMOKE)
    run = Run(tree, *command)
    jobs = run.wait_for(lambda: orphans.left_over("respike", tree.root))
    second = tree.run(*machine.other_node(), *command, status=1)
    assert "a run may be at work in this folder" in second.stdout + second.stderr
    assert run.end() == 0, run.output()
    assert {finished_jobs()[job]["JobState"] for job in jobs} == {"COMPLETED"}
    assert numbers(tree, path) == numbers(smoke_tree, path)


def test_a_job_whose_node_goes_away_is_submitted_once_more(smoke_tree, tmp_path):
    tree = smoke_tree.copy(tmp_path / "respike")
    path = "results/smoke/poisson_mlp/train/seed=0/metrics.json"
    shutil.rmtree((tree / path).parent)
    run = Run(tree, *SLURM, *QUICK, path, *SMOKE)
    job = run.wait_for(lambda: orphans.left_over("respike", tree.root))[0]
    sinfo = subprocess.run(
        ["sinfo", "--noheader", "--format=%n"], capture_output=True, text=True, check=True
    )
    node = f"nodename={sinfo.stdout.split()[0]}"
    subprocess.run(["scontrol", "update", node, "state=down", "reason=test"], check=True)
    try:
        run.wait_for(lambda: job not in orphans.left_over("respike", tree.root))
    finally:
        subprocess.run(["scontrol", "update", node, "state=resume"], check=True)
    assert run.end() == 0, run.output()
    assert numbers(tree, path) == numbers(smoke_tree, path)


def left_after_a_while(tree):
    for _ in range(60):
        if not orphans.left_over("respike", tree.root):
            return []
        time.sleep(0.5)
    return orphans.left_over("respike", tree.root)


# ----------------------------------------------------------------------------- generic profile


def test_the_generic_profile_gives_the_same_numbers_and_tries_again(smoke_tree, tmp_path):
    tree = smoke_tree.copy(tmp_path / "respike")
    path = "results/smoke/poisson_mlp/encode/seed=0/metrics.json"
    shutil.rmtree((tree / path).parent)
    # Too little memory to start Python in: the job fails, and its second attempt has twice as much.
    little = ("--set-resources", "poisson_mlp_encode:mem_mb=20*attempt**5")
    tree.run(*GENERIC, "--jobs", 2, path, *little, *SMOKE)
    assert numbers(tree, path) == numbers(smoke_tree, path)
    mine = ("respike_poisson_mlp_encode", str(tree.root))
    jobs = [job for job in finished_jobs().values() if (job["Name"], job["WorkDir"]) == mine]
    assert [job["JobState"] for job in jobs] == ["FAILED", "COMPLETED"]
    assert [re.search(r"mem=(\d+)M", job["Tres"])[1] for job in jobs] == ["20", "640"]
