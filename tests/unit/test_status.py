"""`respike status` on the logs of real runs of Snakemake: three small jobs of made-up rules."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from respike.commands import cli, status
from respike.runs import sources

ROOT = Path(__file__).parents[2]

# The names of the project: source toy, experiments train and ann, logs and times where ours are.
SNAKEFILE = """
from respike.workflow import startup

startup.prepare(workflow, {"scale": "smoke", "device": "cpu", "data": {"folder": "data"}})

PLACE = "results/smoke/toy/{experiment}/seed={seed}"

rule all:
    input: [f"results/smoke/toy/{e}/seed=0/metrics.json" for e in ("ann", "train", "other")]

rule toy_train:
    output: f"{PLACE}/metrics.json"
    log: f"logs/{PLACE}.log"
    benchmark: f"logs/{PLACE}.benchmark.tsv"
    wildcard_constraints: experiment="train|other"
    message: "toy {wildcards.experiment}: training, seed {wildcards.seed}"
    shell: "(echo 'toy {wildcards.experiment} seed 0: epoch 1/3, 7 s left'; sh job.sh) > {log} 2>&1"
           "; touch {output}"

use rule toy_train as toy_ann with:
    wildcard_constraints: experiment="ann"
    message: "toy {wildcards.experiment}: training the ANN, seed {wildcards.seed}"
