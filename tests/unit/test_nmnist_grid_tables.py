"""What is read off a finished search, on tables made so that the answer is known."""

import itertools
import json
import math

import pandas
import pytest

from respike.data.mnist import DataError
from respike.report import ledger
from respike.runs import sources
from respike.sources.nmnist_grid import cells_csv, effects
from respike.sources.nmnist_grid import table as nmnist_grid_table
from respike.sources.nmnist_grid.cells import Cell
from respike.sources.nmnist_grid.published import TABLES

BETAS, SIZES, RATIOS = (0.7, 0.9, 0.95), (100, 400, 800), ("0.8/0.2", "0.95/0.05")


def made(accuracy, time=lambda cell: 1.0):
    """Return a full table whose held-out accuracy is a function of the cell."""
    cells = [Cell(2000, *values, 128) for values in itertools.product(BETAS, SIZES, RATIOS)]
    return [
        effects.Row(c, accuracy(c), accuracy(c) + 0.02, accuracy(c) - 0.01, time(c)) for c in cells
    ]


def metrics(rows):
    """Return what a search job would report."""
    return {
        f"{kind} {row.cell}": getattr(row, kind) for row in rows for kind in effects.Row._fields[1:]
    }


def test_a_cell_is_written_and_read():
    cell = Cell(500, 0.95, 800, "0.95/0.05", 128)
    assert Cell.parse(str(cell)) == cell
    assert cell.rates() == (0.95, 0.05)
    for wrong in ("", "beta=0.9", f"{cell} more=1", str(cell).replace("800", "many")):
        with pytest.raises(ValueError, match="cells: found"):
            Cell.parse(wrong)
    for wrong in ("0.8", "0.2/0.8", "0.8/x", "1.2/0"):
        with pytest.raises(ValueError, match="ratio: found"):
            cell._replace(ratio=wrong).rates()


def test_rows_come_from_all_jobs_and_no_cell_twice():
    table = made(lambda c: c.beta)
    jobs = [metrics(table[:7]), metrics(table[7:])]
    assert effects.rows(jobs) == table
    with pytest.raises(ValueError, match="two jobs"):
        effects.rows([*jobs, metrics(table[:1])])


def test_effects_of_a_table_without_interactions_are_those_put_in():
    table = made(lambda c: 0.9 + c.n_hidden / 10_000 + 0.01 * (c.ratio == "0.8/0.2"))
    assert effects.effect(table, "n_hidden") == pytest.approx(0.07)
    assert effects.effect(table, "ratio") == pytest.approx(0.01)
    assert effects.effect(table, "beta") == pytest.approx(0)
    assert math.isnan(effects.effect(table, "t_window"))
    assert effects.advantage(table, "ratio", "0.8/0.2") == pytest.approx(0.01)
    assert effects.advantage(table, "beta", 0.9) == pytest.approx(0)
    assert math.isnan(effects.advantage(table, "beta", 0.5))
    shares = [effects.variance_share(table, f) for f in ("n_hidden", "ratio", "beta")]
    assert sum(shares) == pytest.approx(1)
    assert shares[2] == pytest.approx(0)


def test_best_rows_ranks_and_costs():
    table = made(lambda c: c.n_hidden / 1000, time=lambda c: 1000 / c.n_hidden)
    assert {row.cell.n_hidden for row in effects.best(table, "held_out", 6)} == {800}
    assert effects.best(table, "held_out", 99) == []
    assert effects.cost_ratio(table, "n_hidden") == pytest.approx(8)
    assert math.isnan(effects.cost_ratio(table, "t_window"))
    a = {cell: k for k, cell in enumerate("abcd")}
    assert effects.rank_correlation(a, {"a": 4, "b": 3, "c": 2, "x": 0}) == pytest.approx(-1)
    assert math.isnan(effects.rank_correlation(a, {"a": 1, "b": 2}))
    assert math.isnan(effects.rank_correlation(a, dict.fromkeys("abcd", 1)))


def settings(**changes):
    known = {
        "table": 1, "search": "search_1", "whole_search": None, "validation": "held_out",
        "n_recordings": 100, "n_folds": 5, "epochs": 3,
    }  # fmt: skip
    return nmnist_grid_table.Settings(**{**known, **changes})


