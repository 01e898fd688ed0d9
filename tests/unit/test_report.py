"""From result files to the report: what is refused, what is shown, and that nothing runs in it."""

import base64
import csv
import hashlib
import io
import json
import re
import shlex
from collections import Counter
from html.parser import HTMLParser

import pytest
import yaml
from PIL import Image

from respike.commands import answers
from respike.report import collect, ledger, render
from respike.runs import provenance, records, sources

MODULE = "respike.report.wording"  # any module of ours has a digest
SHA = {"train-images": "a" * 64}
HOSTILE = """</script><script>alert(1)</script>"><img src=x onerror=alert(1)>'`|{{7777*3}}
![x](http://evil.example/x.png) [y](javascript:alert(1)) <!-- *b* _c_"""
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def claim(name, **more):
    rule = {"kind": "value", "experiment": "train", "metric": name}
    common = {"id": f"toy.{name}", "says": f"Claim {name}.", "where": "Table 1"}
    common |= {"nature": "random", "protocol": "as_documented", "unit": "fraction"}
    if "verdict" not in more:
        common |= {"measure": rule, "accept": {"kind": "at_least", "bound": 0.9, "why": "pilot"}}
    return common | more


LEDGER = {
    "source": {
        "id": "toy",
        "title": "A toy",
        "cite": "Nobody (2026)",
        "document": "toy.md",
        "protocols": {"as_documented": "As the text says."},
    },
    "claims": [
        claim("good", published={"value": 0.95, "text": "95 %"}, budget={"epochs": 2}),
        claim(
            "bad", deviations=["D1"], unstated=["U1"], figures=["toy_fig1", "toy_fig2"], key="T1"
        ),
        claim("doubt"),
        claim("short", budget={"epochs": 9}),
        claim("later", verdict={"status": "not_run", "reason": "No experiment."}),
    ],
    "deviations": [{"id": "D1", "what": "a", "source_says": "b", "why": "c", "risk": "low"}],
    "unstated": [{"id": "U1", "what": "a", "chose": "b", "from": "c"}],
    "errata": [{"where": "a", "printed": "b", "should_be": "c", "shown_by": "d"}],
    "figures": [
        {
            "id": f"toy_fig{i}",
            "title": "a",
            "caption": "b",
            "alt": "c",
            "where": "d",
            "rule": "r",
            "experiments": ["train"],
        }  # fmt: skip
        for i in (1, 2)
    ],
}
WANTED_STATUS = {
    "toy.good": "reproduced",
    "toy.bad": "not_reproduced",
    "toy.doubt": "inconclusive",
    "toy.short": "reduced",
    "toy.later": "not_run",
}


def sealed(result):
    return result | {"seal": provenance.seal(result)}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Return a folder with a ledger, five results, one of two figures and wanted.json."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "module_of", lambda *root: {("toy", "train"): MODULE}[root])
    wanted = {}
    for seed in range(5):
        path = f"results/default/toy/train/seed={seed}/metrics.json"
        expected = {"source": "toy", "experiment": "train", "seed": seed, "settings": {"epochs": 2}}
        metrics = {"good": 0.95, "bad": 0.5, "doubt": 0.8 + seed / 20, "short": 0.99}
        metrics["good"] += seed / 1000
        result = expected | {
            "schema": 2, "protocol": "as_documented", "scale": "default", "root": "train",
            "code": provenance.code_digest(MODULE), "pins": provenance.pins_digest(MODULE),
            "data_sha256": SHA, "data_kind": "official", "device": "cpu", "threads": 2,
            "versions": {"python": "3.11.2"}, "machine": "a machine", "commit": "0" * 40,
            "dirty": seed == 0, "started": "2026-01-01T00:00:00Z", "wall_s": 30,
            "metrics": metrics, "series": {},
            "arrays_sha256": hashlib.sha256(b"arrays").hexdigest(),
        }  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(json.dumps(sealed(result)))
        (tmp_path / path).with_name("arrays.npz").write_bytes(b"arrays")
        wanted[path] = expected | {"rule": "toy_train"}
    (tmp_path / "wanted.json").write_text(json.dumps({"results": wanted}))
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(LEDGER))
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "toy_fig1.png").write_bytes(PIXEL)
    return tmp_path


def run_collect(scale="default"):
    return collect.main(
        f"--scale {scale} --wanted wanted.json --ledgers toy.yaml"
        " --out verdicts.json --runs runs.csv --networks networks.json".split()
    )


def edit(tree, number, **changes):
    path = tree / f"results/default/toy/train/seed={number}/metrics.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | changes)))


