"""What an edit reruns: a matrix of edits on a finished smoke tree, by dry run.

`everything that depends on it` is worked out here from paths and the ledgers' lists of experiments,
not by the functions that build the DAG.
"""

import json
import os
import re
import shutil
from fnmatch import fnmatchcase

import pytest
import yaml

SOURCES = ("poisson_mlp", "snn_mnist")
JUDGE = {"results/smoke/verdicts.json", "results/smoke/runs.csv"}
REPORT = {f"reports/smoke/{name}" for name in ("comparison.html", "comparison.md", "verdicts.csv")}
NOTHING = frozenset()


class Outputs:
    """The files that the finished tree holds, by what made them."""

    def __init__(self, tree):
        self.tree = tree
        self.results = {
            str(file.relative_to(tree.root))
            for file in (tree / "results" / "smoke").glob("*/*/seed=*/*")
        }

    def runs(self, *patterns, but=()):
        """Return results and arrays of experiments given as patterns of <source>/<experiment>."""
        names = {path: "/".join(path.split("/")[2:4]) for path in self.results}
        return {
            path
            for path, name in names.items()
            if any(fnmatchcase(name, p) for p in patterns)
            and not any(fnmatchcase(name, p) for p in but)
        }

    def figures(self, runs=None, source="*"):
        """Return the figures of a source, or those drawn from any of the runs."""
        found = set()
        for ledger in (self.tree / "workflow" / "claims").glob("*.yaml"):
            for figure in yaml.safe_load(ledger.read_text())["figures"]:
                path = f"results/smoke/figures/{figure['id']}.png"
                used = self.runs(*(f"{ledger.stem}/{name}" for name in figure["experiments"]))
                if used and fnmatchcase(ledger.stem, source) and (runs is None or used & runs):
                    found.add(path)
        return found

    def after(self, runs):
        """Return the runs and everything that is made from them."""
        return runs | self.figures(runs) | JUDGE | REPORT


@pytest.fixture(scope="module")
def outputs(smoke_tree):
    """Return what the tree holds; nothing must be planned before the first edit."""
    assert smoke_tree.planned() == NOTHING
    return Outputs(smoke_tree)


def replace(*pairs):
    """Return an edit: each first text of the file becomes the second."""

    def edit(text):
        for old, new in pairs:
            assert old in text, f"not in the file any more: {old}"
            text = text.replace(old, new, 1)
        return text

    return edit


def add(line):
    """Return an edit: a line at the end."""
    return lambda text: f"{text.rstrip()}\n{line}\n"


LIF, LOCAL = "src/respike/lif.py", "src/respike/local_learning.py"
DRAW, FIGURES = "src/respike/figures/draw.py", "src/respike/figures/poisson_mlp.py"
RULES, CLAIMS = "workflow/rules/snn_mnist.smk", "workflow/claims/snn_mnist.yaml"
USE_NUMBA = ("poisson_mlp/*", "snn_mnist/*")  # but for the ANNs
ANNS = ("*/ann",)

