"""What an edit reruns: a matrix of edits on a finished smoke tree, by dry run.

`everything that depends on it` is worked out here from paths and the ledgers' lists of experiments,
not by the functions that build the DAG.
"""

import json
import os
import queue
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase

import pytest
import yaml

pytestmark = pytest.mark.smoke

JUDGE = {f"results/smoke/{name}" for name in ("verdicts.json", "networks.json", "runs.csv")}
# The plots of all networks, drawn from networks.json.
NETWORKS = {f"results/smoke/figures/networks_{kind}.png" for kind in ("operations", "time")}
JUDGE |= NETWORKS
CSVS = ("verdicts.csv", "results.csv", "networks.csv", "pairs.csv")
REPORT = {f"reports/smoke/{name}" for name in ("comparison.html", "comparison.md", *CSVS)}
CELLS = "results/smoke/nmnist_grid/cells.csv"  # every cell of the searches as one table
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
        cells = {CELLS} if runs & self.runs("nmnist_grid/search_*") else set()
        return runs | self.figures(runs) | cells | JUDGE | REPORT


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


LIF, LOCAL = "src/respike/spiking/lif.py", "src/respike/sources/poisson_mlp/cpu.py"
DRAW, FIGURES = "src/respike/figures/draw.py", "src/respike/sources/poisson_mlp/figures.py"
RULES, CLAIMS = "workflow/rules/snn_mnist.smk", "src/respike/sources/snn_mnist/claims.yaml"
NMNIST = ("nmnist_grid/describe*", "nmnist_emulator/*")  # what reads recordings or emulates them
TABLES = ("nmnist_grid/table_*",)
GRID = ("nmnist_grid/*",)
NOT_GRID = ("nmnist_grid/describe*", "nmnist_grid/surrogate")
RECORDINGS = {"data/nmnist_smoke/manifest.json"}  # the real sample, as a table
EMULATOR = "src/respike/data/emulator/emulator.json"
USE_NUMBA = (
    "poisson_mlp/*",
    "snn_mnist/*",
    "kulkarni_forward/*",
    "stdp_tables/*",
    *NMNIST,
    *GRID,
)  # with exceptions
ANNS = ("*/ann", "*/ann_as_coded")
STDP_CELLS = tuple(f"stdp_tables/{name}_*" for name in ("poisson", "bernoulli", "rank_order"))
NO_NUMBA = (*ANNS, "kulkarni_forward/encode*", "nmnist_grid/surrogate")

# What changes no number: (file, edit).
HARMLESS = {
    "comment in a module": (LIF, add("# a remark")),
    "docstring of a module": (
        LIF, replace(("Layers of leaky integrate-and-fire", "Leaky integrate-and-fire"))
    ),
    "layout of a module": (
        LIF, replace(("return s * (one - s)", "return (\n            s * ((one - s))\n        )"))
    ),
    "comment in a figure": (DRAW, add("# a remark")),
    "job.py": ("src/respike/runs/job.py", add("EXTRA = 1")),
    "progress.py": ("src/respike/runs/progress.py", add("EXTRA = 1")),
    "cli.py": ("src/respike/commands/cli.py", add("EXTRA = 1")),
    "status.py": ("src/respike/commands/status.py", add("EXTRA = 1")),
    "scaling.py": ("src/respike/commands/scaling.py", add("EXTRA = 1")),
    "cases of the scaling": ("src/respike/sources/snn_mnist/scaling.yaml", add("# a remark")),
    "a module that nothing imports": ("src/respike/new.py", add("EXTRA = 1")),
    "layout of fitted parameters": (EMULATOR, lambda text: text.replace("{\n", "{\n\n", 1)),
    "README": ("README.md", add("One more line.")),
    "a test": ("tests/unit/test_energy.py", add("EXTRA = 1")),
    "comment in config.yaml": ("config.yaml", add("# a remark")),
    "comment and message of a rule": (
        RULES,
        replace(("rule snn_mnist_train", "# a remark\nrule snn_mnist_train"),
                (": training, seed", ": trains, seed")),
    ),
    "memory, time and threads of a rule": (
        RULES,
        replace(("mem_mb=grow(3000)", "mem_mb=grow(5000)"),
                ('runtime=grow("2h")', 'runtime=grow("3h")'),
                ("threads: 1", "threads: 2")),
    ),
    "environment.yml": ("environment.yml", add("# a remark")),
    "one more mirror of the data": (
        "workflow/datasets.yaml",
        replace(
            ("sources:\n", "sources:\n    - {kind: url, base: 'https://localhost/', suffix: .gz}\n")
        ),
    ),
    "hash of a package": (
        "requirements.lock", lambda text: re.sub(r"sha256:[0-9a-f]{4}", "sha256:0000", text)
    ),
    "pin of a package that nothing imports": (
        "requirements.lock", lambda text: re.sub(r"(?m)^ruff==\S+", "ruff==99.0", text)
    ),
}  # fmt: skip