def verdicts(tree):
    assert run_collect() == 0
    return json.loads((tree / "verdicts.json").read_text())


def rendered(tree, data):
    view = render.context(data, tree / "figures", tree / "reports", [])
    return render.render_html(view), render.render_markdown(view), render.render_csv(view)


class Page(HTMLParser):
    """Tags, ids and links of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.ids, self.links, self.loads, self.handlers = Counter(), [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key == "href" and tag == "a":
                self.links.append(value)
            elif key in ("src", "href", "srcset", "action"):
                self.loads.append(value)
            if key.startswith("on"):
                self.handlers.append(key)


def test_every_claim_is_judged(tree):
    data = verdicts(tree)
    claims = data["sources"][0]["claims"]
    assert {c["id"]: c["verdict"]["status"] for c in claims} == WANTED_STATUS
    assert data["counts"]["reproduced"] == 1
    assert sum(data["counts"].values()) == len(claims)
    good = claims[0]
    assert list(good["measured"]["values"]) == ["0", "1", "2", "3", "4"]
    assert good["measured"]["gap"] == pytest.approx(0.002)
    assert good["rules"] == ["toy_train"]
    assert good["files"][3] in good["remake"]
    assert data["sources"][0]["wall_s"] == 150
    assert data["provenance"]["dirty_runs"] == 1
    assert data["provenance"]["data_sha256"] == SHA


def test_the_wanted_results_can_come_from_the_configuration(tree, monkeypatch):
    wanted = json.loads((tree / "wanted.json").read_text())["results"]
    monkeypatch.setattr(collect.dag, "wanted", lambda config: wanted if config == {"a": 1} else {})
    args = ["--scale", "default", "--config", '{"a": 1}', "--ledgers", "toy.yaml"]
    assert (
        collect.main(
            [*args, "--out", "verdicts.json", "--runs", "runs.csv", "--networks", "networks.json"]
        )
        == 0
    )
    assert json.loads((tree / "verdicts.json").read_text())["provenance"]["runs"] == 5


def test_figures_name_the_results_that_they_are_drawn_from(tree):
    figure = verdicts(tree)["sources"][0]["figures"][0]
    assert figure["inputs"] == [
        f"results/default/toy/train/seed={seed}/metrics.json" for seed in range(5)
    ]


def test_an_edited_number_and_edited_arrays_are_refused(tree, capsys):
    folder = tree / "results/default/toy/train/seed=1"
    text = (folder / "metrics.json").read_text()
    (folder / "metrics.json").write_text(text.replace('"bad": 0.5', '"bad": 0.95'))
    (folder.with_name("seed=3") / "arrays.npz").write_bytes(b"others")
    (folder.with_name("seed=4") / "arrays.npz").unlink()
    assert run_collect() == 1
    said = capsys.readouterr().err
    assert "seed=1/metrics.json: the numbers were edited after the run" in said
    assert "seed=3/metrics.json: arrays.npz beside it was edited" in said
    assert "seed=4/metrics.json" in said
    assert not (tree / "verdicts.json").exists()


def test_the_same_results_give_the_same_bytes(tree):
    verdicts(tree)
    first = (tree / "verdicts.json").read_bytes()
    for name in ("verdicts.json", "networks.json", "runs.csv"):
        (tree / name).unlink()  # as Snakemake does
    verdicts(tree)
    assert (tree / "verdicts.json").read_bytes() == first


def test_runs_csv_has_every_run_and_metric(tree):
    verdicts(tree)
    rows = list(csv.DictReader((tree / "runs.csv").open()))
    assert len(rows) == 5 * 4
    assert rows[0]["metric"] == "bad"
    assert float(rows[0]["value"]) == 0.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code": "0" * 16}, "code of toy train"),
        ({"pins": "0" * 16}, "pinned packages"),
        ({"settings": {"epochs": 1}}, "setting epochs is 1, wanted 2"),
        ({"settings": {"epochs": 2, "x": 1}}, "setting x is 1, wanted absent"),
        ({"seed": 7}, "seed is 7, wanted 2"),
        ({"scale": "smoke"}, "scale is 'smoke', wanted 'default'"),
        ({"metrics": {"good": "0.99"}}, "metrics.good"),
        ({"data_sha256": {"train-images": "b" * 64}}, "train-images differs"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_is_not_current_is_refused(tree, capsys, changes, said):
    edit(tree, 2, **changes)
    assert run_collect() == 1
    text = capsys.readouterr().err
    path = "results/default/toy/train/seed=2/metrics.json"
    assert said in text
    assert f"snakemake --cores 2 {shlex.quote(path)} --force" in text
    assert "seed=3" not in text
    assert not (tree / "verdicts.json").exists()


def test_what_a_reader_should_know_of_a_run_stands_wherever_it_is_shown(tree):
    """One run with another torch than the lock's, one without a commit; both are judged."""
    locked = provenance.locked_versions()["torch"]
    edit(tree, 1, versions={"python": "3.11.2", "torch": "2.11.0"})
    edit(tree, 2, commit=None, dirty=None, surroundings={"MKL_CBWR": "AVX2"})
    data = verdicts(tree)
    said = {
        f"made with torch 2.11.0, the lock says {locked} (1 of 5 runs)",
        "made without git: its commit is not known (1 of 5 runs)",
        "made with MKL_CBWR=AVX2 (1 of 5 runs)",
    }
    source = data["sources"][0]
    good, later = source["claims"][0], source["claims"][-1]
    assert good["verdict"]["status"] == "reproduced" and later["remarks"] == []
    for place in (good, source, data["provenance"]):
        assert set(place["remarks"]) == said
    html, markdown, table = rendered(tree, data)
    for text in said:
        assert html.count(f'<span class="data">{text}</span>') == 4  # claims that were measured
        assert markdown.count(text.replace("_", "\\_")) == 6  # these, the source, the provenance
        assert table.count(text) == 4
        assert f"  remark     {text}" in answers.verdict(source, good)
    lines = list(answers.why(source, good, tree))
    at = next(k for k, line in enumerate(lines) if "seed=1/metrics.json: current" in line)
    assert lines[at + 2] == f"             remark: made with torch 2.11.0, the lock says {locked}"
    rows = list(csv.DictReader((tree / "runs.csv").open()))
    assert {r["seed"]: r["remarks"] for r in rows} == {
        "0": "", "1": f"made with torch 2.11.0, the lock says {locked}",
        "2": "made with MKL_CBWR=AVX2; made without git: its commit is not known",
        "3": "", "4": "",
    }  # fmt: skip