# name: (file, edit, what is made anew)
CASES = {
    # What changes no number.
    "comment in a module": (LIF, add("# a remark"), lambda o: NOTHING),
    "docstring of a module": (
        LIF,
        replace(("Layers of leaky integrate-and-fire", "Leaky integrate-and-fire")),
        lambda o: NOTHING,
    ),
    "layout of a module": (
        LIF,
        replace(("return s * (one - s)", "return (\n            s * ((one - s))\n        )")),
        lambda o: NOTHING,
    ),
    "job.py": ("src/respike/job.py", add("EXTRA = 1"), lambda o: NOTHING),
    "progress.py": ("src/respike/progress.py", add("EXTRA = 1"), lambda o: NOTHING),
    "cli.py": ("src/respike/cli.py", add("EXTRA = 1"), lambda o: NOTHING),
    "a module that nothing imports": ("src/respike/new.py", add("EXTRA = 1"), lambda o: NOTHING),
    "README": ("README.md", add("One more line."), lambda o: NOTHING),
    "a test": ("tests/unit/test_energy.py", add("EXTRA = 1"), lambda o: NOTHING),
    "comment in config.yaml": ("config.yaml", add("# a remark"), lambda o: NOTHING),
    "comment and message of a rule": (
        RULES,
        replace(("rule snn_mnist_train", "# a remark\nrule snn_mnist_train"),
                (": training, seed", ": trains, seed")),
        lambda o: NOTHING,
    ),
    "environment.yml": ("environment.yml", add("# a remark"), lambda o: NOTHING),
    "one more mirror of the data": (
        "workflow/datasets.yaml",
        replace(("  sources:\n", "  sources:\n    - {kind: url, base: 'https://localhost/'}\n")),
        lambda o: NOTHING,
    ),
    "hash of a package": (
        "requirements.lock",
        lambda text: re.sub(r"sha256:[0-9a-f]{4}", "sha256:0000", text),
        lambda o: NOTHING,
    ),
    "pin of a package that nothing imports": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^ruff==\S+", "ruff==99.0", text),
        lambda o: NOTHING,
    ),
    "setting of another scale": (
        "config.yaml",
        replace(("paper: {n_test: 10000}", "paper: {n_test: 9000}")),
        lambda o: NOTHING,
    ),
    # Logic.
    "neuron function of lif.py": (
        LIF,
        replace(("m[h] - v_thresh > zero else zero", "m[h] - v_thresh >= zero else zero")),
        lambda o: o.after(o.runs("snn_mnist/*", but=ANNS)),
    ),
    "learning rule": (
        LOCAL,
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("poisson_mlp/*", but=("*/encode", *ANNS))),
    ),
    "deep module: events.py": (
        "src/respike/events.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("poisson_mlp/*", "snn_mnist/*", but=("*/encode", *ANNS))),
    ),
    "module imported inside a function: lif_gpu.py": (
        "src/respike/lif_gpu.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("snn_mnist/*", but=ANNS)),
    ),
    "encoding": (
        "src/respike/encoding.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs(*USE_NUMBA, but=ANNS)),
    ),
    "reading of MNIST": (
        "src/respike/data/mnist.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("*/*")),
    ),
    "one experiment module": (
        "src/respike/experiments/poisson_mlp_encode.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("poisson_mlp/encode")),
    ),
    "module of both sources: ann_mlp.py": (
        "src/respike/experiments/ann_mlp.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs(*ANNS)),
    ),
    "energy per operation": (
        "src/respike/energy.py",
        replace(("ADD_PJ = 0.9", "ADD_PJ = 1.0")),
        lambda o: o.after(
            o.runs("poisson_mlp/*", "snn_mnist/*",
                   but=(*ANNS, *(f"*/{name}" for name in ("encode", "forward", "overflow"))))
        ) | o.figures(),  # both figure modules print it
    ),
    # Configuration.
    "setting of one experiment": (
        "config.yaml",
        replace(("{epochs: 2, grad_clip: null}", "{epochs: 3, grad_clip: null}")),
        lambda o: o.after(o.runs("poisson_mlp/no_grad_clip")),
    ),
    "two values change places": (
        "config.yaml",
        replace(("settings: {epochs: 2, lr: 0.1, grad_clip: 0.02}",
                 "settings: {epochs: 2, lr: 0.02, grad_clip: 0.1}")),
        lambda o: o.after(o.runs("poisson_mlp/summed_clip")),
    ),
    "a seed added": (
        "config.yaml",
        replace(("seeds: {smoke: [0], default: [0], paper: [0]}",
                 "seeds: {smoke: [0, 7], default: [0], paper: [0]}")),
        lambda o: o.after(o.runs("poisson_mlp/overflow"))
        - o.runs("poisson_mlp/overflow")
        | {f"results/smoke/poisson_mlp/overflow/seed=7/{name}" for name in
           ("metrics.json", "arrays.npz")},
    ),
    "a seed taken away": (
        "config.yaml",
        replace(("seeds: &three_seeds {smoke: [0, 1]", "seeds: &three_seeds {smoke: [0]")),
        lambda o: o.figures(
            o.runs("poisson_mlp/*", "snn_mnist/cure_*",
                   but=(*ANNS, *(f"*/{n}" for n in ("encode", "forward", "overflow", "grad_clip"))))
        ) | JUDGE | REPORT,
    ),
    # Figures, ledgers, report.
    "figure style": (DRAW, replace(('SNN = "#0072B2"', 'SNN = "#0072B3"')),
                     lambda o: o.figures() | REPORT),
    "one figure": (FIGURES, add("EXTRA = 1"),
                   lambda o: o.figures(source="poisson_mlp") | REPORT),
    "text of a claim": (CLAIMS, replace(("Most neurons are silent", "Most neurons keep silent")),
                        lambda o: JUDGE | REPORT),
    "acceptance rule": (CLAIMS, replace(("bound: 0.5, why", "bound: 0.6, why")),
                        lambda o: JUDGE | REPORT),
    "published value": (CLAIMS, replace(("{value: 0.4168,", "{value: 0.4169,")),
                        lambda o: o.figures(source="snn_mnist") | JUDGE | REPORT),
    "comment in a ledger": (CLAIMS, add("# a remark"), lambda o: JUDGE | REPORT),
    "judge.py": ("src/respike/report/judge.py", add("EXTRA = 1"), lambda o: JUDGE | REPORT),
    "render.py": ("src/respike/report/render.py", add("EXTRA = 1"), lambda o: REPORT),
    "template": ("src/respike/report/templates/comparison.html.j2", add("<!-- a remark -->"),
                 lambda o: REPORT),
    "style sheet": ("src/respike/report/templates/comparison.css", add("/* a remark */"),
                    lambda o: REPORT),
    # Packages.
    "pin of numba": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^numba==\S+", "numba==99.0", text),
        lambda o: o.after(o.runs(*USE_NUMBA, but=ANNS)),
    ),
    "pin of torch": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^torch==\S+", "torch==99.0", text),
        lambda o: o.after(o.runs("snn_mnist/*", *ANNS)),
    ),
    "pin of matplotlib": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^matplotlib==\S+", "matplotlib==99.0", text),
        lambda o: o.figures() | REPORT,
    ),
    "pin of scipy": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^scipy==\S+", "scipy==99.0", text),
        lambda o: JUDGE | REPORT,
    ),
    "pin of jinja2": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^jinja2==\S+", "jinja2==99.0", text),
        lambda o: REPORT,
    ),
    # Rules.
    "command of a rule": (
        RULES,
        replace((' --scale {SCALE}"', '  --scale {SCALE}"')),
        lambda o: o.after(o.runs("snn_mnist/*")),
    ),
}  # fmt: skip


