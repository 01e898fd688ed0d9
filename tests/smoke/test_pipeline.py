"""The whole pipeline at scale smoke: a report that is complete and claims nothing."""

import csv
import html
import json
import re
import time
import zipfile

import matplotlib.image
import numpy as np
import pytest

from respike.commands import reproduce
from respike.report import ledger

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def verdicts(smoke_tree):
    """Return the claims of verdicts.json by id."""
    content = json.loads((smoke_tree / "results/smoke/verdicts.json").read_text())
    return {claim["id"]: claim for source in content["sources"] for claim in source["claims"]}


@pytest.fixture(scope="module")
def books(smoke_tree):
    """Return the ledgers of the tree."""
    return [ledger.load(path) for path in smoke_tree.ledgers]


def test_the_jobs_ran_the_code_of_the_copy(smoke_tree):
    where = smoke_tree.run(
        "python", "-c", "import respike.workflow.dag; print(respike.workflow.dag.__file__)"
    ).stdout
    assert where.strip() == str(smoke_tree / "src/respike/workflow/dag.py")
    head = smoke_tree.git("rev-parse", "HEAD")
    for path in results(smoke_tree):
        result = json.loads(path.read_text())
        assert (result["commit"], result["dirty"]) == (head, False)


def results(tree):
    found = sorted((tree / "results/smoke").glob("*/*/seed=*/metrics.json"))
    assert len(found) > 40
    return found


KINDS = {  # of N-MNIST, where it is not the real sample; of all other sources it is official
    "surrogate": "official",  # MNIST, of which it uses nothing
    "describe_real": "local",
    "fidelity": "local and emulated",
    "transfer": "emulated, tested on local",
}


def test_every_result_is_current_and_says_its_data(smoke_tree):
    # In the tree, where the digests are taken from its own files.
    text = (
        "import json, sys; from respike.runs import provenance\n"
        "for path in sys.argv[1:]:\n"
        "    for line in provenance.problems(json.load(open(path))): print(path, line)"
    )
    paths = results(smoke_tree)
    assert smoke_tree.run("python", "-c", text, *paths).stdout == ""
    for path in paths:
        result = json.loads(path.read_text())
        nmnist = result["source"].startswith("nmnist_")
        expected = KINDS.get(result["experiment"], "local") if nmnist else "official"
        assert result["data_kind"] == expected, path


def test_the_report_labels_what_rests_on_emulated_or_local_recordings(smoke_tree, verdicts):
    page = (smoke_tree / "reports/smoke/comparison.html").read_text()
    row = r'<tr class="claim [^"]*" id="claim-([\w.]+)"[^>]*>(.*?)</tr>'
    rows = dict(re.findall(row, page, re.DOTALL))
    assert rows.keys() == verdicts.keys()
    labelled = {name for name, row in rows.items() if '<span class="data">' in row}
    assert labelled == {
        name
        for name, claim in verdicts.items()
        if name.startswith("nmnist_") and claim["measured"] and claim["data"] != ["official"]
    }
    assert "emulated and real recordings" in rows["nmnist_emulator.events_mean"]
    assert "real recordings from a local archive" in rows["nmnist_grid.duration"]


def test_nothing_is_judged_at_this_scale(verdicts):
    statuses = {claim["verdict"]["status"] for claim in verdicts.values()}
    assert statuses <= {"reduced", "not_run", "not_comparable", "source_error"}
    assert sum(claim["verdict"]["status"] == "reduced" for claim in verdicts.values()) > 30


@pytest.mark.parametrize("name", ["comparison.html", "comparison.md"])
def test_the_report_says_smoke_and_has_a_row_for_every_claim(smoke_tree, books, name):
    text = (smoke_tree / "reports/smoke" / name).read_text()
    assert "Smoke run: not a replication." in text
    plain = re.sub(r"\\(.)", r"\1", html.unescape(re.sub(r"<[^>]+>", "", text)))
    plain = plain.replace("\u00a0", " ")
    for book in books:
        for claim in book.claims:
            assert claim["id"] in plain, claim["id"]
            assert claim["says"] in plain, claim["says"]


def test_the_page_asks_no_other_host_for_anything(smoke_tree):
    page = (smoke_tree / "reports/smoke/comparison.html").read_text()
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page)
    assert len(loaded) > 10
    assert not [url for url in loaded if re.match(r"(\w+:)?//", url)]
    assert not re.search(r"url\(\s*['\"]?(?!data:)\w*:?//", page)


def test_links_of_the_report_lead_to_files(smoke_tree):
    folder = smoke_tree / "reports/smoke"
    page = (folder / "comparison.html").read_text()
    links = {html.unescape(url) for url in re.findall(r'href="([^"#]+)"', page)}
    files = {url.partition("#")[0] for url in links if not re.match(r"\w+:", url)}
    assert len(files) > 40
    assert not [url for url in files if not (folder / url).exists()]


def test_verdicts_csv_says_what_verdicts_json_says(smoke_tree, verdicts):
    with open(smoke_tree / "reports/smoke/verdicts.csv", newline="") as stream:
        rows = {row["id"]: row for row in csv.DictReader(stream)}
    assert rows.keys() == verdicts.keys()
    for name, claim in verdicts.items():
        row, measured = rows[name], claim["measured"] or {}
        assert (row["status"], row["reason"]) == tuple(claim["verdict"].values())
        for key in ("mean", "half", "sd", "gap"):
            value = measured.get(key)
            assert row[key] == ("" if value is None else str(value)), (name, key)


