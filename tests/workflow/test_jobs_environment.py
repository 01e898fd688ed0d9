"""Snakemake in surroundings that are not ours: its jobs, its places, the package that it finds."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Tree

pytestmark = pytest.mark.smoke
RESULT = "results/smoke/poisson_mlp/encode/seed=0/metrics.json"
SNAKEMAKE = Path(sys.executable).with_name("snakemake")


@pytest.fixture(scope="module")
def tree(tmp_path_factory, mnist_folder):
    """Return a copy of the project as `git archive` makes one, with MNIST, without records."""
    tree = Tree.of_checkout(tmp_path_factory.mktemp("archive") / "respike", without="reports")
    shutil.copytree(mnist_folder, tree / "data" / "mnist")
    (tree / "shell").write_text("echo the wrong shell; exit 3\n")
    return tree


def test_jobs_run_with_the_interpreter_of_snakemake_whatever_the_shell_has(tree):
    call = (SNAKEMAKE, "--cores", 1, RESULT, "--config", "scale=smoke")
    plain = tree.env
    numbers = []
    hostile = {
        "PATH": "/usr/bin:/bin", "BASH_ENV": str(tree / "shell"), "PYTHONOPTIMIZE": "2",
        "NUMBA_DISABLE_JIT": "1", "GIT_DIR": "/gone", "LC_ALL": "C", "PYTHONHASHSEED": "5",
        "MPLBACKEND": "module://gone", "MKL_CBWR": "COMPATIBLE",
        "BASH_FUNC_python%%": "() { echo the wrong python; exit 3\n}",
    }  # fmt: skip
    for env in (plain | hostile, plain):
        tree.env = env
        shown = tree.run(*call).stderr
        result = json.loads((tree / RESULT).read_text())
        numbers.append((result["metrics"], result["arrays_sha256"]))
        assert result["commit"] is None
        if env is plain:
            # The place of the interpreter and the user's settings make nothing stale.
            assert "Nothing to be done" in shown
            tree.run(*call, "--force")
        else:
            assert result["surroundings"] == {"MKL_CBWR": "COMPATIBLE"}
            assert re.search("a remark: no commit will stand in the results: git says", shown)
            assert "a remark: MKL_CBWR=COMPATIBLE may change last digits" in shown
    tree.env = plain
    result = json.loads((tree / RESULT).read_text())
    assert result["surroundings"] == {} and numbers[0] == numbers[1]
    assert numbers[0] == (result["metrics"], result["arrays_sha256"])
    shown = tree.run("respike", "check", "--scale", "smoke").stdout
    assert "  remark: made without git: its commit is not known\n" in shown


MODULE = """
module respike:
    snakefile: "{0}/Snakefile"

use rule * from respike
"""


def test_another_folder_and_a_module_are_one_message(tree, tmp_path):
    (tmp_path / "Snakefile").write_text(MODULE.format(tree.root))
    (tmp_path / "empty").mkdir()
    elsewhere = Tree(tmp_path)
    elsewhere.env = tree.env
    for where, words in (
        (tree, ("--directory", tmp_path / "empty")),
        (elsewhere, ("--snakefile", tree / "Snakefile")),
        (elsewhere, ()),
    ):
        done = where.run("snakemake", "--dry-run", *words, status=1)
        shown = done.stdout + done.stderr
        assert shown.count("Respike runs in its own folder") == 1, shown
        assert f"cd {tree.root}, and call Snakemake there" in shown
        assert "Traceback" not in shown
    tree.run("snakemake", "--dry-run", RESULT, "--directory", tree.root, "--config", "scale=smoke")


def test_a_package_outside_the_checkout_is_refused_with_the_cure(tree):
    tree.env = (before := tree.env) | {"PYTHONPATH": str(ROOT / "src")}
    try:
        done = tree.run("snakemake", "--dry-run", status=1)
        command = tree.run("respike", "claims", status=2).stderr
    finally:
        tree.env = before
    for shown in (done.stdout + done.stderr, command):
        assert f"package respike of {ROOT}, but this is the checkout {tree.root}" in shown
        assert f"PYTHONPATH={tree.root}/src" in shown and "Traceback" not in shown


def test_reproduce_without_git_is_one_line(tree, tmp_path):
    call = ("respike", "reproduce", "poisson_mlp.structure_survives", "--scale", "smoke")
    done = tree.run(*call, "--into", tmp_path / "again", status=2)
    assert re.fullmatch(r"respike reproduce: error: git says of .*`git clone`.*\n", done.stderr)
    assert os.listdir(tmp_path) in ([], ["again"])