@pytest.mark.smoke
@pytest.mark.parametrize("case", CASES)
def test_an_edit_makes_anew_exactly_what_depends_on_it(smoke_tree, outputs, case):
    file, edit, expected = CASES[case]
    with smoke_tree.unchanged(file):
        path = smoke_tree / file
        before = path.read_text() if path.exists() else ""
        after = edit(before)
        assert after != before
        path.write_text(after)
        assert smoke_tree.planned() == expected(outputs)


def edit_file(path, edit):
    path.write_text(edit(path.read_text()))


@pytest.mark.smoke
def test_touched_files_rerun_nothing(smoke_tree, outputs):
    tracked = smoke_tree.git("ls-files").splitlines()
    data = [str(file.relative_to(smoke_tree.root)) for file in smoke_tree.root.glob("data/mnist/*")]
    inputs = [*tracked, *data, *outputs.results, "results/smoke/verdicts.json"]
    with smoke_tree.unchanged(*inputs):
        for name in inputs:
            (smoke_tree / name).touch()
        assert smoke_tree.planned() == NOTHING


@pytest.mark.smoke
def test_another_branch_and_back_reruns_nothing(smoke_tree, outputs):
    smoke_tree.git("checkout", "--quiet", "-b", "other")
    try:
        edit_file(smoke_tree / LOCAL, add("EXTRA = 1"))
        edit_file(smoke_tree / CLAIMS, add("# a remark"))
        smoke_tree.git("commit", "--quiet", "--all", "--message", "other")
        on_branch = smoke_tree.planned()
    finally:
        smoke_tree.git("checkout", "--quiet", "--force", "main")
        smoke_tree.git("branch", "--quiet", "-D", "other")
    assert outputs.runs("poisson_mlp/train") < on_branch
    assert smoke_tree.planned() == NOTHING