def test_figures_show_something(smoke_tree, books):
    made = {file.stem: file for file in (smoke_tree / "results/smoke/figures").glob("*.png")}
    at_other_scales = {"poisson_mlp_choices"} - made.keys()  # has no runs of its own at smoke
    wanted = {figure["id"] for book in books for figure in book.figures}
    of_all_sources = {"networks_time", "networks_operations"}
    assert made.keys() == (wanted - at_other_scales) | of_all_sources
    for name, file in made.items():
        picture = matplotlib.image.imread(file)[..., :3]
        assert min(picture.shape[:2]) > 250, name
        ink = (picture.min(axis=2) < 0.95).mean()
        assert 0.01 < ink < 0.9, (name, ink)
        colours = (picture[::3, ::3] * 15).astype(int) @ [256, 16, 1]
        assert len(np.unique(colours)) > 8, name


@pytest.mark.parametrize(
    "experiment, data, threads",
    [
        ("poisson_mlp/optimum", "mnist", 1),
        ("snn_mnist/cure_steps", "mnist", 1),
        ("kulkarni_forward/full_pass_as_coded", "mnist", 1),
        # Rules compute with one thread; with two the numbers of these are the same, too.
        ("poisson_mlp/optimum", "mnist", 2),
        ("snn_mnist/cure_steps", "mnist", 2),
        ("nmnist_grid/final", "nmnist_smoke", 2),
        ("stdp_tables/poisson_diehl_cook", "mnist", 2),
    ],
)
def test_the_same_seed_gives_the_same_numbers_bit_for_bit(
    smoke_tree, tmp_path, experiment, data, threads
):
    source, name = experiment.split("/")
    first = smoke_tree / "results/smoke" / experiment / "seed=0"
    was = json.loads((first / "metrics.json").read_text())
    smoke_tree.run(  # without the variables that Snakemake sets for its jobs
        "python", "-m", "respike.workflow.run_experiment", "--data", f"data/{data}/manifest.json",
        "--source", source, "--root", was["root"], "--experiment", name,
        "--settings", json.dumps(was["settings"]),
        "--scale", "smoke", "--seed", 0, "--device", "cpu", "--threads", threads,
        "--metrics", tmp_path / "metrics.json", "--arrays", tmp_path / "arrays.npz",
    )  # fmt: skip
    now = json.loads((tmp_path / "metrics.json").read_text())
    assert now["threads"] == threads and len(was["metrics"]) > 10
    assert not reproduce.differences(was, now)
    assert not reproduce.arrays_that_differ(first, tmp_path)


def without_times(numbers):
    return {n: value for n, value in numbers.items() if not reproduce.TIMES.search(n.split()[0])}


def test_another_seed_gives_other_numbers(smoke_tree):
    for experiment in ("poisson_mlp/train", "snn_mnist/train"):
        pair = [
            without_times(json.loads((smoke_tree / "results/smoke" / experiment / seed /
                                      "metrics.json").read_text())["metrics"])
            for seed in ("seed=0", "seed=1")
        ]  # fmt: skip
        assert pair[0] != pair[1]


def test_a_second_call_runs_nothing(smoke_tree):
    before = {path: path.stat().st_mtime_ns for path in results(smoke_tree)}
    done = smoke_tree.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in results(smoke_tree)}


def seconds(call, times=1):
    """Return the least wall time of some calls: other work on the machine only adds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


@pytest.fixture(scope="module")
def start_s(smoke_tree):
    """Return how long Snakemake takes to start here: about 1.2 s where our limits were set."""
    return seconds(lambda: smoke_tree.run("snakemake", "--version"), times=3)


@pytest.mark.alone
def test_a_dry_run_of_the_finished_tree_answers_at_once(smoke_tree, start_s):
    def dry_run():
        done = smoke_tree.snakemake("--dry-run")
        assert "Nothing to be done" in done.stdout + done.stderr

    assert seconds(dry_run, times=3) < 4 * start_s  # less than 5 s


@pytest.mark.alone
def test_an_edited_template_is_soon_in_the_report(copied_tree, start_s):
    template = copied_tree / "src/respike/report/templates/comparison.html.j2"
    template.write_text(template.read_text().replace("</body>", "<p>a new line</p></body>"))
    runs = []
    taken = seconds(lambda: runs.append(copied_tree.snakemake()))
    assert "a new line" in (copied_tree / "reports/smoke/comparison.html").read_text()
    assert ran(runs[0]) == {"report"}
    assert taken < 16 * start_s  # less than 20 s


def ran(done):
    """Return the rules of a call's table of jobs, without the rule `all`."""
    table = re.search(r"job +count\n[- ]+\n(.*?)\ntotal ", done.stdout + done.stderr, re.S)[1]
    return {line.split()[0] for line in table.splitlines()} - {"all"}


def test_snakemakes_own_report_holds_captions_and_categories(smoke_tree, books, tmp_path):
    smoke_tree.snakemake("--report", tmp_path / "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        names = archive.namelist()
        pages = "".join(archive.read(name).decode() for name in names if name.endswith(".html"))
    figures = sorted((smoke_tree / "results/smoke/figures").glob("*.png"))
    for file in [*figures, smoke_tree / "reports/smoke/comparison.html"]:
        assert any(name.endswith(f"/{file.name}") for name in names), file.name
    for category in (*(book.source["id"] for book in books), "report"):
        assert re.search(rf'"{category}"', pages), category
    assert "poisson_mlp_fig_a" in pages
    assert "drawn from the results that the rule takes" in pages  # a caption
