"""A finished search as one table, and what can be read off it: effects, ranks, optimism.

A table is a list of rows, one per cell, as `rows` makes it from the metrics of the search's jobs.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import stats

from respike.sources.nmnist_grid.cells import Cell

FACTORS = Cell._fields
NAN = float("nan")


class Row(NamedTuple):
    """One cell of one run: accuracies, and the CPU time of an epoch of training."""

    cell: Cell
    held_out: float
    training: float
    test: float
    train_s_per_epoch: float


def rows(metrics: Iterable[dict[str, float]]) -> list[Row]:
    """Return the cells of the jobs of a search, in the order of the jobs; a cell stands once.

    Raises
    ------
    ValueError
        A cell stands in two jobs.
    """
    found: dict[Cell, Row] = {}
    for job in metrics:
        for name in job:
            if name.startswith("held_out "):
                text = name.removeprefix("held_out ")
                cell = Cell.parse(text)
                if cell in found:
                    raise ValueError(f"{text} was trained by two jobs of one search")
                found[cell] = Row(cell, *(job[f"{kind} {text}"] for kind in Row._fields[1:]))
    return list(found.values())


def marginal_means(table: list[Row], factor: str, kind: str = "held_out") -> dict:
    """Return value of the factor -> mean over its cells, for a full factorial table."""
    values = dict.fromkeys(getattr(row.cell, factor) for row in table)
    return {
        value: float(
            np.mean([getattr(row, kind) for row in table if getattr(row.cell, factor) == value])
        )
        for value in values
    }


def effect(table: list[Row], factor: str, kind: str = "held_out") -> float:
    """Return the range of the marginal means of a factor; NaN if it has one value only."""
    means = list(marginal_means(table, factor, kind).values())
    return max(means) - min(means) if len(means) > 1 else NAN


def variance_share(table: list[Row], factor: str, kind: str = "held_out") -> float:
    """Return eta squared: between-values sum of squares of a factor over the total."""
    numbers = np.array([getattr(row, kind) for row in table])
    total = ((numbers - numbers.mean()) ** 2).sum()
    means = marginal_means(table, factor, kind)
    if len(means) < 2 or total == 0:
        return NAN
    own = np.array([means[getattr(row.cell, factor)] for row in table])
    return float(((own - numbers.mean()) ** 2).sum() / total)


def advantage(table: list[Row], factor: str, value) -> float:
    """Return the marginal mean at `value` less the best of the factor's others; NaN without."""
    means = marginal_means(table, factor)
    others = [mean for other, mean in means.items() if other != value]
    return means[value] - max(others) if value in means and others else NAN


def best(table: list[Row], kind: str, k: int) -> list[Row]:
    """Return the k rows of the highest accuracy, best first; [] if there are fewer than k."""
    ordered = sorted(table, key=lambda row: -getattr(row, kind))
    return ordered[:k] if len(ordered) >= k else []


def rank_correlation(numbers: dict[Cell, float], others: dict[Cell, float]) -> float:
    """Return Spearman's coefficient over the cells of both; NaN below three or without an order."""
    both = [cell for cell in numbers if cell in others]
    a, b = ([source[cell] for cell in both] for source in (numbers, others))
    if len(both) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        return NAN
    return float(stats.spearmanr(a, b).statistic)


def cost_ratio(table: list[Row], factor: str) -> float:
    """Return training time at the factor's smallest value over that at its largest, mean of pairs.

    A pair is two cells that differ in this factor alone. NaN if it has one value only.
    """
    times = {row.cell: row.train_s_per_epoch for row in table}
    low, high = (f(getattr(cell, factor) for cell in times) for f in (min, max))
    ratios = [
        time / times[other]
        for cell, time in times.items()
        if getattr(cell, factor) == low
        and (other := cell._replace(**{factor: high})) in times
        and times[other]
    ]
    return float(np.mean(ratios)) if low != high and ratios else NAN