@pytest.mark.smoke
def test_another_scale_has_a_folder_of_its_own(smoke_tree, outputs):
    planned = smoke_tree.planned(scale="default")
    assert "results/default/poisson_mlp/train/seed=0/metrics.json" in planned
    assert "reports/comparison.html" in planned
    assert not [path for path in planned if "smoke" in path or path.startswith("data/")]


@pytest.mark.smoke
def test_new_content_of_the_data_reruns_everything(smoke_tree, outputs):
    with smoke_tree.unchanged("workflow/datasets.yaml"):
        edit_file(smoke_tree / "workflow/datasets.yaml", replace(("sha256: ba8", "sha256: ba9")))
        planned = smoke_tree.planned()
    assert planned == {"data/mnist/manifest.json"} | outputs.after(outputs.runs("*/*"))


@pytest.mark.smoke
def test_a_lost_result_is_the_only_one_made_again(smoke_tree, outputs):
    lost = "results/smoke/poisson_mlp/encode/seed=0/metrics.json"
    with smoke_tree.unchanged(lost):
        (smoke_tree / lost).unlink()
        planned = smoke_tree.planned()
    both = {lost, lost.replace("metrics.json", "arrays.npz")}
    assert both & planned and planned - both == outputs.after(
        outputs.runs("poisson_mlp/encode")
    ) - (outputs.runs("poisson_mlp/encode"))


@pytest.mark.smoke
def test_a_number_edited_by_hand_is_refused_and_the_command_given_mends_it(copied_tree):
    path = "results/smoke/poisson_mlp/encode/seed=0/metrics.json"
    result = json.loads((copied_tree / path).read_text())
    result["metrics"]["correlation"] = 0.5
    (copied_tree / path).write_text(json.dumps(result))

    done = copied_tree.snakemake(status=1)
    said = done.stdout + done.stderr
    assert f"{path}: the numbers were edited after the run" in said
    assert "Traceback" not in said
    command = re.search(r"Remake them with:\n +(snakemake .*)", said)[1]
    assert path in command

    copied_tree.run("bash", "-c", command)
    copied_tree.snakemake()
    assert copied_tree.planned() == NOTHING


def clone(tree, folder, newest):
    """Clone the tree's commit and carry data, results and reports over, without .snakemake.

    The part named `newest` gets the latest times, as copying in that order gives.
    """
    tree.run("git", "clone", "--quiet", tree.root, folder)
    for name in ("data", "results", "reports"):
        shutil.copytree(tree / name, folder / name, dirs_exist_ok=True, copy_function=shutil.copy2)
    for file in (folder / newest).rglob("*"):
        os.utime(file)
    return type(tree)(folder)


@pytest.mark.smoke
def test_results_carried_to_a_clone_are_used_if_current(smoke_tree, outputs, tmp_path):
    copy = clone(smoke_tree, tmp_path / "clone", "results")
    assert not copy.planned() & outputs.runs("*/*")
    assert copy.run("respike", "check", "--scale", "smoke").returncode == 0


@pytest.mark.smoke
def test_stale_results_carried_to_a_clone_are_refused(smoke_tree, outputs, tmp_path):
    copy = clone(smoke_tree, tmp_path / "clone", "results")
    edit_file(copy / LOCAL, add("EXTRA = 1"))
    stale = copy.run("respike", "check", "--scale", "smoke", status=1).stdout
    assert "code of respike.experiments.poisson_mlp_train was" in stale
    assert "seed=0/metrics.json" in stale and "Remake them with:" in stale
    (copy / "results/smoke/verdicts.json").unlink()
    done = copy.snakemake(status=1)
    assert "results are refused" in done.stdout + done.stderr
