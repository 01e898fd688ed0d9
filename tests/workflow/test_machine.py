"""One machine: GPU jobs one at a time, jobs side by side within memory, threads as declared."""

import csv
import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime
from itertools import combinations
from pathlib import Path

import pytest

from respike.workflow import config, dag, jobs, limits

pytestmark = pytest.mark.smoke
ROOT = Path(__file__).parents[2]
SMOKE = {"scale": "smoke"}

# Each job notes when it begins and ends; CPU jobs have no GPU to wait for.
TOY = """
rule all:
    input: expand("{kind}{n}", kind=["gpu", "cpu"], n=range(3)),

rule work:
    output: "{kind}{n}",
    resources: gpu=lambda wc: int(wc.kind == "gpu"),
    shell: "date +%s.%N > {output}; sleep 0.6; date +%s.%N >> {output}"
"""


def overlapping(spans):
    return [(a, b) for a, b in combinations(sorted(spans), 2) if b[0] < a[1]]


def test_gpu_jobs_run_one_at_a_time_and_cpu_jobs_beside_them(tmp_path):
    (tmp_path / "Snakefile").write_text(TOY)
    command = ("snakemake", "--cores", "4", "--workflow-profile", ROOT / "profiles/default")
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    spans = {f.name: tuple(map(float, f.read_text().split())) for f in tmp_path.glob("?pu?")}
    gpu = [span for name, span in spans.items() if name.startswith("gpu")]
    assert len(gpu) == 3 and not overlapping(gpu)
    beside = [pair for pair in overlapping(spans.values()) if not set(pair) <= set(gpu)]
    assert beside


def test_jobs_that_do_not_fit_into_memory_together_wait_for_each_other(shared_copy):
    targets = [f"results/smoke/poisson_mlp/{name}/seed=0/metrics.json"
               for name in ("encode", "optimum")]  # fmt: skip
    shared_copy.snakemake(*targets, "--force", "--resources", "mem_mb=5000")  # 3000 each
    spans = []
    for target in targets:
        run = json.loads((shared_copy / target).read_text())
        start = datetime.fromisoformat(run["started"]).timestamp()
        spans.append((start, start + run["wall_s"]))
    assert not overlapping(spans)
    # Without such an option the limit is the machine's memory.
    shown = shared_copy.snakemake(targets[0], "--force", "--quiet", "reason")
    said = shown.stdout + shown.stderr
    assert re.search(rf"Provided resources: .*mem_mb\D+{limits.memory_mb()}\b", said)


def test_no_job_took_more_memory_than_its_rule_declares(smoke_tree):
    """The rules' `mem_mb` is what a scheduler reserves; measured by Snakemake's `benchmark:`."""
    settings, seen = config.load(smoke_tree / "config.yaml", SMOKE), 0
    memory = {job.rule: job.memory_mb for job in jobs.of(settings)}
    for target, run in dag.wanted(settings).items():
        log = (smoke_tree / "logs" / target).parent.with_suffix(".benchmark.tsv")
        row = next(csv.DictReader(log.open(), delimiter="\t"))
        if row["max_rss"] not in ("NA", "-"):  # shorter than a sample
            assert float(row["max_rss"]) < memory[run["rule"]], target
            seen += 1
    assert seen > 20


# Batches of 80 MB, of each of which 4 kB are kept. How the heap lies differs from process to
# process and with what was freed before, so several starts are tried.
BATCHES = """
import resource, torch
torch.set_num_threads(1)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def batch():
    index = torch.arange(100)
    potentials = torch.empty(13, 100, 200, 64).fill_(1.0)
    shares = torch.empty(13, 200, 100, 10).fill_(1.0)
    del potentials
    total = shares.sum(dim=0)
    shifted = total + 1.0
    return shifted * 1.0

start = peak()
for n in range(1, 9):
    prepared = [torch.empty(n * 1024 * 1024 + 8 * n).fill_(1.0) for _ in range(3)]
    del prepared
    kept = []
    for _ in range(30):
        spikes = batch()
        kept.append(spikes.sum(dim=0).numpy())
print(peak() - start)
"""


def test_memory_does_not_grow_with_the_number_of_batches():
    """At most 96 MB are in use at a time; with all freed memory kept these took up to 800 MB."""
    env = {**os.environ, "GLIBC_TUNABLES": dag.MALLOC}
    done = subprocess.run([sys.executable, "-c", BATCHES], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200


def running(tree):
    """Return (process, its declared threads, its threads that compute) of each job of the tree."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode().split("\0")
            if "--threads" not in command or (process / "cwd").readlink() != tree.root:
                continue
            states = [stat.read_text().rpartition(")")[2].split()[0]
                      for stat in process.glob("task/*/stat")]  # fmt: skip
            declared = int(command[command.index("--threads") + 1])
            yield process.name, declared, states.count("R")
        except OSError:  # it ended meanwhile
            continue


def test_jobs_compute_with_the_threads_that_they_declare(shared_copy):
    """Eight jobs at once on whatever cores there are: none takes more threads than its own."""
    names = ("poisson_mlp/train", "snn_mnist/cure_steps", "nmnist_grid/final",
             "kulkarni_forward/full_pass_as_coded", "stdp_tables/poisson_diehl_cook",
             "stdp_tables/ann")  # fmt: skip
    targets = [f"results/smoke/{name}/seed=0/metrics.json" for name in names]
    command = ("snakemake", "--cores", "8", *targets, "--force", "--config", "scale=smoke")
    samples = {}
    with subprocess.Popen(
        command, cwd=shared_copy.root, env=shared_copy.env, stdout=-3, stderr=-3
    ) as run:
        while run.poll() is None:
            for process, threads, computing in running(shared_copy):
                samples.setdefault(process, []).append(computing > threads)
            time.sleep(0.01)
    # A job that asks git is two processes for a moment.
    samples = {process: found for process, found in samples.items() if len(found) > 5}
    assert run.returncode == 0 and len(samples) == len(names)
    over = {process: sum(found) / len(found) for process, found in samples.items()}
    assert max(over.values()) < 0.05, over