# name: (file, edit, what is made anew)
CASES = {
    "setting of another scale": (
        "config.yaml",
        replace(("paper: {n_test: 10000}", "paper: {n_test: 9000}")),
        lambda o: NOTHING,
    ),
    "where the data are looked for first": (
        "config.yaml",
        lambda text: re.sub("mnist_folder: .*", "mnist_folder: null", text),
        lambda o: NOTHING,
    ),
    # Logic.
    "neuron function of lif.py": (
        LIF,
        replace(("m[h] - v_thresh > zero else zero", "m[h] - v_thresh >= zero else zero")),
        lambda o: o.after(o.runs("snn_mnist/*", *GRID, but=(*ANNS, *NOT_GRID))),
    ),
    "learning rule": (
        LOCAL,
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("poisson_mlp/*", but=("*/encode", *ANNS))),
    ),
    "neuron of the Kulkarni network": (
        "src/respike/sources/kulkarni_forward/neuron.py",
        replace(("v_mV + c.dt_ms * (first + second) / 2", "v_mV + c.dt_ms * second")),
        lambda o: o.after(o.runs("kulkarni_forward/*")),
    ),
    "learning rule of the Kulkarni network": (
        "src/respike/sources/kulkarni_forward/normad.py",
        add("EXTRA = 1"),
        lambda o: o.after(
            o.runs("kulkarni_forward/train*", "kulkarni_forward/readout*", "*/ann_filters")
        ),
    ),
    "engine of the STDP networks": (
        "src/respike/sources/stdp_tables/cpu.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("stdp_tables/*", but=ANNS)),
    ),
    "read-outs of the STDP networks": (
        "src/respike/sources/stdp_tables/readout.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("stdp_tables/*", but=(*ANNS, "*/show"))),
    ),
    "torch version of the STDP networks, in no experiment": (
        "src/respike/sources/stdp_tables/gpu.py",
        add("EXTRA = 1"),
        lambda o: NOTHING,
    ),
    "deep module: events.py": (
        "src/respike/spiking/events.py",
        add("EXTRA = 1"),
        lambda o: o.after(
            o.runs("poisson_mlp/*", "snn_mnist/*", "*/transfer", *GRID,
                   but=("*/encode", "*/surrogate", *ANNS))
        ),
    ),
    "module imported inside a function: lif_gpu.py": (
        "src/respike/spiking/lif_gpu.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("snn_mnist/*", *GRID, but=(*ANNS, *NOT_GRID))),
    ),
    "how a table is read": (
        "src/respike/sources/nmnist_grid/effects.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs(*TABLES)) | o.figures(source="nmnist_grid") | {CELLS},
    ),
    "network of the grid": (
        "src/respike/sources/nmnist_grid/cpu.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs(*GRID, but=NOT_GRID)),
    ),
    "one experiment module": (
        "src/respike/sources/poisson_mlp/encode.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs("poisson_mlp/encode")),
    ),
    "module of both sources: ann_mlp.py": (
        "src/respike/sources/shared/ann.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs(*ANNS)),
    ),
    "energy per operation": (
        "src/respike/spiking/energy.py",
        replace(("ADD_PJ = 0.9", "ADD_PJ = 1.0")),
        lambda o: o.after(
            o.runs("poisson_mlp/*", "snn_mnist/*", "nmnist_grid/final*", "nmnist_grid/width*",
                   "nmnist_grid/printed_derivative", *STDP_CELLS, *ANNS,
                   but=tuple(f"*/{name}" for name in ("encode", "forward", "overflow")))
        )
        # which print it
        | o.figures(source="poisson_mlp") | o.figures(source="snn_mnist")
        | o.figures(source="stdp_tables"),
    ),
    "fitted parameters of the emulator": (
        EMULATOR,
        lambda text: re.sub(r'"refractory": [\d.]+', '"refractory": 3.5', text),
        lambda o: o.after(o.runs(*NMNIST, *GRID, but=("*/surrogate",))) | RECORDINGS,
    ),
    "GPU code of the emulator": (
        "src/respike/data/emulator/gpu.py",
        add("EXTRA = 1"),
        lambda o: o.after(o.runs(*NMNIST, *GRID, but=("*/surrogate",))) | RECORDINGS,
    ),
    # Configuration.
    "number of emulated recordings": (
        "config.yaml",
        replace(("smoke: [300, 100]", "smoke: [320, 100]")),
        lambda o: o.after(o.runs(*GRID, but=("*/describe_real", "*/surrogate"))) | RECORDINGS,
    ),
    "a beta added to a search": (
        "config.yaml",
        replace(("          beta: [0.7, 0.9]\n          n_hidden: [20, 40]",
                 "          beta: [0.7, 0.9, 0.8]\n          n_hidden: [20, 40]")),
        lambda o: o.after(
            o.runs("nmnist_grid/search_1_t_window_2000_part_1", "*/search_1_subset_*",
                   "nmnist_grid/table_1", "*/table_1_subset")
        ),
    ),
    "setting of one experiment": (
        "config.yaml",
        replace(("settings: {grad_clip: null}", "settings: {grad_clip: null, lr: 0.003}")),
        lambda o: o.after(o.runs("poisson_mlp/no_grad_clip")),
    ),
    "two values change places": (
        "config.yaml",
        replace(("{lr: 0.1, grad_clip: 0.02}", "{lr: 0.02, grad_clip: 0.1}")),
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
        replace(("forward: # Step 2\n", "forward: # Step 2\n      seeds: {smoke: [0]}\n")),
        lambda o: o.figures(o.runs("poisson_mlp/forward")) | JUDGE | REPORT,
    ),
    # Figures, ledgers, report.
    "figure style": (DRAW, replace(('SNN = "#0072B2"', 'SNN = "#0072B3"')),
                     lambda o: o.figures() | NETWORKS | REPORT),
    "one figure": (FIGURES, add("EXTRA = 1"),
                   lambda o: o.figures(source="poisson_mlp") | REPORT),
    "text of a claim": (CLAIMS, replace(("Most neurons are silent", "Most neurons keep silent")),
                        lambda o: JUDGE | REPORT),
    "published value": (CLAIMS, replace(("{value: 0.4168,", "{value: 0.4169,")),
                        lambda o: o.figures(source="snn_mnist") | JUDGE | REPORT),
    "judge.py": ("src/respike/report/judge.py", add("EXTRA = 1"), lambda o: JUDGE | REPORT),
    "figures of all networks": ("src/respike/figures/networks.py", add("EXTRA = 1"),
                                lambda o: NETWORKS | REPORT),
    "bibliography": ("references.bib", replace(("Gradient-based", "Gradient based")),
                     lambda o: REPORT),
    "bibliography of a document": (
        "src/respike/sources/stdp_tables/references.bib",
        replace(("Unsupervised learning of digit", "Unsupervised learning of digits")),
        lambda o: REPORT,
    ),
    "template": ("src/respike/report/templates/comparison.html.j2", add("<!-- a remark -->"),
                 lambda o: REPORT),
    "costs and their plots in the report": (
        "src/respike/report/cost.py", add("EXTRA = 1"), lambda o: REPORT
    ),
    "new benchmarks": ("reports/benchmarks.csv", add("a case"), lambda o: REPORT),
    "costs measured against size": ("reports/scaling.csv", add("a case"), lambda o: REPORT),
    # Packages.
    "pin of numba": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^numba==\S+", "numba==99.0", text),
        lambda o: o.after(o.runs(*USE_NUMBA, but=NO_NUMBA)) | RECORDINGS,
    ),
    "pin of matplotlib": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^matplotlib==\S+", "matplotlib==99.0", text),
        lambda o: o.figures() | NETWORKS | REPORT,
    ),
    "pin of scipy": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^scipy==\S+", "scipy==99.0", text),
        lambda o: (
            o.after(
                o.runs(*NMNIST, *GRID, but=("*/surrogate",)) | o.runs("stdp_tables/*", but=ANNS)
            ) | o.figures(source="nmnist_grid") | RECORDINGS
        ),
    ),
    "pin of jinja2": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^jinja2==\S+", "jinja2==99.0", text),
        lambda o: REPORT,
    ),
    # Rules.
    "command of a rule": (
        RULES,
        replace(('"python -m {params.module}"', '"python  -m {params.module}"')),
        lambda o: o.after(o.runs("snn_mnist/*")),
    ),
}  # fmt: skip


