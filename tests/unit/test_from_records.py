"""The report on a machine that ran nothing, from run records of the toy of test_report."""

import json
import shutil
import subprocess

import pytest
import test_report

from respike.report import from_records
from respike.runs import records
from respike.workflow import dag, jobs

tree = test_report.tree  # the fixture


@pytest.fixture
def recorded(tree, monkeypatch):
    """Return the toy with all five runs recorded and no result left."""
    wanted = json.loads((tree / "wanted.json").read_text())["results"]
    for seed, path in enumerate(wanted):
        changes = json.loads((tree / path).read_text())
        changes.pop("seal")
        test_report.keep(tree, **changes)
        assert changes["seed"] == seed
    shutil.move(tree / "results", tree / "elsewhere")
    config = {"sources": {"toy": {}}, "scale": "default"}
    monkeypatch.setattr(from_records.configuration, "load", lambda *args, **more: config)
    monkeypatch.setattr(dag, "wanted", lambda c: wanted if c["scale"] == "default" else {})
    monkeypatch.setattr(jobs, "ledger_of", lambda source: f"{source}.yaml")
    monkeypatch.setattr(jobs, "figures", lambda config, source: {})
    monkeypatch.setattr(from_records, "plot_networks", lambda *args: None)
    return tree


def build(tree):
    return from_records.build("default", tree / "records", tree / "out", tree / "work")


def claims(verdicts):
    return {c["id"]: c for source in verdicts["sources"] for c in source["claims"]}


def test_records_alone_give_the_same_verdicts(recorded):
    verdicts = build(recorded)
    statuses = {name: claim["verdict"]["status"] for name, claim in claims(verdicts).items()}
    assert statuses == test_report.WANTED_STATUS
    good = claims(verdicts)["toy.good"]
    assert good["measured"]["n"] == 5 and good["beside"] == []
    assert all(path.endswith("record.json") for path in good["files"])
    page = (recorded / "out" / "comparison.html").read_text()
    assert "Built from run records." in page
    names = {path.name for path in (recorded / "out").iterdir()}
    assert {"comparison.md", "verdicts.csv", "results.csv", "networks.csv", "pairs.csv"} <= names


def test_results_of_this_machine_stand_beside(recorded):
    shutil.move(recorded / "elsewhere", recorded / "results")
    assert claims(build(recorded))["toy.good"]["beside"] == []  # the very runs of the records
    for seed in range(5):
        test_report.edit(recorded, seed, metrics={"good": 0.5, "bad": 0.5})
    (row,) = claims(build(recorded))["toy.good"]["beside"]
    assert (row["label"], row["mean"], row["n"]) == ("this machine", 0.5, 5)
    broken = recorded / "results/default/toy/train/seed=0/metrics.json"
    broken.write_text("{")  # what is not sound is left out, and stops nothing
    (row,) = claims(build(recorded))["toy.good"]["beside"]
    assert row["n"] == 4


def test_stale_records_judge_nothing_and_the_claim_says_so(recorded, monkeypatch):
    monkeypatch.setattr(records.provenance, "code_digest", lambda module, **more: "f" * 16)
    found = claims(build(recorded))["toy.good"]
    assert found["verdict"]["status"] == "not_run" and found["measured"] is None
    assert found["verdict"]["reason"].startswith("Its records are stale and judge nothing: code of")
    (row,) = found["beside"]  # the number is told, as stale
    assert row["label"] == "stale record" and row["mean"] == pytest.approx(0.952)


def test_no_records_at_all_is_an_error(recorded):
    for folder in (recorded / "records/toy/train").iterdir():
        shutil.rmtree(folder)
    with pytest.raises(records.RecordError, match="respike record"):
        build(recorded)


def test_some_missing_records_leave_fewer_runs(recorded):
    for seed in (0, 1, 2, 3):
        shutil.rmtree(recorded / f"records/toy/train/seed={seed}")
    found = claims(build(recorded))["toy.good"]
    assert found["verdict"]["status"] == "inconclusive"
    assert found["verdict"]["reason"] == "Only n = 1 run, 3 are needed for a verdict."


def test_what_lacks_and_its_cost_are_told(recorded, monkeypatch):
    settings = json.loads((recorded / "wanted.json").read_text())["results"]
    settings = next(iter(settings.values()))["settings"]
    train = dag.Experiment(
        "toy", "train", "train", "train", "default", "as_documented", settings, [0, 1, 2, 3, 4]
    )
    monkeypatch.setattr(dag, "experiments", lambda config, source: {"train": train})
    assert build(recorded)["sources"][0]["lacking"] == {"scale": "default", "rows": []}
    assert "What is not recorded" not in (recorded / "out/comparison.html").read_text()
    for seed in (0, 1, 2, 3):
        shutil.rmtree(recorded / f"records/toy/train/seed={seed}")
    (row,) = build(recorded)["sources"][0]["lacking"]["rows"]
    assert (row["entry"], row["parts"], row["of"], row["unknown"]) == ("train", 4, 5, 0)
    for name in ("comparison.html", "comparison.md"):
        text = (recorded / "out" / name).read_text()
        assert "What is not recorded at scale default" in text and "4 of 5 runs" in text


def test_figures_are_drawn_from_what_is_recorded_and_say_from_how_many(recorded, monkeypatch):
    shutil.rmtree(recorded / "records/toy/train/seed=3")
    runs = [f"results/default/toy/train/seed={seed}/metrics.json" for seed in range(5)]
    monkeypatch.setattr(jobs, "figures", lambda *args: {"toy_fig1": runs, "toy_fig2": runs[3:4]})
    monkeypatch.setattr(jobs, "published_json", lambda source: "{}")
    drawn = []

    def draw(call, **options):
        at = call.index("--runs")
        drawn.append([str(path.relative_to(recorded / "work")) for path in call[at + 1 :]])
        picture = call[call.index("--out") + 1]
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(test_report.PIXEL)
        return subprocess.CompletedProcess(call, 0)

    monkeypatch.setattr(from_records.subprocess, "run", draw)
    verdicts = build(recorded)
    assert drawn == [runs[:3] + runs[4:]]
    first, second = verdicts["sources"][0]["figures"]
    assert (first["drawn_from"], second["drawn_from"]) == ([4, 5], None)
    for name in ("comparison.html", "comparison.md"):
        text = (recorded / "out" / name).read_text()
        assert text.count("Drawn from 4 of 5 runs") == 1
    # With all records there, nothing is said; a picture of fewer runs does not stay.
    monkeypatch.setattr(jobs, "figures", lambda *args: {"toy_fig1": runs[:3]})
    build(recorded)
    assert "Drawn from" not in (recorded / "out/comparison.html").read_text()
    monkeypatch.setattr(jobs, "figures", lambda *args: {"toy_fig1": runs[3:4]})
    build(recorded)
    assert not (recorded / "work/figures/toy_fig1.png").exists()


def test_a_tampered_record_is_refused(recorded, capsys):
    file = next((recorded / "records/toy/train/seed=2").glob("*/record.json"))
    file.write_text(file.read_text().replace('"good": 0.952', '"good": 0.999'))
    args = ["--scale", "default", "--records", str(recorded / "records")]
    args += ["--work", str(recorded / "work"), "--out", str(recorded / "out")]
    assert from_records.main(args) == 1
    said = capsys.readouterr().err
    assert str(file) in said and "seal does not fit" in said
    assert not (recorded / "out").exists()
