"""What the report shows of benchmarks.csv and scaling.csv."""

import csv
import io

import pytest

from respike.commands import benchmark, scaling
from respike.report import cost

MADE = {
    "machine": "a machine", "versions": "numpy 2", "commit": "0123456789abcdef", "date": "today",
}  # fmt: skip


def bench_row(**given):
    row = {"source": "toy", "case": "toy step", "device": "cpu", "threads": "2", "ours": "2.5",
           "peer": "25", "unit": "ms per batch", "ratio": "10", "ratio_low": "9.5",
           "ratio_high": "120.4", "floor": "", "distance_to_floor": "", "note": ""}  # fmt: skip
    return {**row, **MADE, **given}


def scaling_rows(seconds=(1.0, 2.0, 4.0), **case):
    case = {"case": "toy, training", "axis": "n_train", "unit": "images", **case}
    found = scaling.row(case, [list(seconds)] * 2, [100, 200, 400], [90, 95, 120])
    text = benchmark.as_csv(
        [found | {k: MADE[k] for k in ("machine", "commit", "date")}], scaling.COLUMNS
    )
    return list(csv.DictReader(io.StringIO(text)))


def test_a_benchmark_is_shown_with_its_spread_and_its_place():
    found = cost.benchmarks([bench_row(), bench_row(case="slower", ratio="0.5", ratio_low="0.4",
                                                    ratio_high="0.6")])  # fmt: skip
    (group,) = found["groups"]
    first, second = group["rows"]
    assert (first["ours"], first["unit"]) == ("2.5", "ms per batch") and first[
        "commit"
    ] == "0123456789"
    assert first["ratio"] == "10\u00a0× (9.5 to 120)"
    low, middle, high = first["bar"]
    assert found["one"] < low < middle < high and second["bar"][1] < found["one"]
    places = [x for x, _ in found["ticks"]]
    assert [text for _, text in found["ticks"]] == ["0.1", "1", "10", "100", "1000"]
    apart = {round(b - a, 1) for a, b in zip(places[:-1], places[1:], strict=True)}
    assert max(apart) - min(apart) <= 0.11  # equal steps: a logarithmic axis
    assert middle == places[2]
    assert not group["gpu"] and not found["floors"]


def test_benchmarks_are_grouped_by_source_and_know_their_gpu_rows():
    rows = [bench_row(), bench_row(source="other"), bench_row(source="other", device="cuda")]
    found = cost.benchmarks([*rows, bench_row(distance_to_floor="0.37")])
    assert [(g["source"], len(g["rows"]), g["gpu"]) for g in found["groups"]] == [
        ("toy", 2, False), ("other", 2, True),
    ]  # fmt: skip
    assert found["floors"] and found["groups"][0]["rows"][1]["floor"] == 0.37


def test_without_a_file_there_is_no_section():
    assert cost.benchmarks([]) is None and cost.scaling([]) is None


def test_the_scaling_table_names_what_is_extrapolated():
    found = cost.scaling(scaling_rows())
    (row,) = found["rows"]
    assert row["points"] == [("100", "1 s"), ("200", "2 s"), ("400", "4 s")]
    assert row["exponent"].startswith("1") and row["ten"] == row["straight"] == "40 s"
    assert row["ten_size"] == "4,000 images" and row["peak"] == "90 to 120 MB"
    assert found["rounds"] == 2 and found["machine"] == ["a machine"]


def test_lines_are_straight_in_the_plot_and_labels_apart():
    rows = scaling_rows() + scaling_rows(case="close, by", seconds=(1.0, 2.0, 4.1))
    rows += scaling_rows(unit="recordings", seconds=(1.0, 2.0, 3.9)) + scaling_rows(unit="steps")
    first, second = cost.scaling(rows)["panels"]
    assert (first["title"], second["title"]) == ("images or recordings", "time steps")
    (x0, y0), (x1, y1), (x2, y2) = first["lines"][0]["points"]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2) and y2 < y0  # more time is higher up
    labels = sorted(line["label_y"] for line in first["lines"])
    assert all(b - a >= 12 for a, b in zip(labels[:-1], labels[1:], strict=True))
    assert all(first["left"] <= x <= first["right"] for x, _ in first["x_ticks"])


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (100, 400, [100, 200, 300, 400]),
        (3.7, 7.8, [4, 5, 6, 7]),
        (1000, 16000, [1000, 2000, 5000, 10000]),
        (0.1, 30, [0.1, 1, 10]),
        (0.1, 10, [0.1, 0.3, 1, 3, 10]),
        (0.01, 1000, [0.01, 0.1, 1, 10, 100, 1000]),
    ],
)
def test_ticks_are_round(low, high, found):
    ticks = cost.ticks(low, high)
    assert ticks == found
