"""One run of a search as a table, held against the published one.

Source: nmnist-grid-paper.md, section 3.7, tables 1 and 2. Reads the results of the search's jobs
(--data names them). What each number means: claims.yaml.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from respike.data.mnist import DataError
from respike.runs.provenance import problems
from respike.runs.result import Result
from respike.sources.nmnist_grid import effects as tables
from respike.sources.nmnist_grid.published import TABLES
from respike.sources.nmnist_grid.settings import Table as Settings


@dataclass(frozen=True)
class Jobs:
    """Results of the jobs of one or two searches."""

    results: list[dict]
    sha256: dict[str, str]  # of the data that they were trained on
    kind: str  # of that data


def load(*paths: str) -> Jobs:
    """Read results of finished jobs; raise DataError for one that is missing or not current."""
    results = []
    for path in paths:
        try:
            result = json.loads(Path(path).read_text(encoding="utf-8"))
            wrong = problems(result)
        except (OSError, ValueError) as error:
            wrong = [str(error)]
        if wrong:
            raise DataError(f"{path}: {'; '.join(wrong)}; make it again with snakemake {path}")
        results.append(result)
    if len({result["data_kind"] for result in results}) != 1:
        raise DataError(f"the jobs of one search were trained on different data: {list(paths)}")
    sha256 = {name: sha for result in results for name, sha in result["data_sha256"].items()}
    return Jobs(results, sha256, results[0]["data_kind"])


def run(settings: Settings, data: Jobs, seed: int, progress) -> Result:
    """Read the table of the search and compare it with the published one."""
    s = settings
    own = _table(data, s.search)
    published = TABLES[s.table]
    judged = {row.cell: getattr(row, s.validation) for row in own}
    metrics = {f"accuracy {cell}": value for cell, value in judged.items()}
    for name, kind in (("held_out", "held_out"), ("on_training", "training")):
        gaps = [getattr(row, kind) - published[row.cell] for row in own if row.cell in published]
        metrics[f"gap_{name}"] = float(np.mean(gaps)) if gaps else tables.NAN
    metrics["optimism"] = float(np.mean([row.training - row.held_out for row in own]))
    metrics["rank_correlation"] = tables.rank_correlation(judged, published)
    effects = {}
    for factor in tables.FACTORS:
        effects[factor] = tables.effect(own, factor)
        metrics[f"effect_{factor}"] = effects[factor]
        metrics[f"effect_{factor}_on_training"] = tables.effect(own, factor, "training")
        metrics[f"variance_share_{factor}"] = tables.variance_share(own, factor)
    others = [value for f, value in effects.items() if f != "n_hidden" and value == value]
    metrics["lead_n_hidden"] = effects["n_hidden"] - max(others) if others else tables.NAN
    metrics["advantage_ratio_0.8"] = tables.advantage(own, "ratio", "0.8/0.2")
    metrics["advantage_beta_0.9"] = tables.advantage(own, "beta", 0.9)
    metrics["cost_of_shortest_t_window"] = tables.cost_ratio(own, "t_window")
    nine, ten = (tables.best(own, s.validation, k) for k in (9, 10))
    ours_800 = [row.cell.n_hidden == 800 for row in nine]
    metrics["top_nine_share_800"] = float(np.mean(ours_800)) if nine else tables.NAN
    of_beta = [row.cell.beta == 0.95 for row in ten]
    metrics["top_ten_with_beta_0.95"] = float(sum(of_beta)) if ten else tables.NAN
    ends = [getattr(row, s.validation) for row in ten[:1] + ten[-1:]]
    metrics["spread_of_top_ten"] = ends[0] - ends[1] if ten else tables.NAN
    printed = tables.best(own, s.validation, len(published))
    among = [row.cell in published for row in printed]
    complete = all(cell in judged for cell in published) and len(own) > len(published)
    metrics["top_overlap"] = float(np.mean(among)) if complete else tables.NAN
    metrics["top_overlap_by_chance"] = len(published) / len(own) if complete else tables.NAN
    (first,) = tables.best(own, s.validation, 1)
    metrics["best_minus_test"] = getattr(first, s.validation) - first.test
    whole = []
    if s.whole_search:
        whole = _table(data, s.whole_search)
        by_whole = {row.cell: row.held_out for row in whole}
        if first.cell not in by_whole:
            raise ValueError(f"{s.whole_search} lacks {first.cell}, which {s.search} has")
        metrics["regret"] = max(by_whole.values()) - by_whole[first.cell]
        metrics["rank_correlation_with_whole"] = tables.rank_correlation(judged, by_whole)
    columns = {kind: [getattr(row, kind) for row in own] for kind in tables.Row._fields[1:]}
    arrays = {
        "cells": np.array([str(row.cell) for row in own]),
        **{kind: np.array(values) for kind, values in columns.items()},
        "published": np.array([published.get(row.cell, tables.NAN) for row in own]),
        "whole_cells": np.array([str(row.cell) for row in whole]),
        "whole_held_out": np.array([row.held_out for row in whole]),
    }
    return Result(metrics=metrics, arrays=arrays)


def _table(data: Jobs, search: str) -> list[tables.Row]:
    """Return the table of one search: of the jobs whose names start with it."""
    jobs = [r for r in data.results if r["experiment"].startswith(f"{search}_t_window_")]
    if not jobs:
        raise ValueError(f"no job of {search} among the results given")
    return tables.rows(result["metrics"] for result in jobs)
