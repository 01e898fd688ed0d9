"""What a user types: `respike`, `make`, and Snakemake with a mistake in the configuration."""

import re

import pytest

pytestmark = pytest.mark.smoke


def test_help_names_every_command(smoke_tree):
    shown = smoke_tree.run("respike", "--help").stdout
    names = ("config", "check", "claims", "report", "digest", "fetch", "bench", "scaling", "status")
    for name in (*names, "verdict", "why", "remake", "record"):
        assert re.search(rf"^ +{name} ", shown, re.M), name


def test_config_lists_what_the_tree_holds(smoke_tree):
    lines = smoke_tree.run("respike", "config", "--scale", "smoke").stdout.splitlines()
    listed = {tuple(line.split()[:3]) for line in lines}
    made = {(folder.parent.name, folder.name, str(len(list(folder.glob("seed=*")))))
            for folder in (smoke_tree / "results/smoke").glob("*/*")
            if list(folder.glob("seed=*"))}  # fmt: skip
    assert listed == made


def test_config_shows_one_experiment(smoke_tree):
    shown = smoke_tree.run("respike", "config", "poisson_mlp", "no_grad_clip").stdout
    assert re.search(r"grad_clip +null", shown) and re.search(r"v_thresh +0.5", shown)


def test_check_finds_every_result_current(smoke_tree):
    shown = smoke_tree.run("respike", "check", "--scale", "smoke").stdout
    count = len(list((smoke_tree / "results/smoke").glob("*/*/seed=*/metrics.json")))
    assert f"{count} of {count} present, 0 left over" in shown
    assert "every result that is present is current" in shown


def test_check_names_a_result_of_other_code(smoke_tree):
    with smoke_tree.unchanged("src/respike/spiking/energy.py"):
        path = smoke_tree / "src/respike/spiking/energy.py"
        path.write_text(path.read_text().replace("ADD_PJ = 0.9", "ADD_PJ = 1.0"))
        shown = smoke_tree.run("respike", "check", "--scale", "smoke", status=1).stdout
    assert "results/smoke/poisson_mlp/train/seed=0/metrics.json: code of " in shown
    assert "encode" not in shown  # does not reach it


def test_claims_lists_all_with_their_status(smoke_tree):
    lines = smoke_tree.run("respike", "claims", "--scale", "smoke").stdout.splitlines()
    text = "".join(path.read_text() for path in smoke_tree.ledgers)
    ids = re.findall(r"^ *(?:- |)id: (\w+\.\w+)$", text, re.M)
    assert [line.split()[1] for line in lines] and {line.split()[1] for line in lines} == set(ids)
    statuses = {line.split()[0] for line in lines}
    assert statuses <= {"reduced", "not_run", "not_comparable", "source_error"}


def test_digest_names_definitions_and_packages(smoke_tree):
    shown = smoke_tree.run("respike", "digest", "respike.sources.snn_mnist.train").stdout
    for name in ("spiking.lif", "spiking.events", "spiking.lif_gpu", "sources.snn_mnist.train"):
        assert re.search(rf"^  respike\.{name}\.\w+$", shown, re.M), name
    assert re.search(r"^  numba==\d", shown, re.M) and "respike.workflow" not in shown


def test_report_says_where_it_is_and_counts(smoke_tree):
    shown = smoke_tree.run("respike", "report", "--scale", "smoke").stdout
    assert str(smoke_tree / "reports/smoke/comparison.html") in shown
    assert re.search(r"\d+ reduced", shown)
    none = smoke_tree.run("respike", "report", "--scale", "paper", status=1).stderr
    assert none.strip() == "no report at scale paper yet: make report"


