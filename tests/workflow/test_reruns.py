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
from conftest import WORKER

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
        for ledger in self.tree.ledgers:
            document = ledger.parent.name
            for figure in yaml.safe_load(ledger.read_text())["figures"]:
                path = f"results/smoke/figures/{figure['id']}.png"
                used = self.runs(*(f"{document}/{name}" for name in figure["experiments"]))
                if used and fnmatchcase(document, source) and (runs is None or used & runs):
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


SOURCES = "src/respike/sources"
LIF, LOCAL = "src/respike/spiking/lif.py", f"{SOURCES}/poisson_mlp/cpu.py"
DRAW, FIGURES = "src/respike/figures/draw.py", f"{SOURCES}/poisson_mlp/figures.py"
RULES, CLAIMS = "workflow/rules/experiments.smk", f"{SOURCES}/snn_mnist/claims.yaml"
POISSON, GRIDS = f"{SOURCES}/poisson_mlp/config.yaml", f"{SOURCES}/nmnist_grid/config.yaml"
NMNIST = ("nmnist_grid/describe*", "nmnist_emulator/*")  # what reads recordings or emulates them
TABLES = ("nmnist_grid/table_*",)
GRID = ("nmnist_grid/*",)
NOT_GRID = ("nmnist_grid/describe*", "nmnist_grid/surrogate")
RECORDINGS = {"data/nmnist_smoke/manifest.json"}  # the real sample, as a table
EMULATOR = "src/respike/data/emulator"
ANNS = ("*/ann", "*/ann_as_coded")
STEPS_1_2 = ("*/encode", "*/forward", "*/overflow")  # what trains nothing
STDP_CELLS = tuple(f"stdp_tables/{name}_*" for name in ("poisson", "bernoulli", "rank_order"))
NO_NUMBA = (*ANNS, "kulkarni_forward/encode*", "kulkarni_rajendran_2018/encode", "*/surrogate")
RULE_OF_STEP_3 = replace(("row[c] -= lr * min(", "row[c] -= lr * 2 * min("))
MORE_ADDING = replace(("ADD_PJ = 0.9", "ADD_PJ = 1.0"))