"""
CONFIG = {
    "scale": "default", "device": "cpu",
    "data": {"folder": "data", "nmnist": "emulated",
             "nmnist_recordings": dict.fromkeys(("smoke", "default", "paper"), [9, 3])},
    "seeds": {"smoke": [0], "default": [0, 1], "paper": [0]},
    "sources": {"toy": {"train": {"settings": {"beta": 0.9}}, "other": {"extends": "train"},
                        "ann": {"settings": {"lr": 0.1}}}},
}  # fmt: skip


class Workflow:
    """The toy workflow in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "Snakefile").write_text(SNAKEFILE)
        self.job("true")

    def job(self, text: str) -> None:
        """Say what each job does, in shell."""
        (self.folder / "job.sh").write_text(f"{text}\n")

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake on one core, in a process group of its own."""
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        call = [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going", *arguments]
        return subprocess.Popen(
            call, cwd=self.folder, env=env, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *arguments: str) -> int:
        """Run Snakemake to its end."""
        return self.start(*arguments).wait(timeout=120)


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Workflow(tmp_path)


def look():
    return status.look(lambda scale: {**CONFIG, "scale": scale})


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return found


def test_no_run_at_all(workflow):
    assert look() is None
    assert status.shown(None) == "no run of the workflow in this folder yet: make report"


def test_a_run_from_its_start_to_a_kill_and_on_to_the_end(workflow):
    workflow.job("sleep 60")
    process = workflow.start()
    try:
        found = wait_for(lambda: (f := look()) and f["running"] and f["running"][0]["said"] and f)
        assert found["state"] == "running" and found["scale"] == "smoke" and found["cores"] == 1
        assert found["jobs"] == {"total": 4, "done": 0, "failed": 0, "running": 1, "waiting": 3}
        [job] = found["running"]
        assert job["said"] == "epoch 1/3, 7 s left" and Path(job["log"]).is_file()
        shown = status.shown(found)
        assert "0 of 4 jobs done (0 %), 1 running, 3 waiting" in shown
        assert f"  {job['job']}, for " in shown and "    epoch 1/3, 7 s left" in shown
        # The job itself says 7 s; nothing is known of the others.
        assert found["estimate"]["unknown"] and "time left: at least 7 s on 1 core" in shown
        assert workflow.run() == 1  # a second call is refused, and is not the run
        assert look()["running"][0]["job"] == job["job"]
        workflow.run("--summary")
        assert look()["state"] == "running"
        late = status.look(lambda _: {**CONFIG, "scale": "smoke"}, datetime.fromtimestamp(2e9))
        assert "(said " in status.shown(late)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    found = look()
    assert found["state"] == "killed" and found["estimate"] is None
    assert "1 cut short, 3 not begun" in status.shown(found)
    assert "ran at that time" in status.shown(found)

    workflow.run("--dry-run")  # writes no log
    workflow.run("--summary")  # writes one that tells of no run
    assert look()["state"] == "killed"

    workflow.job("true")
    assert workflow.run("--rerun-incomplete") == 0
    found = look()
    assert found["state"] == "finished" and found["jobs"]["done"] == 4
    assert workflow.run() == 0
    assert look()["state"] == "nothing to do"


def test_a_failed_job_shows_its_log_and_the_rest_goes_on(workflow):
    workflow.job('for k in 1 2 3; do echo "line $k"; done; exit 3')
    assert workflow.run("results/smoke/toy/ann/seed=0/metrics.json") == 1
    found = look()
    assert found["state"] == "failed" and found["jobs"]["failed"] == 1
    [one] = found["failed"]
    assert (one["job"], one["rule"]) == ("toy ann: training the ANN, seed 0", "toy_ann")
    assert one["log"] == "logs/results/smoke/toy/ann/seed=0.log"
    assert one["last_lines"][-3:] == ["line 1", "line 2", "line 3"]
    assert f"failed: {one['job']} (rule toy_ann), {one['log']}" in status.shown(found)


def test_a_retried_job_that_succeeds_has_not_failed(workflow):
    workflow.job("test -e second || { touch second; exit 3; }")
    target = "results/smoke/toy/ann/seed=0/metrics.json"
    assert workflow.run("--retries", "1", target) == 0
    found = look()
    assert found["state"] == "finished" and found["failed"] == []


def test_the_estimate_rests_on_earlier_times_or_on_jobs_that_ended(workflow):
    workflow.job("sleep 1")
    assert workflow.run() == 0  # leaves the times of three experiments
    workflow.job("sleep 60")
    process = workflow.start("--forceall")
    try:
        found = wait_for(lambda: (f := look()) and f["running"] and f["running"][0]["said"] and f)
        guess = found["estimate"]
        assert guess["rests_on"]["earlier"] == 3 and guess["unknown"] == []
        # Two wait at about a second each, and the one that runs says 7 s.
        assert 8.5 < guess["seconds"] < 30
        assert "the times of the same rules for 3" in status.shown(found)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for file in workflow.folder.glob("logs/results/smoke/toy/*/*.tsv"):
        file.unlink()
    run = status.newest()[0]
    first = next(iter(run.jobs.values()))
    first.end("toy_train", datetime.fromtimestamp(first.started.timestamp() + 5))
    guess = status.estimate(run, {**CONFIG, "scale": "smoke"}, datetime.now())
    assert guess["unknown"] == [] and guess["rests_on"]["earlier"] == 0
    assert guess["rests_on"]["this"] == 1 and guess["seconds"] == pytest.approx(10)


def test_a_run_that_stops_before_its_jobs_says_why(workflow):
    (workflow.folder / "Snakefile").write_text(SNAKEFILE + '\nraise ValueError("wrong value")\n')
    assert workflow.run() == 1
    found = look()
    assert found["state"] == "failed" and "wrong value" in found["error"]
    assert "wrong value" in status.shown(found)


def test_the_command(workflow, capsys, monkeypatch):
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    assert cli.main(["status"]) == 1
    assert "make report" in capsys.readouterr().out
    assert cli.main(["status", "--watch"]) == 2
    assert "needs a terminal" in capsys.readouterr().err
    assert workflow.run() == 0
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"]["done"] == 4
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert cli.main(["status", "--watch"]) == 0  # shows the end and stops
    assert "finished: every job is done" in capsys.readouterr().out


def test_messages_and_logs_of_all_rules_have_the_form_that_is_read():
    rules = [*(ROOT / "workflow/rules").glob("*.smk"), *sources.FOLDER.glob("*/rules.smk")]
    of_experiments = 0
    for file in rules:
        text = file.read_text()
        messages = re.findall(r' message:\n +f?"(.*)"', text)
        assert len(messages) == len(re.findall(r"(?m)^ *rule\b", text)), f"{file}: no message"
        for message in messages:
            if "{{wildcards.experiment}}" in message:
                of_experiments += 1
                names = {
                    "{job.source}": "net",
                    "{job.title}": "training: both, twice",
                    "{{wildcards.experiment}}": "x_1.5",
                    "{{wildcards.seed}}": "7",
                }
                for name, value in names.items():
                    message = message.replace(name, value)
                assert status.Job(message, datetime.now()).run == ("net", "x_1.5", "7"), message
        if "{{experiment}}" in text:
            place = "{job.source}/{{experiment}}/seed={{seed}}.log"
            assert f'log:\n            f"logs/{{RESULTS}}/{place}' in text, file
    assert of_experiments == 1  # one loop makes the rules of all


def test_start_up_is_summed_over_the_experiments_that_say_it(tmp_path):
    run, when = status.Run(tmp_path / "log", scale="smoke"), datetime.now()
    for number, text in enumerate(("3 s, 4.0 CPU s, of which start-up 1.5", "1 s, 1.0 CPU s, of "
                                   "which start-up 0.5")):  # fmt: skip
        log = tmp_path / f"{number}.log"
        log.write_text(f"a b seed 0: epoch 1/1\na b seed 0: done in {text}\n")
        run.jobs[number] = status.Job("a b: training, seed 0", when, when, log=log)
    assert status.startup(run) == {"jobs": 2, "cpu_s": 5.0, "startup_cpu_s": 2.0}
    run.jobs.clear()
    assert status.startup(run) is None
