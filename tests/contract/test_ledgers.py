"""Ledgers, configuration, figures and code fit together: no name stands for nothing."""

import importlib
import io
import json
import re
import tokenize
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from respike.commands import new_source
from respike.report import ledger
from respike.runs import sources, strict_yaml
from respike.workflow import config, dag, jobs

ROOT = Path(__file__).parents[2]
# Any file that exists: the experiments with real N-MNIST recordings are there too.
REAL = {"nmnist_real": __file__}
SCALES = {
    scale: config.load(ROOT / "config.yaml", {"scale": scale, "data": REAL}) for scale in dag.SCALES
}
SOURCES = sources.found()
LEDGERS = {source: ledger.load(sources.FOLDER / source / sources.LEDGER) for source in SOURCES}
EXPERIMENTS = {
    (scale, source): dag.experiments(SCALES[scale], source)
    for scale in SCALES
    for source in SOURCES
}
ITEM = re.compile(r"\b[UD][1-9]\d?\b")


def contract(source):
    """Return what a source promises beside what holds for all: `keys` and `paper_only`.

    `keys` are the claims that were found in its document when it was read; `paper_only` the
    experiments that claims or figures name and that exist at scale paper only.
    """
    file = sources.FOLDER / source / "contract.yaml"
    found = strict_yaml.load(file)[0] if file.is_file() else {}
    assert found.keys() <= {"keys", "paper_only"}, file
    return {"keys": [], "paper_only": []} | found


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
    assert len(SOURCES) > 5
    folders = {file.parent.name for file in sources.FOLDER.glob("*/config.yaml")}
    assert folders == set(SOURCES) == set(SCALES["default"]["sources"])
    for name, book in LEDGERS.items():
        assert book.source["id"] == name


@pytest.mark.parametrize("source", SOURCES)
def test_every_claim_of_the_document_is_in_the_ledger(source):
    found = {claim["key"] for claim in LEDGERS[source].claims if "key" in claim}
    assert found == set(contract(source)["keys"])


@pytest.mark.parametrize("source", SOURCES)
def test_every_experiment_that_is_named_exists(source):
    book = LEDGERS[source]
    named = {name for claim in book.claims for name in ledger.experiments(claim)}
    named |= {name for figure in book.figures for name in figure["experiments"]}
    paper_only = {name for name in named if not matches("default", source, name)}
    assert paper_only == set(contract(source)["paper_only"])
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


def is_made(metric, metrics, source, settings):
    """Tell whether a run with `settings` reports `metric`, given what a smoke run reported."""
    if metric in metrics:
        return True
    # One metric per epoch, length of test or precision: fewer of them at scale smoke.
    if match := re.fullmatch(r"loss_epoch_(\d+)", metric):
        return "loss_epoch_1" in metrics and 1 <= int(match[1]) <= settings["epochs"]
    if metric.startswith("accuracy t_window="):  # of a table: one for each cell of its search
        of = re.escape(settings["search"])
        searches = [e for name, e in EXPERIMENTS["paper", source].items()
                    if re.fullmatch(rf"{of}_t_window_\d+_part_\d+", name)]  # fmt: skip
        return any(metric.removeprefix("accuracy ") in e.settings["cells"] for e in searches)
    if match := re.fullmatch(r"test_accuracy_T(\d+)", metric):
        return int(match[1]) in settings["num_steps_test"]
    if match := re.fullmatch(r"(?:test_accuracy|loss)_(\d+)_bits", metric):
        return int(match[1]) in settings["bits"]
    return False


@pytest.mark.smoke
@pytest.mark.parametrize(("source", "claim"), claims())
def test_every_metric_of_a_claim_is_reported_by_its_experiment(smoke_tree, source, claim):
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
                    assert is_made(part["metric"], metrics, source, experiment.settings), (
                        name, part["metric"], sorted(metrics)
                    )  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_every_figure_of_the_ledger_has_a_function_and_every_function_a_figure(source):
    module = importlib.import_module(jobs.figures_module(source))
    assert set(module.FIGURES) == {figure["id"] for figure in LEDGERS[source].figures}
    assert len(set(module.FIGURES.values())) == len(module.FIGURES)


@pytest.mark.parametrize("source", SOURCES)
def test_every_figure_is_drawn_by_its_rule_and_carries_a_claim(source):
    book = LEDGERS[source]
    drawn = jobs.figures(SCALES["paper"], source)
    cited = {figure for claim in book.claims for figure in claim.get("figures", [])}
    for figure in book.figures:
        assert figure["rule"] == f"{source}_figures" and figure["id"] in drawn
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
    """Return (place, text) of all that speaks of one source: its code and its configuration."""
    for file in sorted((sources.FOLDER / source).rglob("*.py")):
        tokens = tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
        for token in tokens:
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield f"{file.name}:{token.start[0]}", token.string
    lines = (sources.FOLDER / source / sources.CONFIG).read_text().splitlines()
    for number, line in enumerate(lines, 1):
        yield f"{sources.CONFIG}:{number}", line


@pytest.mark.parametrize("source", SOURCES)
def test_every_item_that_the_code_names_is_in_the_ledger(source):
    named = [(item, place) for place, text in texts(source) for item in ITEM.findall(text)]
    # A chapter of few items names them seldom, a document of many often.
    assert len(named) >= len(items(source)) // 2 > 0
    unknown = [f"{place}: {item}" for item, place in named if item not in items(source)]
    assert not unknown, "\n".join(unknown)


def test_code_of_all_sources_names_no_item_of_one():
    own = {file for source in SOURCES for file in (sources.FOLDER / source).rglob("*.py")}
    own |= set(new_source.TEMPLATE.glob("*.py"))  # of a source to be
    shared = set((ROOT / "src" / "respike").rglob("*.py")) - own
    assert len(own) > 50 and len(shared) > 50
    for file in shared:
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