def test_every_bad_file_is_named_at_once(tree, capsys):
    edit(tree, 0, code="0" * 16)
    (tree / "results/default/toy/train/seed=1/metrics.json").unlink()
    (tree / "results/default/toy/train/seed=2/metrics.json").write_text('{"half')
    (tree / "results/default/toy/train/seed=3/metrics.json").write_text("[]")
    assert run_collect() == 1
    text = capsys.readouterr().err
    assert "4 of 5 results are refused" in text
    assert "the file is missing" in text
    assert "cannot be read" in text
    assert "no JSON object" in text
    assert len([line for line in text.splitlines() if "snakemake" in line]) == 1


def test_a_broken_ledger_is_refused_with_all_its_errors(tree, capsys):
    (tree / "toy.yaml").write_text(yaml.safe_dump(LEDGER | {"figures": []}))
    assert run_collect() == 1
    assert capsys.readouterr().err.count("unknown id toy_fig") == 2


def test_a_budget_that_no_run_has_is_an_error_of_the_ledger(tree):
    book = LEDGER | {"claims": [claim("good", budget={"epoch": 1})]}
    (tree / "toy.yaml").write_text(yaml.safe_dump(book))
    with pytest.raises(ledger.LedgerError, match=r"budget\.epoch"):
        collect.collect(
            json.loads((tree / "wanted.json").read_text()), ["toy.yaml"], "default", tree
        )


def test_the_remake_command_names_the_scale():
    assert collect.remake_command(["a"], "default") == "snakemake --cores 2 a --force"
    assert collect.remake_command(["a b"], "smoke").endswith("'a b' --force --config scale=smoke")


def test_every_claim_has_a_row_and_doubts_come_first(tree):
    html, markdown, table = rendered(tree, verdicts(tree))
    for name in WANTED_STATUS:
        assert html.count(f'id="claim-{name}"') == 1
        assert markdown.count(f'<a id="claim-{name}"></a>') == 1
    rows = {row["id"]: row["status"] for row in csv.DictReader(io.StringIO(table))}
    assert rows == WANTED_STATUS
    for text in (html, markdown):
        places = [text.index(f'id="claim-{name}"') for name in ("toy.bad", "toy.doubt", "toy.good")]
        assert places == sorted(places)


def test_links_resolve_and_nothing_is_loaded(tree):
    html, markdown, _ = rendered(tree, verdicts(tree))
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    inner = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inner) <= set(page.ids)
    assert {"toy-D1", "toy-U1", "fig-toy_fig1", "claim-toy.good"} <= set(inner)
    assert all(load.startswith("data:") for load in page.loads)
    outer = [link for link in page.links if not link.startswith("#")]
    files = [tree / "reports" / link for link in outer if "metrics.json" in link]
    assert files
    assert all(path.resolve().is_file() for path in files)
    assert "url(" not in html
    assert "@import" not in html
    inner = re.findall(r"\]\(#([^)]+)\)", markdown)
    assert inner
    assert all(f'<a id="{name}"></a>' in markdown for name in inner)