def jobs(**tables_of):
    """Return finished jobs: search -> table."""
    results = [
        {"experiment": f"{name}_t_window_2000_part_1", "metrics": metrics(table)}
        for name, table in tables_of.items()
    ]
    return nmnist_grid_table.Jobs(results, {}, "emulated")


def test_a_search_is_held_against_the_published_table():
    off = {cell: value - 0.01 for cell, value in TABLES[1].items()}
    table = made(lambda c: off.get(c, 0.5))
    found = nmnist_grid_table.run(settings(), jobs(search_1=table), 0, None)
    assert found.metrics["gap_held_out"] == pytest.approx(-0.01)
    assert found.metrics["gap_on_training"] == pytest.approx(0.01)
    assert found.metrics["optimism"] == pytest.approx(0.02)
    assert found.metrics["rank_correlation"] == pytest.approx(1)
    assert found.metrics["best_minus_test"] == pytest.approx(0.01)
    assert found.metrics["lead_n_hidden"] > 0
    assert found.metrics[f"accuracy {next(iter(TABLES[1]))}"] == pytest.approx(0.9684)
    assert math.isnan(found.metrics["top_overlap"]), "six of the nine printed cells are missing"
    rest = [effects.Row(cell, off[cell], 0.5, 0.5, 1.0) for cell in TABLES[1]]
    missing = [row for row in rest if row.cell not in {own.cell for own in table}]
    whole = nmnist_grid_table.run(settings(), jobs(search_1=table + missing), 0, None)
    assert whole.metrics["top_overlap"] == 1
    assert whole.metrics["top_overlap_by_chance"] == pytest.approx(9 / 24)
    on_training = nmnist_grid_table.run(
        settings(validation="training"), jobs(search_1=table), 0, None
    )
    assert on_training.metrics["best_minus_test"] == pytest.approx(0.03)


def test_regret_of_a_subset_is_counted_in_the_whole_search():
    whole = made(lambda c: c.n_hidden / 1000)
    small = made(lambda c: -abs(c.n_hidden - 400))
    found = nmnist_grid_table.run(
        settings(search="subset", whole_search="search_1"),
        jobs(subset=small, search_1=whole), 0, None,
    )  # fmt: skip
    assert found.metrics["regret"] == pytest.approx(0.4)
    with pytest.raises(ValueError, match="no job of other"):
        nmnist_grid_table.run(settings(search="other"), jobs(search_1=whole), 0, None)


def test_a_job_that_is_missing_or_no_result_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json.*make it again"):
        nmnist_grid_table.load(str(tmp_path / "gone.json"))
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps({"metrics": {}}))
    with pytest.raises(DataError, match="required property"):
        nmnist_grid_table.load(str(file))


@pytest.mark.parametrize("table", TABLES)
def test_the_ledger_holds_the_same_tables(table):
    """The published rows stand in the ledger as claims and in the code as numbers."""
    book = ledger.load(sources.FOLDER / "nmnist_grid" / sources.LEDGER)
    claims = [c for c in book.claims if c["id"].startswith(f"nmnist_grid.table_{table}_row_")]
    found = {
        Cell.parse(c["measure"]["metric"].removeprefix("accuracy ")): c["published"]["value"]
        for c in claims
    }
    assert found == TABLES[table]
    assert [c["id"].rsplit("_", 1)[1] for c in claims] == [str(k + 1) for k in range(len(claims))]


def test_all_searches_stand_in_one_tidy_table(tmp_path):
    table, files = made(lambda c: c.beta), []
    for run in (0, 1):
        file = tmp_path / f"{run}.json"
        content = {
            "experiment": "search_1_as_coded_t_window_2000_part_2", "protocol": "as_coded",
            "seed": run, "data_kind": "emulated", "device": "cpu", "metrics": metrics(table),
            "settings": {"n_recordings": 100, "n_folds": 5, "epochs": 3},
        }  # fmt: skip
        file.write_text(json.dumps(content))
        files.append(str(file))
    assert cells_csv.main(["--runs", *files, "--out", str(tmp_path / "cells.csv")]) == 0
    found = pandas.read_csv(tmp_path / "cells.csv")
    assert len(found) == 2 * len(table)
    assert set(found["search"]) == {"search_1_as_coded"}
    assert list(found["held_out"]) == list(found["beta"])
    assert not found.isna().any().any()