def edit_file(path, edit):
    before = path.read_text() if path.exists() else ""
    after = edit(before)
    assert after != before, f"{path}: nothing to edit"
    path.write_text(after)


@pytest.fixture(scope="module")
def planned(request, smoke_tree, outputs, tmp_path_factory):
    """Return case -> what its edit makes anew; two copies of the tree, two dry runs at a time."""
    copies = queue.SimpleQueue()
    for _ in range(2):
        copies.put(smoke_tree.copy(tmp_path_factory.mktemp("copy") / "respike"))
    asked = [item.callspec.params["case"] for item in request.session.items
             if "planned" in getattr(item, "fixturenames", ())]  # fmt: skip

    def try_out(case):
        file, edit, _ = CASES[case]
        copy = copies.get()
        try:
            with copy.unchanged(file):
                edit_file(copy / file, edit)
                return copy.planned()
        except Exception as error:
            return error
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(asked, pool.map(try_out, asked), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_an_edit_makes_anew_exactly_what_depends_on_it(outputs, planned, case):
    if isinstance(planned[case], Exception):
        raise planned[case]
    assert planned[case] == CASES[case][2](outputs)


def test_harmless_edits_make_nothing_anew(copied_tree, outputs):
    """All at once; only if that fails, one by one, to name the culprit."""
    files = {file for file, _ in HARMLESS.values()}
    with copied_tree.unchanged(*files):
        for file, edit in HARMLESS.values():
            edit_file(copied_tree / file, edit)
        if copied_tree.planned() == NOTHING:
            return
    found = {}
    for name, (file, edit) in HARMLESS.items():
        with copied_tree.unchanged(file):
            edit_file(copied_tree / file, edit)
            found[name] = copied_tree.planned()
    assert not {name: files for name, files in found.items() if files}


def test_touched_files_rerun_nothing(smoke_tree, outputs):
    tracked = smoke_tree.git("ls-files").splitlines()
    data = [str(file.relative_to(smoke_tree.root)) for file in smoke_tree.root.glob("data/mnist/*")]
    inputs = [*tracked, *data, *outputs.results, "results/smoke/verdicts.json"]
    with smoke_tree.unchanged(*inputs):
        for name in inputs:
            (smoke_tree / name).touch()
        assert smoke_tree.planned() == NOTHING


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


def test_another_scale_has_a_folder_of_its_own(smoke_tree, outputs):
    planned = smoke_tree.planned(scale="default")
    assert "results/default/poisson_mlp/train/seed=0/metrics.json" in planned
    assert "reports/comparison.html" in planned
    # MNIST is shared; the recordings of N-MNIST are more at this scale, official if they can be.
    data = {path for path in planned if path.startswith("data/")}
    assert data == {"data/nmnist_default/manifest.json", "data/nmnist_official/manifest.json"}
    assert not [path for path in planned if "smoke" in path]


def test_new_content_of_the_data_reruns_everything(smoke_tree, outputs):
    with smoke_tree.unchanged("workflow/datasets.yaml"):
        edit_file(smoke_tree / "workflow/datasets.yaml", replace(("sha256: ba8", "sha256: ba9")))
        planned = smoke_tree.planned()
    made = outputs.after(outputs.runs("*/*"))
    assert planned == {"data/mnist/manifest.json"} | RECORDINGS | made


def test_a_lost_result_is_made_when_it_is_asked_for(smoke_tree, outputs):
    # Snakemake does not miss an input of finished files; `respike check` counts it.
    lost = "results/smoke/poisson_mlp/encode/seed=0/metrics.json"
    with smoke_tree.unchanged(lost):
        (smoke_tree / lost).unlink()
        assert smoke_tree.planned() == NOTHING
        said = smoke_tree.snakemake("--dry-run", lost).stdout
        counted = smoke_tree.run("respike", "check", "--scale", "smoke").stdout
    assert re.search(r"^poisson_mlp_encode +1\ntotal +1$", said, re.M)
    count = len(outputs.results) // 2
    assert f"{count - 1} of {count} present" in counted


def test_a_number_edited_by_hand_is_refused_and_the_command_given_mends_it(copied_tree):
    path = "results/smoke/poisson_mlp/encode/seed=0/metrics.json"
    result = json.loads((copied_tree / path).read_text())
    result["metrics"]["correlation"] = 0.5
    (copied_tree / path).write_text(json.dumps(result))

    done = copied_tree.snakemake("judge", status=1)
    said = done.stdout + done.stderr
    assert f"{path}: the numbers were edited after the run" in said
    assert "Traceback" not in said
    command = re.search(r"Remake them with:\n +(snakemake .*)", said)[1]
    assert path in command

    copied_tree.run("bash", "-c", command)
    copied_tree.snakemake("judge")


def test_an_edit_of_an_imported_kernel_reaches_the_numbers(copied_tree):
    path = "results/smoke/poisson_mlp/forward/seed=0/metrics.json"
    was = json.loads((copied_tree / path).read_text())
    twice = replace(("out[h] += row[h]", "out[h] += np.float32(2) * row[h]"))
    edit_file(copied_tree / "src/respike/spiking/events.py", twice)
    copied_tree.snakemake(path)
    now = json.loads((copied_tree / path).read_text())
    assert now["code"] != was["code"]
    assert now["metrics"] != was["metrics"]


def test_snakemakes_own_calls_do_what_its_users_expect(smoke_tree, outputs):
    """The calls that README shows, on a finished tree."""

    def rules(*arguments):
        said = smoke_tree.snakemake("--dry-run", *arguments).stdout
        table = re.search(r"^job +count\n[- ]+\n(.*?)\ntotal ", said, re.S | re.M)
        return {line.split()[0] for line in table[1].splitlines()} if table else set()

    one = "results/smoke/poisson_mlp/encode/seed=0/metrics.json"
    assert rules(one) == set()
    assert rules(one, "--force") == {"poisson_mlp_encode"}
    assert rules("report", "--forcerun", "poisson_mlp_figures") == {"poisson_mlp_figures", "report"}
    train = ("--forcerun", "poisson_mlp_train")
    assert rules("--until", "poisson_mlp_train", *train) == {"poisson_mlp_train"}
    # Without what needs the omitted rule: judge, and with it the report.
    omitted = rules("--omit-from", "snn_mnist_train", *train)
    assert omitted == {"poisson_mlp_train", "poisson_mlp_figures"}


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


def test_results_carried_to_a_clone_are_used_if_current(smoke_tree, outputs, tmp_path):
    copy = clone(smoke_tree, tmp_path / "clone", "results")
    # Tables are made of other results, whose times a copy mixes up; they take seconds.
    assert not copy.planned() & outputs.runs("*/*", but=TABLES)
    assert copy.run("respike", "check", "--scale", "smoke").returncode == 0


def test_stale_results_carried_to_a_clone_are_refused(smoke_tree, outputs, tmp_path):
    copy = clone(smoke_tree, tmp_path / "clone", "results")
    edit_file(copy / LOCAL, add("EXTRA = 1"))
    stale = copy.run("respike", "check", "--scale", "smoke", status=1).stdout
    assert "code of respike.sources.poisson_mlp.train was" in stale
    assert "seed=0/metrics.json" in stale and "Remake them with:" in stale
    (copy / "results/smoke/verdicts.json").unlink()
    done = copy.snakemake("judge", status=1)
    assert "results are refused" in done.stdout + done.stderr