def test_a_reader_asks_about_a_claim(smoke_tree):
    ask = ["--scale", "smoke", "poisson_mlp.accuracy"]
    shown = smoke_tree.run("respike", "verdict", *ask).stdout
    assert shown.startswith("poisson_mlp.accuracy: reduced\n") and "by seed    0: " in shown
    shown = smoke_tree.run("respike", "why", *ask).stdout
    assert "results/smoke/poisson_mlp/train/seed=1/metrics.json: current" in shown
    assert "respike.sources.poisson_mlp.train" in shown and '"v_thresh": 0.5' in shown
    command = smoke_tree.run("respike", "remake", *ask).stdout.strip()
    assert command in shown and command.endswith("--force --config scale=smoke")
    wrong = smoke_tree.run("respike", "why", "--scale", "smoke", "poisson_mlp.acuracy", status=2)
    assert "did you mean poisson_mlp.accuracy" in wrong.stderr


def test_why_names_a_run_that_was_edited(smoke_tree):
    path = "results/smoke/poisson_mlp/train/seed=1/metrics.json"
    with smoke_tree.unchanged(path):
        text = (smoke_tree / path).read_text()
        (smoke_tree / path).write_text(text.replace('"threads": ', '"threads": 1'))
        shown = smoke_tree.run("respike", "why", "--scale", "smoke", "poisson_mlp.accuracy").stdout
    assert f"{path}: the numbers were edited after the run" in shown


def test_a_smoke_run_is_not_recorded(smoke_tree):
    before = sorted((smoke_tree / "reports").rglob("record.json"))
    one = ("--source", "snn_mnist", "--experiment", "ann")
    done = smoke_tree.run("respike", "record", "--scale", "smoke", *one, status=1)
    assert done.stderr.count("a smoke run shows nothing") == 2  # seeds
    assert sorted((smoke_tree / "reports").rglob("record.json")) == before


def test_status_after_the_run(smoke_tree):
    shown = smoke_tree.run("respike", "status").stdout
    assert re.match(r"finished: .* \(scale smoke, ", shown), shown
    counts = re.search(r"(\d+) of (\d+) jobs done \(100 %\)", shown)
    assert counts is None or counts[1] == counts[2]  # or: nothing was to be done


def test_make_help_names_every_target(smoke_tree):
    makefile = (smoke_tree / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)", makefile, re.M)[1].split()
    for shown in (smoke_tree.run("make").stdout, smoke_tree.run("make", "help").stdout):
        assert [
            line.split()[1] for line in shown.splitlines() if line.startswith("  make ")
        ] == targets


SOURCE = "src/respike/sources/poisson_mlp/config.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (SOURCE, "    n_train: 10000\n    n_val", "    n_trian: 1\n    n_val",
         "sources.poisson_mlp.train.settings.n_trian: unknown key; did you mean n_train?"),
        (SOURCE, "num_steps: 50\n", "num_steps: -1\n", "found -1, allowed is at least 1"),
        (SOURCE, "num_steps: 50\n", "num_steps: many\n", "num_steps: found 'many' (text)"),
        ("config.yaml", "scale: default", "scale: defualt",
         "found 'defualt' (text); did you mean default?"),
        ("config.yaml", "smoke: [0, 1]\n", "smoke: []\n", "seeds.smoke: found an empty list"),
        ("config.yaml", "smoke: [0, 1]\n", "smoke: [0, 0]\n", "seeds.smoke: 0 is given twice"),
        ("config.yaml", "scale: default", "scale: default\nscale: smoke", "scale"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_configuration_stops_with_one_clear_line(smoke_tree, file, old, new, says):
    with smoke_tree.unchanged(file):
        path = smoke_tree / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        done = smoke_tree.run("snakemake", "--dry-run", status=1)
    shown = done.stdout + done.stderr
    assert "Traceback" not in shown
    [line] = [line for line in shown.splitlines() if line.startswith(f"{file}:")]
    assert re.match(rf"{file}:\d+: ", line) and says in line
    assert len(shown.splitlines()) <= 6, shown


def test_a_mistake_on_the_command_line_says_so(smoke_tree):
    done = smoke_tree.run("snakemake", "--dry-run", "--config", "scal=smoke", status=1)
    shown = done.stdout + done.stderr
    assert "command line" in shown and "did you mean scale?" in shown and "Traceback" not in shown
