"""What records lack and would cost: worked by hand on a few records, of a small grid too."""

from pathlib import Path

import pytest

from respike.report import lacking, wording
from respike.runs.records import Record
from respike.workflow import dag

FIRST, SECOND = "t_window=2000 beta=0.9", "t_window=1000 beta=0.9"
COMMON = {
    "n_recordings": 100, "n_folds": 2, "epochs": 3, "whole": False, "cached_t_window": None,
    "keep_optimiser": False,
}  # fmt: skip
CODED = {"whole": True, "cached_t_window": 2000, "keep_optimiser": True}


GRID = "nmnist_grid"  # whose runs are made of cells, so that it brings a costs.py


def record(experiment, seed, settings, metrics, wall_s=10.0, device="cpu", source=GRID, **changes):
    result = {
        "source": source, "experiment": experiment, "seed": seed, "scale": "paper",
        "settings": settings, "metrics": metrics, "wall_s": wall_s, "device": device,
    }  # fmt: skip
    return Record(Path("a"), result, True, **changes)


def cells(*names, **changes):
    return COMMON | changes | {"cells": list(names)}


def run(settings, seed=0, experiment="search", source=GRID):
    return {"source": source, "experiment": experiment, "seed": seed, "settings": settings}


@pytest.fixture
def costs():
    """Return costs of FIRST on first 100 ms (0.1 s a recording) and whole (0.3 s)."""
    name = f"train_s_per_epoch {FIRST}"
    kept = [
        record("rows", 0, cells(FIRST), {name: 5.0}),
        record("rows_as_coded", 0, cells(FIRST, **CODED), {name: 15.0}),
        record("final", 0, {}, {}, wall_s=100.0),
        record("final", 1, {}, {}, wall_s=300.0),
        record("final", 2, {}, {}, wall_s=1.0, device="a GPU"),
        record("search", 3, cells(SECOND), {f"train_s_per_epoch {SECOND}": 1.0}, device="a GPU"),
        record("final", 2, {}, {}, wall_s=900.0, withdrawn="wrong"),
        record("final", 3, {}, {}, wall_s=900.0, why_stale=["code was a, is now b"]),
    ]
    return lacking.Costs(kept, "paper")


def test_a_run_takes_the_median_time_of_its_other_seeds(costs):
    assert costs.of(run({}, 4, "final")) == (1, 0, 200.0)
    assert costs.of(run({}, 4, "other")) == (1, 1, 0)


def test_times_of_another_source_do_not_count(costs):
    assert costs.of(run({}, 4, "final", source="other")) == (1, 1, 0)
    assert costs.parts(run({}, source="other")) == (1, "runs")
    assert costs.parts(run({})) == (1, "runs") and costs.parts(run(cells(FIRST, SECOND))) == (
        2, "cells",
    )  # fmt: skip


def test_a_source_says_what_its_parts_cost(toy_source):
    kept = [
        record("a", 0, {}, {}, wall_s=7.0, source="toy"),
        record("a", 1, {}, {}, source="other"),
        record("a", 2, {}, {}, source="toy", withdrawn="wrong"),
        record("a", 3, {}, {}, source="toy", device="a GPU"),
    ]
    assert lacking.Costs(kept, "paper").of(run({}, 9, "a", "toy")) == (1, 0, 7.0)
    (toy_source / "costs.py").write_text(
        "class Costs:\n"
        "    unit = 'slices'\n"
        "    def __init__(self, results):\n"
        "        self.seeds = [result['seed'] for result in results]\n"
        "    def parts(self, run):\n"
        "        return run['settings'].get('slices')\n"
        "    def of(self, run):\n"
        "        return [None, *map(float, self.seeds)]\n"
    )
    costs = lacking.Costs(kept, "paper")
    sliced = run({"slices": 5}, 9, "a", "toy")
    assert costs.parts(sliced) == (5, "slices") and costs.of(sliced) == (3, 1, 3.0)
    assert costs.of(run({}, 9, "a", "toy")) == (1, 0, 7.0)  # made of no parts


def test_cells_that_another_record_of_the_search_holds_do_not_lack(costs):
    assert costs.of(run(cells(FIRST, SECOND))) == (1, 1, 0)
    # Another seed is another fold: 50 recordings, 3 epochs, 0.1 s.
    assert costs.of(run(cells(FIRST), seed=1)) == (1, 0, pytest.approx(15.0))
    assert costs.of(run(cells(FIRST, epochs=15))) == (1, 0, pytest.approx(75.0))


def test_cells_of_a_gpu_are_held_and_their_times_left_out(costs):
    assert costs.of(run(cells(SECOND), seed=3)) == (0, 0, 0)
    assert costs.of(run(cells(SECOND), seed=4)) == (1, 1, 0)


def test_all_folds_of_whole_recordings_and_frames_of_the_cache(costs):
    # As coded SECOND reads the frames of FIRST: 2 folds of 50, 3 epochs, 0.3 s.
    assert costs.of(run(cells(SECOND, **CODED))) == (1, 0, pytest.approx(90.0))


def test_a_cell_with_one_kind_of_recording_is_estimated_by_the_ratio():
    names = [f"train_s_per_epoch {cell}" for cell in (FIRST, SECOND)]
    kept = [
        record("search", 0, cells(FIRST, SECOND), dict(zip(names, (5.0, 10.0), strict=True))),
        record("whole", 0, cells(FIRST, whole=True), {names[0]: 15.0}),
    ]
    found = lacking.Costs(kept, "paper").of(run(cells(SECOND, whole=True)))
    assert found == (1, 0, pytest.approx(3 * 50 * 0.2 * 3))
    assert lacking.Costs(kept[:1], "paper").of(run(cells(SECOND, whole=True))) == (1, 1, 0)
    assert lacking.Costs(kept, "default").of(run(cells(FIRST))) == (1, 1, 0)


def test_the_table_sums_entries_and_tables_need_their_searches(costs, monkeypatch):
    config = {
        "scale": "paper", "seeds": {"paper": [0, 1]}, "cells_per_job": None,
        "sources": {
            GRID: {
                "final": {"settings": {}, "seeds": {"paper": [0, 4]}},
                "search": {
                    "settings": COMMON, "cells": {"paper": [FIRST, SECOND]}, "cells_per_job": 2,
                },
                "table": {"settings": {"search": "search"}},
            }
        },
    }  # fmt: skip
    wanted = dag.wanted(config)
    recorded = {dag.result_path(config, GRID, "final", 0)}
    rows = lacking.table(config, GRID, wanted, recorded, costs)
    assert [(r["entry"], r["parts"], r["of"], r["unit"]) for r in rows] == [
        ("final", 1, 2, "runs"),
        ("search", 3, 4, "cells"),
    ]
    assert (rows[1]["unknown"], rows[1]["seconds"]) == (2, pytest.approx(15.0))
    tables = [dag.result_path(config, GRID, "table", seed) for seed in (0, 1)]
    assert lacking.of_runs(config, tables, wanted, recorded, costs) == (3, 2, pytest.approx(15.0))


def test_costs_as_text():
    assert wording.cost(15.0, 2, 3) == "15 s, 2 of unknown cost"
    assert wording.cost(7200.0, 0, 3) == "2.0 h"
    assert wording.cost(0, 3, 3) == "not known"