def test_figures(tree):
    html, markdown, _ = rendered(tree, verdicts(tree))
    kind, image = re.search(r'src="data:image/(\w+);base64,([^"]+)"', html).groups()
    with Image.open(io.BytesIO(base64.b64decode(image))) as shown:
        assert (shown.size, shown.format.lower()) == ((1, 1), kind)
    assert 'width="1" height="1"' in html
    assert 'alt="c"' in html
    assert "Not drawn at this scale." in html
    assert "![c](<../figures/toy_fig1.png>)" in markdown
    assert "toy_fig2.png>" not in markdown


def test_numbers_agree_between_the_three_reports(tree):
    data = verdicts(tree)
    html, markdown, table = rendered(tree, data)
    row = next(r for r in csv.DictReader(io.StringIO(table)) if r["id"] == "toy.good")
    measured = data["sources"][0]["claims"][0]["measured"]
    assert float(row["mean"]) == measured["mean"]
    assert float(row["half"]) == measured["half"]
    assert row["n"] == "5"
    shown = f"{100 * measured['mean']:.2f} ± {100 * measured['half']:.2f} %"
    assert shown in html
    assert shown in markdown


def test_smoke_says_loudly_that_it_is_none(tree):
    data = verdicts(tree)
    html, markdown, _ = rendered(tree, data)
    assert "not a replication" not in html
    html, markdown, _ = rendered(tree, data | {"scale": "smoke"})
    assert "not a replication" in html
    assert "not a replication" in markdown


def poison(item, key=""):
    """Return the data with hostile text in every string that is not a name of the program."""
    if isinstance(item, dict):
        return {k: poison(v, k) for k, v in item.items()}
    if isinstance(item, list):
        return [poison(v, key) for v in item]
    return (
        item + HOSTILE if isinstance(item, str) and item and key not in ("status", "kind") else item
    )


def test_hostile_text_stays_text(tree):
    data = verdicts(tree)
    for claim in (claim for source in data["sources"] for claim in source["claims"]):
        claim["data"] = ["made up"] * len(claim["data"])  # official data carry no label
    clean, _, _ = rendered(tree, data)
    bad = poison(data)
    for figure in bad["sources"][0]["figures"]:  # its file must be found
        figure["id"] = figure["id"].removesuffix(HOSTILE)
    html, markdown, _ = rendered(tree, bad)
    page = Page(html)
    assert page.tags == Page(clean).tags
    assert not page.handlers
    assert all(load.startswith("data:") for load in page.loads)
    assert not [link for link in page.links if re.match(r"\s*(javascript|data|https?):", link)]
    assert "{{7777*3}}" in html  # shown, not run as a template
    assert "23331" not in html + markdown
    outside = re.sub(r"(?<!\\)`[^`]*`", "", markdown)  # a code span shows what it holds
    assert not re.findall(r"<(?!a id=|/a>|\.\./figures)", outside)
    assert not re.findall(r"(?<!\\)\[[^\]]*(?<!\\)\]\((?!#|<)", outside)


def test_a_hostile_text_ends_no_table_row(tree):
    _, markdown, _ = rendered(tree, poison(verdicts(tree)))
    columns = None
    for line in markdown.splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        found = len(re.findall(r"(?<!\\)\|", line))
        columns = columns or found
        assert found == columns, line


def test_the_policy_runs_our_script_only(tree):
    html, _, _ = rendered(tree, verdicts(tree))
    assert "default-src 'none'" in html
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", html)


def keep(tree, **changes):
    """Return a record of a run of the toy, written as by an earlier call of `respike record`."""
    path = tree / "results/default/toy/train/seed=0/metrics.json"
    result = sealed(json.loads(path.read_text()) | changes)
    where = records.place(result, tree / "records")
    where.mkdir(parents=True)
    (where / "arrays.npz").write_bytes(b"arrays")
    digest = hashlib.sha256(b"arrays").hexdigest()
    record = {"schema": 1, "result": result, "complete": True, "arrays_sha256": digest}
    (where / "record.json").write_text(json.dumps(sealed(record)))
    return where


PAPER = {"scale": "paper", "started": "2026-02-01T00:00:00Z", "machine": "another machine"}


