"""Cost against size: the fit on made-up times, the order of runs, and every real case in short."""

import csv
import io
import json

import pytest

from respike.commands import cli, scaling
from respike.data import inputs
from respike.runs import provenance, sources
from respike.workflow import config, dag, jobs

CASE = {"case": "toy", "axis": "n", "unit": "images", "sizes": [10, 20, 40], "settings": {"n": 1}}


def test_the_exponent_of_a_power_law_is_found():
    sizes = [10, 20, 40, 80]
    slope, half = scaling.fit(sizes, [3e-4 * n**1.7 for n in sizes])
    assert slope == pytest.approx(1.7) and half == pytest.approx(0, abs=1e-6)


def test_noise_and_curvature_widen_the_interval():
    sizes = [10, 20, 40, 80]
    slope, half = scaling.fit(sizes, [1.0 + 0.1 * n for n in sizes])  # a part that does not grow
    assert slope < 1 and half > 0.1
    # Slope, standard error and t quantile of a case worked out by hand: logs 0, 1, 2 and 0, 1, 3.
    slope, half = scaling.fit([1, 10, 100], [1, 10, 1000])
    assert slope == pytest.approx(1.5) and half == pytest.approx(12.706 * (1 / 12) ** 0.5, rel=1e-4)


def test_ten_times_goes_on_from_the_largest_size():
    found = scaling.row(CASE, [[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]], [10, 20, 40], [50, 60, 70])
    assert found["exponent"] == "1.000" and found["cpu_s"] == "1 2 4" and found["rounds"] == 2
    assert found["cpu_s_ten_times"] == found["ten_times_low"] == found["ten_times_high"] == "40"
    assert found["ten_times_straight"] == "40"
    part = scaling.row(CASE, [[11.0, 12.0, 14.0]], [10, 20, 40], [50, 60, 70])  # 10 do not grow
    assert part["ten_times_straight"] == "50" and float(part["cpu_s_ten_times"]) < 30
    assert found["sizes"] == "10 20 40" and found["peak_mb"] == "50 60 70"
    assert json.loads(found["settings"]) == {"n": 1}


def test_sizes_take_turns_up_and_down_after_a_warm_up():
    calls = []

    def run(size):
        calls.append(size)
        return float(size)

    times, peaks = scaling.measure(run, [1, 2, 3], rounds=3)
    assert calls == [1, 1, 2, 3, 3, 2, 1, 1, 2, 3]
    assert times == [[1.0, 2.0, 3.0]] * 3 and len(peaks) == 3 and min(peaks) > 10


def test_the_peak_of_memory_is_that_of_the_call():
    def run(size):
        block = bytearray(size * 2**20)
        block[::4096] = b"x" * len(block[::4096])
        return 1.0

    _, (low, high) = scaling.measure(run, [1, 200], rounds=1)
    assert high > low + 150


def test_every_document_has_a_case_and_every_case_can_be_set_up():
    cases = scaling.load_cases()
    at_default = config.load(provenance.ROOT / "config.yaml", {"scale": "default"})
    for case in cases:
        if "experiment" in case:
            found = dag.experiment(at_default, case["source"], case["experiment"])
            assert {case["axis"], *case["settings"]} <= found.settings.keys(), case
            assert set(jobs.Job(at_default, found.source, found.root).data) <= {"mnist", "nmnist"}
        elif "function" in case:
            assert callable(getattr(sources.load(case["source"], "scaling"), case["function"]))
    assert {case.get("source") for case in cases} == {*sources.found(), None}
    assert len({(case["case"], case["axis"]) for case in cases}) == len(cases)
    assert {case["unit"] for case in cases} >= {"images", "neurons", "steps", "recordings", "jobs"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sizes": [1, 2]}, "three or more"),
        ({"sizes": [4, 2, 1]}, "rising"),
        ({"size": 3}, "keys are"),
        ({"function": "f"}, "keys are"),
    ],
)
def test_a_wrong_case_is_named(tmp_path, change, says):
    file = tmp_path / "scaling.yaml"
    case = {"case": "step", "experiment": "train", "axis": "n", "unit": "images", "settings": {},
            "sizes": [1, 2, 3]}  # fmt: skip
    file.write_text(json.dumps({"cases": [case]}))
    (read,) = scaling.cases_of("toy", file)
    assert (read["case"], read["source"]) == ("toy, step", "toy")
    file.write_text(json.dumps({"cases": [case | change]}))
    with pytest.raises(ValueError, match=rf"scaling.yaml: step, n: .*{says}"):
        scaling.cases_of("toy", file)


def test_an_experiment_runs_with_its_own_module_data_and_settings(mnist_folder, tmp_path):
    case = next(c for c in scaling.load_cases() if c["case"] == "nmnist_grid, final model")
    case = {**case, "sizes": [20, 40, 60], "settings": {**case["settings"], "n_hidden": 10}}
    run = scaling.experiment_runner(case, mnist_folder, tmp_path)
    assert run(20) > 0
    made = inputs.load(str(tmp_path / "manifest.json")).recordings.splits
    assert {name: len(half.labels) for name, half in made.items()} == {"train": 60, "test": 100}


def test_an_experiment_on_other_data_is_refused(mnist_folder, tmp_path):
    case = {"source": "nmnist_grid", "experiment": "table_1", "settings": {}, "case": "a table"}
    with pytest.raises(ValueError, match="a table: its experiment reads searches"):
        scaling.experiment_runner(case, mnist_folder, tmp_path)


def test_wrong_use_is_one_message(capsys):
    assert cli.main(["scaling", "--case", "nobody"]) == 1
    said = capsys.readouterr().err
    assert "no case holds 'nobody'" in said and "the workflow, dry run" in said
    with pytest.raises(SystemExit) as stop:
        scaling.main(["--rounds", "0"])
    assert stop.value.code == 2


def test_the_table_is_written_whole(tmp_path, mnist_folder, capsys):
    out = tmp_path / "new" / "scaling.csv"
    assert scaling.main(["--quick", "--case", "emulator", "--out", str(out)]) == 0
    (read,) = csv.DictReader(io.StringIO(out.read_text()))
    assert read["case"].startswith("nmnist_emulator") and read["sizes"] == "125 250 500"
    assert len(read["cpu_s"].split()) == 3 and float(read["exponent"]) > 0.3
    assert read["machine"] and read["commit"] and read["rounds"] == "1"
    assert [path.name for path in out.parent.iterdir()] == ["scaling.csv"]
    assert str(out) in capsys.readouterr().out


def test_real_cases_run(mnist_folder, capsys):
    """Those of one source; all take more than a minute."""
    assert scaling.main(["--quick", "--case", "stdp_tables"]) == 0
    cases = [case for case in scaling.load_cases() if "stdp_tables" in case["case"]]
    assert len(cases) > 1 and capsys.readouterr().out.count("exponent") == len(cases)