# What changes no number: (file, edit).
HARMLESS = {
    "comment in a module": (LIF, add("# a remark")),
    "docstring of a module": (
        LIF, replace(("Layers of leaky integrate-and-fire", "Leaky integrate-and-fire"))
    ),
    "layout of a module": (
        LIF, replace(("return s * (one - s)", "return (\n            s * ((one - s))\n        )"))
    ),
    "wording of an error": (LIF, replace((", allowed: {", "; one of {"))),
    "annotation": (LIF, replace(("    beta: float\n", "    beta: 'float | int'\n"))),
    "a function that no experiment calls": (
        LIF, add("def unused(mem, spk):\n    return mem[:, spk > 0].sum() / 3")
    ),
    "a constant that nothing reads": ("src/respike/spiking/events.py", add("EXTRA = 1")),
    "code for a GPU, on the CPU": (
        "src/respike/spiking/lif_gpu.py",
        replace(("float(lif.beta), device", "float(lif.beta) / 2, device")),
    ),
    "code for a GPU, in no experiment": (
        f"{SOURCES}/stdp_tables/gpu.py", replace(("1 / datum * 1000", "1 / datum * 999"))
    ),
    "comment in a figure": (DRAW, add("# a remark")),
    "runner of experiments": (
        "src/respike/workflow/run_experiment.py", replace(("round(wall_s, 3)", "round(wall_s, 4)"))
    ),
    "progress.py": ("src/respike/runs/progress.py", add("EXTRA = 1")),
    "cli.py": ("src/respike/commands/cli.py", add("EXTRA = 1")),
    "status.py": ("src/respike/commands/status.py", add("EXTRA = 1")),
    "scaling.py": ("src/respike/commands/scaling.py", add("EXTRA = 1")),
    "cases of the scaling": ("src/respike/sources/snn_mnist/scaling.yaml", add("# a remark")),
    "a module that nothing imports": ("src/respike/new.py", add("EXTRA = 1")),
    "layout of fitted parameters": (
        f"{EMULATOR}/emulator.json", lambda text: text.replace("{\n", "{\n\n", 1)
    ),
    "README": ("README.md", add("One more line.")),
    "a test": ("tests/unit/test_energy.py", add("EXTRA = 1")),
    "comment in config.yaml": ("config.yaml", add("# a remark")),
    "comment in the configuration of a source": (POISSON, add("# a remark")),
    "bounds of a setting that hold": (
        f"{SOURCES}/poisson_mlp/settings.py",
        replace(("n_images: Annotated[int, Range(1, 60_000)]", "n_images: Count")),
    ),
    "message, memory, time and priority of an experiment": (
        f"{SOURCES}/snn_mnist/config.yaml",
        replace(("job: {title: training, priority: 10, gpu: true}",
                 "job: {title: trains, priority: 3, gpu: true, memory_mb: 5000, runtime: 3h}")),
    ),
    "comment, message and threads of a rule": (
        RULES,
        replace(("    rule:", "    # a remark\n    rule:"), (", seed {{", ", with seed {{"),
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
    "setting of another scale": (
        POISSON, replace(("paper: {n_test: 10000}", "paper: {n_test: 9000}"))
    ),
    "where the data are looked for first": (
        "config.yaml", lambda text: re.sub("mnist_folder: .*", "mnist_folder: null", text)
    ),
}  # fmt: skip

# name: (file, edit, what is made anew)
CASES = {
    # Logic.
    "neuron function of two sources": (
        LIF,
        replace(("m[h] - v_thresh > zero else zero", "m[h] - v_thresh >= zero else zero")),
        lambda o: o.after(o.runs("snn_mnist/*", *GRID, but=(*ANNS, *NOT_GRID))),
    ),
    "another function of that module, of one source": (
        LIF,
        replace(("for b in range(g * batch // groups,", "for b in range(g * (batch // groups),")),
        lambda o: o.after(o.runs("snn_mnist/*", but=ANNS)),
    ),
    "learning rule": (
        LOCAL,
        RULE_OF_STEP_3,
        lambda o: o.after(o.runs("poisson_mlp/*", but=(*STEPS_1_2, *ANNS))),
    ),
    "function beside the learning rule": (
        LOCAL,
        replace(("hidden[i] = int(s1.sum())", "hidden[i] = int(s1[1:].sum())")),
        lambda o: o.after(o.runs("poisson_mlp/*", but=("*/encode", "*/overflow", *ANNS))),
    ),
    "neuron of the Kulkarni network": (
        f"{SOURCES}/kulkarni_forward/neuron.py",
        replace(("v_mV + c.dt_ms * (first + second) / 2", "v_mV + c.dt_ms * second")),
        lambda o: o.after(o.runs("kulkarni_forward/*")),
    ),
    "rounding of its weights": (
        f"{SOURCES}/kulkarni_forward/normad.py",
        replace(("for k in range(1, 65):", "for k in range(2, 65):")),
        lambda o: o.after(
            o.runs("kulkarni_forward/train*", "kulkarni_forward/readout*", "*/ann_filters")
        ),
    ),
    "engine of the STDP networks": (
        f"{SOURCES}/stdp_tables/cpu.py",
        replace(("row[j] = (row[j] - at_input[j]) + at_output[j]",
                 "row[j] = row[j] - (at_input[j] - at_output[j])")),
        lambda o: o.after(o.runs("stdp_tables/*", but=ANNS)),
    ),
    "read-outs of the STDP networks": (
        f"{SOURCES}/stdp_tables/readout.py",
        replace(("_decided(_class_rates(counts, labels, False), silent_is_0)",
                 "_decided(_class_rates(counts, labels, False), not silent_is_0)")),
        lambda o: o.after(o.runs("stdp_tables/*", but=(*ANNS, "*/show"))),
    ),
    "deep function of four sources": (
        "src/respike/spiking/events.py",
        replace((">> uint64(58)]", ">> uint64(57)]")),
        lambda o: o.after(
            o.runs("poisson_mlp/*", "snn_mnist/*", "*/transfer", *GRID,
                   but=("*/encode", "*/surrogate", *ANNS))
        ),
    ),
    "function imported inside another one": (
        f"{EMULATOR}/cpu.py",
        replace(("z ^ (z >> uint64(31))", "z ^ (z >> uint64(30))")),
        lambda o: o.after(o.runs(*NMNIST, *GRID, but=("*/surrogate", "*/describe_real")))
        | RECORDINGS,
    ),
    "what a table is made of": (
        f"{SOURCES}/nmnist_grid/effects.py",
        replace(("max(means) - min(means)", "max(means) + min(means)")),
        lambda o: o.after(o.runs(*TABLES)) | o.figures(source="nmnist_grid"),
    ),
    "network of the grid": (
        f"{SOURCES}/nmnist_grid/cpu.py",
        replace(("spk_out.sum(dim=0), target) / num_steps", "spk_out.mean(dim=0), target)")),
        lambda o: o.after(o.runs(*GRID, but=NOT_GRID)),
    ),
    "one experiment": (
        f"{SOURCES}/poisson_mlp/encode.py",
        replace(("(a * b).sum(axis=1) / np.sqrt", "(b * a).sum(axis=1) / np.sqrt")),
        lambda o: o.after(o.runs("poisson_mlp/encode")),
    ),
    "experiment that sources share": (
        f"{SOURCES}/shared/ann.py",
        replace(("reshape(len(images), 784)).to(device).float() / 255",
                 "reshape(len(images), 784)).to(device).float() / 256")),
        lambda o: o.after(o.runs(*ANNS, but=["kulkarni_rajendran_2018/*"])),  # it has its own
    ),
    "energy per operation": (
        "src/respike/spiking/energy.py",
        MORE_ADDING,
        lambda o: o.after(
            o.runs("poisson_mlp/*", "snn_mnist/*", "nmnist_grid/final*", "nmnist_grid/width*",
                   "nmnist_grid/printed_derivative", *STDP_CELLS, but=(*STEPS_1_2, *ANNS))
        )
        | o.figures(source="poisson_mlp") | o.figures(source="snn_mnist"),  # which print it
    ),
    "fitted parameters of the emulator": (
        f"{EMULATOR}/emulator.json",
        lambda text: re.sub(r'"refractory": [\d.]+', '"refractory": 3.5', text),
        lambda o: o.after(o.runs(*NMNIST, *GRID, but=("*/surrogate",))) | RECORDINGS,
    ),
    "GPU code of the emulator": (  # of the recordings: one data set for the CPU and the GPU
        f"{EMULATOR}/gpu.py",
        replace(("constant - (1 << 64)", "constant - (2 << 64)")),
        lambda o: o.after(o.runs(*GRID, but=("*/describe_real", "*/surrogate"))) | RECORDINGS,
    ),
    # Configuration.
    "number of emulated recordings": (
        "config.yaml",
        replace(("smoke: [300, 100]", "smoke: [320, 100]")),
        lambda o: o.after(o.runs(*GRID, but=("*/describe_real", "*/surrogate"))) | RECORDINGS,
    ),
    "a beta added to a search": (
        GRIDS,
        replace(("      beta: [0.7, 0.9]\n      n_hidden: [20, 40]",
                 "      beta: [0.7, 0.9, 0.8]\n      n_hidden: [20, 40]")),
        lambda o: o.after(
            o.runs("nmnist_grid/search_1_t_window_2000_part_1", "*/search_1_subset_*",
                   "nmnist_grid/table_1", "*/table_1_subset")
        ),
    ),
    "setting of one experiment": (
        POISSON,
        replace(("settings: {grad_clip: null}", "settings: {grad_clip: null, lr: 0.003}")),
        lambda o: o.after(o.runs("poisson_mlp/no_grad_clip")),
    ),
    "setting that the user changes": (
        "config.yaml",
        replace(("sources: {}", "sources: {snn_mnist: {cure_init: {settings: {lr: 0.003}}}}")),
        lambda o: o.after(o.runs("snn_mnist/cure_init")),
    ),
    "a source that the user leaves out": (
        "config.yaml", replace(("sources: {}", "sources: {kulkarni_forward: false}")),
        lambda o: JUDGE | REPORT,
    ),
    "two values change places": (
        POISSON,
        replace(("{lr: 0.1, grad_clip: 0.02}", "{lr: 0.02, grad_clip: 0.1}")),
        lambda o: o.after(o.runs("poisson_mlp/summed_clip")),
    ),
    "a seed added": (
        POISSON,
        replace(("seeds: {smoke: [0], default: [0], paper: [0]}",
                 "seeds: {smoke: [0, 7], default: [0], paper: [0]}")),
        lambda o: o.after(o.runs("poisson_mlp/overflow"))
        - o.runs("poisson_mlp/overflow")
        | {f"results/smoke/poisson_mlp/overflow/seed=7/{name}" for name in
           ("metrics.json", "arrays.npz")},
    ),
    "a seed taken away": (
        POISSON,
        replace(("forward: # Step 2\n", "forward: # Step 2\n  seeds: {smoke: [0]}\n")),
        lambda o: o.figures(o.runs("poisson_mlp/forward")) | JUDGE | REPORT,
    ),
    # Figures, ledgers, report.
    "figure style": (DRAW, replace(('SNN = "#0072B2"', 'SNN = "#0072B3"')),
                     lambda o: o.figures() | NETWORKS | REPORT),
    "one figure": (FIGURES, replace(("min(3, len(labels))", "min(4, len(labels))")),
                   lambda o: o.figures(source="poisson_mlp") | REPORT),
    "text of a claim": (CLAIMS, replace(("Most neurons are silent", "Most neurons keep silent")),
                        lambda o: JUDGE | REPORT),
    "published value": (CLAIMS, replace(("{value: 0.4168,", "{value: 0.4169,")),
                        lambda o: o.figures(source="snn_mnist") | JUDGE | REPORT),
    "rule of a verdict": (
        "src/respike/report/judge.py",
        replace(("measurement.n < needed", "measurement.n <= needed")), lambda o: JUDGE | REPORT,
    ),
    "figures of all networks": (
        "src/respike/figures/networks.py", replace(("y[k] > y[front", "y[k] >= y[front")),
        lambda o: NETWORKS | REPORT,
    ),
    "bibliography": ("references.bib", replace(("Gradient-based", "Gradient based")),
                     lambda o: REPORT),
    "bibliography of a document": (
        "src/respike/sources/stdp_tables/references.bib",
        replace(("machine learning-oriented", "machine-learning-oriented")),
        lambda o: REPORT,
    ),
    "template": ("src/respike/report/templates/comparison.html.j2", add("<!-- a remark -->"),
                 lambda o: REPORT),
    "costs and their plots in the report": (
        "src/respike/report/cost.py", replace(("len(found) <= 5", "len(found) <= 6")),
        lambda o: REPORT,
    ),
    "new benchmarks": ("reports/benchmarks.csv", add("a case"), lambda o: REPORT),
    "costs measured against size": ("reports/scaling.csv", add("a case"), lambda o: REPORT),
    # Packages.
    "pin of numba": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^numba==\S+", "numba==99.0", text),
        lambda o: o.after(o.runs("*/*", but=NO_NUMBA)) | RECORDINGS,
    ),
    "pin of matplotlib": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^matplotlib==\S+", "matplotlib==99.0", text),
        lambda o: o.figures() | NETWORKS | REPORT,
    ),
    "pin of scipy": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^scipy==\S+", "scipy==99.0", text),
        lambda o: o.after(
            o.runs(*NMNIST, *GRID, but=("*/surrogate",)) | o.runs("stdp_tables/*", but=ANNS)
        ) | RECORDINGS,
    ),
    "pin of jinja2": (
        "requirements.lock",
        lambda text: re.sub(r"(?m)^jinja2==\S+", "jinja2==99.0", text),
        lambda o: REPORT,
    ),
    # Rules.
    "command of a rule": (
        RULES,
        replace(('"python -m respike.workflow', '"python  -m respike.workflow')),
        lambda o: o.after(o.runs("*/*")),
    ),
}  # fmt: skip