def beside(tree, **changes):
    """Return the verdicts with three paper-scale records beside the five runs."""
    wanted = json.loads((tree / "wanted.json").read_text())["results"]
    at_paper = {}
    for seed in range(3):
        keep(tree, **PAPER, seed=seed, metrics={"good": 0.96 + seed / 1000, "bad": 0.4}, **changes)
        run = dict(wanted[f"results/default/toy/train/seed={seed}/metrics.json"])
        at_paper[f"results/paper/toy/train/seed={seed}/metrics.json"] = run
    others = collect.kept_runs(at_paper, "paper", records.load(tree / "records"))
    found, _, _ = collect.collect({"results": wanted}, ["toy.yaml"], "default", tree, others)
    return found


def test_records_stand_beside_the_results_and_change_no_verdict(tree):
    data = beside(tree)
    good = data["sources"][0]["claims"][0]
    assert good["measured"]["n"] == 5 and good["verdict"]["status"] == "reproduced"
    (row,) = good["beside"]
    assert (row["label"], row["scale"], row["n"]) == ("record", "paper", 3)
    assert row["mean"] == pytest.approx(0.961) and row["status"] == "reproduced"
    html, markdown, _ = rendered(tree, data)
    for text in (html, markdown):
        assert "another machine" in text and "96.10 ± 0.25 %" in text.replace("\u00a0", " ")


def test_a_stale_record_is_told_and_judges_nothing(tree):
    data = beside(tree, code="0" * 16)
    (row,) = data["sources"][0]["claims"][0]["beside"]
    assert row["label"] == "stale record" and row["status"] == "stale"
    assert row["reason"].startswith("code of toy train was 0000000000000000, is now ")
    assert data["counts"] == verdicts(tree)["counts"]
    assert "stale record" in rendered(tree, data)[0]


def test_a_record_of_the_judged_run_itself_is_not_shown_again(tree):
    wanted = json.loads((tree / "wanted.json").read_text())["results"]
    keep(tree)
    others = collect.kept_runs(wanted, "default", records.load(tree / "records"))
    found, _, _ = collect.collect({"results": wanted}, ["toy.yaml"], "default", tree, others)
    assert found["sources"][0]["claims"][0]["beside"] == []


def test_a_tampered_record_stops_the_report(tree, capsys):
    where = keep(tree)
    text = (where / "record.json").read_text()
    (where / "record.json").write_text(text.replace('"bad": 0.5', '"bad": 0.95'))
    args = ["--scale", "default", "--wanted", "wanted.json", "--ledgers", "toy.yaml"]
    args += ["--out", "v.json", "--runs", "r.csv", "--networks", "n.json", "--records", "records"]
    assert collect.main(args) == 1
    assert "the numbers were edited after the run" in capsys.readouterr().err
    assert not (tree / "v.json").exists()


def test_the_command_line_writes_the_pages_and_the_tables(tree):
    verdicts(tree)
    (tree / "bench.csv").write_text("case,device,ratio\n<b>x</b>,cpu,2.1\n")
    args = (
        "--verdicts verdicts.json --networks networks.json --runs runs.csv --figures figures"
        " --benchmarks bench.csv --out reports"
    )
    assert render.main(args.split()) == 0
    found = {path.name for path in (tree / "reports").iterdir()}
    pages, tables = (
        {"comparison.html", "comparison.md"},
        {"verdicts", "results", "networks", "pairs"},
    )
    assert found == pages | {f"{name}.csv" for name in tables}
    assert "&lt;b&gt;x" in (tree / "reports" / "comparison.html").read_text()
    assert "| 2.1 \N{MULTIPLICATION SIGN} |" in (tree / "reports/comparison.md").read_text()
    assert 'id="scaling"' not in (tree / "reports" / "comparison.html").read_text()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.35e26, "ratio", "2.35e+26"),
        (-4e13, "count", "\N{MINUS SIGN}4.00e+13"),
        (12345.6, "1", "12,346"),
    ],
)
def test_a_number_beyond_measure_is_short(value, unit, text):
    from respike.report import wording

    assert wording.bare(value, unit) == text


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (0.0000222, 0.00172, "0.00 ± 0.17 points"),
        (-0.00002, 0.00172, "0.00 ± 0.17 points"),
        (0.00008, 0.00172, "0.01 ± 0.17 points"),
        (-0.0432, 0.0095, "\N{MINUS SIGN}4.32 ± 0.95 points"),
        (0.00002, 0.00003, "0.002 ± 0.003 points"),
    ],
)
def test_a_mean_has_no_digits_below_those_of_its_half_width(mean, half, text):
    from respike.report import wording

    assert wording.interval(mean, half, "points") == text
