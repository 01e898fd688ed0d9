"""Ledgers, configuration, figures and code fit together: no name stands for nothing."""

import importlib
import io
import json
import re
import tokenize
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from respike.report import ledger
from respike.workflow import config, dag

ROOT = Path(__file__).parents[2]
# Any file that exists: the experiments with real N-MNIST recordings are there too.
REAL = {"nmnist_real": __file__}
SCALES = {
    scale: config.load(ROOT / "config.yaml", {"scale": scale, "data": REAL}) for scale in dag.SCALES
}
SOURCES = list(SCALES["default"]["sources"])
LEDGERS = {
    path.stem: ledger.load(path) for path in sorted((ROOT / "workflow" / "claims").glob("*.yaml"))
}
EXPERIMENTS = {
    (scale, source): dag.experiments(SCALES[scale], source)
    for scale in SCALES
    for source in SOURCES
}

# Experiments that a claim or figure names and that exist at scale paper only.
PAPER_ONLY = {
    "train_t50",
    "table_1_rows",
    "table_1_rows_as_coded",
    "table_1_rows_fresh_adam",
    "table_2_rows",
    "table_2_five_folds",
}

# The claims that were found in each document when it was read.
KEYS = {
    "poisson_mlp": {f"P1-{letter}" for letter in "abcdefghi"},
    "snn_mnist": {f"P2-{letter}" for letter in "abcde"},
    "nmnist_grid": {f"N-{letter}" for letter in "abcde"}
    | {f"N-{name}" for name in ("final", "late", "time", "cited", "table-1", "table-2", "factors")}
    | {"N-future", "N-figures"},
    "kulkarni_forward": {f"K-{letter}" for letter in "abcdefgh"},
    "stdp_tables": {f"S-{letter}" for letter in "abcdef"},
}

# What belongs to one source; modules that are not listed belong to all and name no item.
MODULES = {
    "poisson_mlp": ["experiments/poisson_mlp_*.py", "figures/poisson_mlp.py", "local_learning*.py"],
    "snn_mnist": ["experiments/snn_mnist_*.py", "figures/snn_mnist.py"],
    "nmnist_grid": [
        "experiments/nmnist_describe.py",
        "experiments/nmnist_grid_*.py",
        "figures/nmnist_grid*.py",
        "nmnist_grid/*.py",
    ],
    "nmnist_emulator": [
        "experiments/nmnist_fidelity.py",
        "experiments/nmnist_transfer.py",
        "figures/nmnist_emulator.py",
    ],
    "kulkarni_forward": ["experiments/kulkarni_*.py", "figures/kulkarni_*.py", "kulkarni/*.py"],
    "stdp_tables": ["experiments/stdp_*.py", "figures/stdp_tables.py", "stdp/*.py"],
}
ITEM = re.compile(r"\b[UD][1-9]\d?\b")


def items(source):
    """Return the D and U ids that a ledger defines."""
    return {item["id"] for item in [*LEDGERS[source].deviations, *LEDGERS[source].unstated]}


def claims():
    """Return one test parameter per claim that is measured."""
    return [
        pytest.param(source, claim, id=claim["id"])
        for source, book in LEDGERS.items()
        for claim in book.claims
        if "measure" in claim
    ]


def test_every_source_has_a_ledger_and_every_ledger_its_source():
    assert set(LEDGERS) == set(SOURCES)
    for name, book in LEDGERS.items():
        assert book.source["id"] == name


@pytest.mark.parametrize("source", KEYS)
def test_every_claim_of_the_document_is_in_the_ledger(source):
    found = {claim["key"] for claim in LEDGERS[source].claims if "key" in claim}
    assert found == KEYS[source]


@pytest.mark.parametrize("source", SOURCES)
def test_every_experiment_that_is_named_exists(source):
    book = LEDGERS[source]
    named = {name for claim in book.claims for name in ledger.experiments(claim)}
    named |= {name for figure in book.figures for name in figure["experiments"]}
    paper_only = {name for name in named if not matches("default", source, name)}
    assert paper_only == {name for name in PAPER_ONLY if name in named}
    assert all(matches("paper", source, name) for name in paper_only)


def matches(scale, source, pattern):
    return [name for name in EXPERIMENTS[scale, source] if fnmatchcase(name, pattern)]


@pytest.mark.parametrize(("source", "claim"), claims())
def test_budget_and_axis_of_a_claim_are_settings_of_its_runs(source, claim):
    runs = [EXPERIMENTS["paper", source][name] for pattern in ledger.experiments(claim)
            for name in matches("paper", source, pattern)]  # fmt: skip
    for key in claim.get("budget", {}):  # an ANN beside the network has no time steps
        assert any(key in run.settings for run in runs), key
    if claim["measure"]["kind"] == "rank_correlation":
        assert all(claim["measure"]["x"] in run.settings for run in runs)


@pytest.mark.parametrize("scale", ["default", "paper"])
@pytest.mark.parametrize(("source", "claim"), claims())
def test_a_claim_has_as_many_seeds_as_its_rule_asks_for(source, claim, scale):
    for pattern in ledger.experiments(claim):
        for name in matches(scale, source, pattern):
            seeds = EXPERIMENTS[scale, source][name].seeds
            settings = EXPERIMENTS[scale, source][name].settings
            if any(settings.get(k, v) < v for k, v in claim.get("budget", {}).items()):
                continue  # `reduced` whatever the number of seeds
            assert len(seeds) >= ledger.min_runs(claim), (name, seeds)