def edit_file(path, edit):
    before = path.read_text() if path.exists() else ""
    after = edit(before)
    assert after != before, f"{path}: nothing to edit"
    path.write_text(after)


SINKS = JUDGE | REPORT  # what almost every edit makes anew


def groups(expected):
    """Return cases that can be tried at once: of different files, and no run is made for two.

    What is made anew then shows whose edit it is for: a case that makes too little, or something
    that is no other's, is seen. They agree in what all of them make anew.
    """
    found = []
    for case, files in expected.items():
        for group in found:
            if all(
                files - SINKS
                and files & SINKS == expected[other] & SINKS
                and not files & expected[other] - SINKS
                and CASES[case][0] != CASES[other][0]
                for other in group
            ):
                group.append(case)
                break
        else:
            found.append([case])
    return found


@pytest.fixture(scope="module")
def planned(request, smoke_tree, outputs, tmp_path_factory):
    """Return case -> what its edit makes anew: tried in groups, and where one fails, by itself."""
    copies = queue.SimpleQueue()
    for _ in range(1 if WORKER else 2):
        copies.put(smoke_tree.copy(tmp_path_factory.mktemp("copy") / "respike"))
    asked = [item.callspec.params["case"] for item in request.session.items
             if "planned" in getattr(item, "fixturenames", ())]  # fmt: skip
    expected = {case: frozenset(CASES[case][2](outputs)) for case in asked}

    def make(copy, cases):
        with copy.unchanged(*(CASES[case][0] for case in cases)):
            for case in cases:
                edit_file(copy / CASES[case][0], CASES[case][1])
            return copy.planned()

    def try_out(cases):
        copy = copies.get()
        try:
            if len(cases) > 1 and make(copy, cases) == frozenset().union(*map(expected.get, cases)):
                return {case: expected[case] for case in cases}
            return {case: make(copy, [case]) for case in cases}
        except Exception as error:
            return dict.fromkeys(cases, error)
        finally:
            copies.put(copy)

    made = {}
    with ThreadPoolExecutor(copies.qsize()) as pool:
        for found in pool.map(try_out, groups(expected)):
            made |= found
    return made


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


