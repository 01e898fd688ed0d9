"""Profiles name only what Snakemake knows, and rules say what they need; no cluster is asked."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from respike.workflow import dag

ROOT = Path(__file__).parents[2]
CLUSTERS = ("slurm", "cluster")
SLURM_COMMANDS = ("sbatch", "squeue", "scancel", "sacct", "sinfo", "scontrol", "srun", "sacctmgr")


def profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


@pytest.fixture(scope="module")
def no_slurm(tmp_path_factory):
    """Return an environment in which every command is found but those of Slurm."""
    folder = tmp_path_factory.mktemp("bin")
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for file in Path(place).iterdir() if Path(place).is_dir() else ():
            if file.name not in SLURM_COMMANDS:
                (folder / file.name).unlink(missing_ok=True)
                (folder / file.name).symlink_to(file)
    path = os.pathsep.join((str(Path(sys.executable).parent), str(folder)))
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}


def snakemake(env, *arguments, cwd=ROOT):
    done = subprocess.run(
        ["snakemake", *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_profile_repeats_the_default_one(name):
    # `--workflow-profile` takes the place of profiles/default. The limit on GPUs is the machine's.
    default = profile("default")
    del default["resources"]
    assert profile(name) | default == profile(name)
    assert profile(name)["retries"] > 0


@pytest.mark.parametrize(("name", "device"), [("slurm", "cuda"), ("cluster", "cpu")])
def test_it_plans_without_a_cluster_and_without_a_gpu(no_slurm, name, device):
    config = ("--config", "scale=smoke", f"device={device}", "cells_per_job=1")
    arguments = ("--workflow-profile", f"profiles/{name}", "--dry-run", *config)
    status, shown = snakemake(no_slurm, *arguments)
    assert status == 0, shown
    assert re.search(r"^nmnist_grid_search_1 +\d+$", shown, re.M)
    assert re.search(r"^report +1$", shown, re.M)


def test_an_option_that_does_not_exist_is_refused(no_slurm, tmp_path):
    text = (ROOT / "profiles/slurm/config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text + "slurm-jobname-prefx: a\n")
    status, shown = snakemake(no_slurm, "--workflow-profile", tmp_path, "--dry-run")
    assert status != 0 and "slurm-jobname-prefx" in shown


@pytest.fixture(scope="module")
def rules():
    """Return rule -> {threads, the names of its resources, whether it is told a device}."""
    code = """
import json
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, ResourceSettings

with SnakemakeApi() as api:
    flow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(config={"scale": "smoke", "device": "cuda"}),
        snakefile=Path("Snakefile"),
    )
    flow.dag()
    print(json.dumps({
        rule.name: {
            "threads": rule.resources["_cores"].value,
            "names": list(rule.resources.keys()),
            "gpu": rule.resources["gpu"].value if "gpu" in rule.resources else None,
            "device": rule.params.get("device"),
        }
        for rule in flow._workflow.rules if not rule.norun
    }))
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_rule_declares_threads_memory_and_time(rules):
    assert len(rules) > 30
    for name, rule in rules.items():
        assert {"mem_mb", "runtime"} <= set(rule["names"]), name
        assert rule["threads"] >= 1, name
    files = [*ROOT.glob("workflow/rules/*.smk"), *ROOT.glob("src/respike/sources/*/rules.smk")]
    text = "".join(path.read_text() for path in files)
    assert not re.findall(r"^ +(?:mem_mb|runtime)=(?!grow\()", text, re.M)
    assert not re.findall(r"^ +retries:", text, re.M)  # they belong in the profile
    blocks = re.split(r"^ *rule(?: \w+)?:$", text, flags=re.M)[1:]
    assert len(blocks) > 8 and all(block.count("threads:") == 1 for block in blocks)


def test_every_rule_that_is_told_to_use_a_gpu_asks_for_one(rules):
    asks = {name for name, rule in rules.items() if rule["gpu"]}
    assert asks == {name for name, rule in rules.items() if rule["device"] == "cuda"}
    assert {"snn_mnist_train", "nmnist_grid_search_1", "nmnist_recordings"} <= asks


@pytest.fixture
def stubs(no_slurm, tmp_path):
    """Return an environment whose Slurm has an empty queue and refuses every job."""
    folder = tmp_path / "stubs"
    folder.mkdir()
    for name in SLURM_COMMANDS:
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(0o755)
    (folder / "sbatch").write_text("#!/bin/sh\necho 'refused: no cluster' >&2\nexit 1\n")
    return no_slurm | {"PATH": os.pathsep.join((str(folder), no_slurm["PATH"]))}


@pytest.mark.smoke
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_what_slurm_is_asked_for(smoke_tree, tmp_path, stubs, device):
    tree = smoke_tree.copy(tmp_path / "respike")
    path = "results/smoke/snn_mnist/ann/seed=0/metrics.json"
    (tree / path).unlink()
    status, shown = snakemake(
        stubs | {"PYTHONPATH": str(tree / "src")},
        "--workflow-profile", "profiles/slurm", path, "--config", "scale=smoke", f"device={device}",
        "--slurm-init-seconds-before-status-checks", "1", cwd=tree.root,
    )  # fmt: skip
    assert status == 1 and "refused: no cluster" in shown
    first, second = re.findall(r"sbatch --parsable .*?(?=--wrap)", shown)
    for call, mb, minutes in ((first, 3000, 120), (second, 6000, 240)):
        assert f" --mem {mb} " in call and f" -t {minutes} " in call, call
        assert ("--gpus=1" in call) == (dag.gpus({"device": device}) == 1), call
        assert "--job-name respike_" in call and "--cpus-per-" in call
    assert ("device: auto looks for a GPU on this machine" in shown) == (device == "auto")