def reported(tree, source, root):
    """Return experiment -> (settings, metrics) of the smoke runs with the same module."""
    found = {}
    for experiment in EXPERIMENTS["smoke", source].values():
        if experiment.root == root:
            path = dag.result_path(SCALES["smoke"], source, experiment.name, experiment.seeds[0])
            found[experiment.name] = json.loads((tree / path).read_text())["metrics"]
    return found


def is_made(metric, metrics, settings):
    """Tell whether a run with `settings` reports `metric`, given what a smoke run reported."""
    if metric in metrics:
        return True
    # One metric per epoch, length of test or precision: fewer of them at scale smoke.
    if match := re.fullmatch(r"loss_epoch_(\d+)", metric):
        return "loss_epoch_1" in metrics and 1 <= int(match[1]) <= settings["epochs"]
    if metric.startswith("accuracy t_window="):  # of a table: one for each cell of its search
        of = re.escape(settings["search"])
        searches = [e for name, e in EXPERIMENTS["paper", "nmnist_grid"].items()
                    if re.fullmatch(rf"{of}_t_window_\d+_part_\d+", name)]  # fmt: skip
        return any(metric.removeprefix("accuracy ") in e.settings["cells"] for e in searches)
    if match := re.fullmatch(r"test_accuracy_T(\d+)", metric):
        return int(match[1]) in settings["num_steps_test"]
    if match := re.fullmatch(r"(?:test_accuracy|loss)_(\d+)_bits", metric):
        return int(match[1]) in settings["bits"]
    return False


@pytest.mark.smoke
@pytest.mark.parametrize(("source", "claim"), claims())
def test_every_metric_of_a_claim_is_reported_by_its_module(smoke_tree, source, claim):
    measure = claim["measure"]
    parts = [measure[side] for side in ("a", "b") if side in measure] or [measure]
    for part in parts:
        patterns = [part.get("experiment"), part.get("experiments"), *part.get("rivals", [])]
        for pattern in filter(None, patterns):
            for name in matches("paper", source, pattern):
                experiment = EXPERIMENTS["paper", source][name]
                found = reported(smoke_tree, source, experiment.root)
                # Some metrics depend on settings: a smoke run of the experiment itself decides.
                own = {experiment.name: found[experiment.name]} if name in found else found
                for metrics in own.values():
                    assert is_made(part["metric"], metrics, experiment.settings), (
                        name, part["metric"], sorted(metrics)
                    )  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_every_figure_of_the_ledger_has_a_function_and_every_function_a_figure(source):
    module = importlib.import_module(f"respike.figures.{source}")
    assert set(module.FIGURES) == {figure["id"] for figure in LEDGERS[source].figures}
    assert len(set(module.FIGURES.values())) == len(module.FIGURES)


@pytest.mark.parametrize("source", SOURCES)
def test_every_figure_is_drawn_by_its_rule_and_carries_a_claim(source):
    book = LEDGERS[source]
    rules = (ROOT / "workflow" / "rules" / f"{source}.smk").read_text()
    cited = {figure for claim in book.claims for figure in claim.get("figures", [])}
    for figure in book.figures:
        assert re.search(rf"rule (\w+ as )?{figure['rule']}\b", rules), figure["id"]
        assert figure["id"] in cited, f"{figure['id']}: no claim points to it"


@pytest.mark.parametrize("source", SOURCES)
def test_every_item_is_used_by_a_claim_or_a_caption(source):
    book = LEDGERS[source]
    used = {item for claim in book.claims for kind in ("deviations", "unstated")
            for item in claim.get(kind, [])}  # fmt: skip
    for figure in book.figures:
        used |= set(ITEM.findall(figure["caption"]))
    assert used == items(source)


def texts(source):
    """Return (place, text) of all that speaks of one source: its code, its part of config.yaml."""
    for pattern in MODULES[source]:
        files = sorted((ROOT / "src" / "respike").glob(pattern))
        assert files, pattern
        for file in files:
            tokens = tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
            for token in tokens:
                if token.type in (tokenize.COMMENT, tokenize.STRING):
                    yield f"{file.name}:{token.start[0]}", token.string
    section = None
    for number, line in enumerate((ROOT / "config.yaml").read_text().splitlines(), 1):
        if match := re.match(r"(?:  )?(\w+):", line):
            section = match[1]
        if section == source:
            yield f"config.yaml:{number}", line


@pytest.mark.parametrize("source", SOURCES)
def test_every_item_that_the_code_names_is_in_the_ledger(source):
    named = [(item, place) for place, text in texts(source) for item in ITEM.findall(text)]
    # The chapter on the emulator has one to three items.
    assert len(named) > (0 if source == "nmnist_emulator" else 10)
    unknown = [f"{place}: {item}" for item, place in named if item not in items(source)]
    assert not unknown, "\n".join(unknown)


def test_code_of_all_sources_names_no_item_of_one():
    own = {file for patterns in MODULES.values() for pattern in patterns
           for file in (ROOT / "src" / "respike").glob(pattern)}  # fmt: skip
    for file in set((ROOT / "src" / "respike").rglob("*.py")) - own:
        assert not ITEM.findall(file.read_text()), file.name


@pytest.mark.parametrize("source", SOURCES)
def test_protocols_of_experiments_and_claims_are_in_the_ledger(source):
    protocols = set(LEDGERS[source].source["protocols"])
    run = {e.protocol for scale in SCALES for e in EXPERIMENTS[scale, source].values()}
    claimed = {claim["protocol"] for claim in LEDGERS[source].claims}
    assert run == claimed == protocols


@pytest.mark.parametrize(("source", "claim"), claims())
def test_a_claim_measures_runs_of_its_own_protocol(source, claim):
    for name in ledger.experiments(claim):
        for experiment in matches("paper", source, name):
            assert EXPERIMENTS["paper", source][experiment].protocol == claim["protocol"]