def move(tree, old, new):
    """Move a module, and let all code name its new place."""
    (tree / new).parent.mkdir(exist_ok=True)
    (tree / old).rename(tree / new)
    names = [path.removeprefix("src/").removesuffix(".py").replace("/", ".") for path in (old, new)]
    for file in (tree / "src").rglob("*.py"):
        text = file.read_text()
        if (changed := re.sub(rf"\b{re.escape(names[0])}\b", names[1], text)) != text:
            file.write_text(changed)


def move_function(tree, name, old, new):
    """Move a function to a new module, from which the old one imports it."""
    head, start, rest = (tree / old).read_text().partition(f"\ndef {name}(")
    body, following = re.fullmatch(r"(.*?\n)((?:\n\n\S.*)?)", rest, re.S).groups()
    imports = re.findall(r"^(?:import|from) [^(]+$", head, re.M)
    (tree / new).write_text("\n".join([*imports, start, ""]).rstrip() + body)
    module = new.removeprefix("src/").removesuffix(".py").replace("/", ".")
    (tree / old).write_text(f"{head}\nfrom {module} import {name}\n{following}")


def test_code_that_was_moved_makes_nothing_anew(copied_tree, outputs):
    """Modules moved and renamed, that of an experiment too, and functions put elsewhere."""
    tree, source = copied_tree, f"{SOURCES}/poisson_mlp"
    move(tree, "src/respike/spiking/events.py", "src/respike/spiking/packed/by_row.py")
    (tree / "src/respike/spiking/packed/__init__.py").touch()
    move(tree, f"{source}/encode.py", f"{source}/coding.py")
    coding = replace(("encode: # Step 1\n  job: {", "encode: # Step 1\n  job: {module: coding, "))
    edit_file(tree / source / "config.yaml", coding)
    edit_file(tree / source / "settings.py", replace(("class Encode", "class Coding")))
    edit_file(tree / source / "coding.py", replace(("import Encode as", "import Coding as")))
    move_function(tree, "correlation", f"{source}/coding.py", f"{source}/structure.py")
    move_function(tree, "quantise", f"{SOURCES}/kulkarni_forward/normad.py",
                  f"{SOURCES}/kulkarni_forward/rounding.py")  # fmt: skip
    assert tree.planned() == NOTHING
    assert tree.run("respike", "check", "--scale", "smoke").returncode == 0
    edit_file(tree / source / "structure.py", replace(("a * b", "b * a")))
    assert tree.planned() == outputs.after(outputs.runs("poisson_mlp/encode"))


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
        edit_file(smoke_tree / LOCAL, RULE_OF_STEP_3)
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
    edit_file(copy / LOCAL, RULE_OF_STEP_3)
    stale = copy.run("respike", "check", "--scale", "smoke", status=1).stdout
    assert "code of poisson_mlp train was" in stale
    assert "seed=0/metrics.json" in stale and "Remake them with:" in stale
    (copy / "results/smoke/verdicts.json").unlink()
    done = copy.snakemake("judge", status=1)
    assert "results are refused" in done.stdout + done.stderr
