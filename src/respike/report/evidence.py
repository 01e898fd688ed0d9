"""The statistics of the report: intervals, paired comparisons, rankings. Pure functions.

Sources: E. B. Wilson, JASA 22 (1927) 209; Q. McNemar, Psychometrika 12 (1947) 153; S. Holm,
Scand. J. Statist. 6 (1979) 65; B. L. Welch, Biometrika 34 (1947) 28; M. G. Kendall, Biometrika 33
(1945) 239.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return (mean, half width of its 95 % interval) of two or more runs; Student's t."""
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, float(stats.t.ppf(0.975, len(values) - 1)) * spread


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, `right` of n independent images, after Wilson."""
    interval = stats.binomtest(right, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(only_a: np.ndarray, only_b: np.ndarray) -> np.ndarray:
    """Return two-sided exact p values of McNemar's test.

    `only_a` and `only_b` are the numbers of images that only one of two networks gets right, arrays
    of any shape. If both networks are equally good, either is a fair coin's count.
    """
    only_a, only_b = np.asarray(only_a), np.asarray(only_b)
    tail = stats.binom.cdf(np.minimum(only_a, only_b), only_a + only_b, 0.5)
    return np.minimum(1.0, 2 * tail)


def holm(p: Sequence[float]) -> np.ndarray:
    """Return p values corrected for their number (Holm's step-down), in the order given."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, scaled)
    return corrected


def welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Return (mean of a minus mean of b, half width of its 95 % interval); 2 runs each at least."""
    difference = float(np.mean(a) - np.mean(b))
    squares = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    if sum(squares) == 0:
        return difference, 0.0
    freedom = sum(squares) ** 2 / sum(
        s**2 / (len(x) - 1) for s, x in zip(squares, (a, b), strict=True)
    )
    return difference, float(stats.t.ppf(0.975, freedom)) * math.sqrt(sum(squares))


def rank_agreement(published: Sequence[float], measured: Sequence[float]) -> float:
    """Return Kendall's tau-b of two rankings, 1 for the same order; 0 where one ranks nothing."""
    if len(set(published)) == 1 or len(set(measured)) == 1:
        return 0.0
    return float(stats.kendalltau(published, measured).statistic)


def win_probability(own: float, rivals: Sequence[Sequence[float]]) -> float:
    """Return the probability that `own` exceeds one random run of every rival; a tie counts half.

    `rivals` holds the runs of each rival. Of k equal rivals a random winner beats all with
    probability 1 / (k + 1).
    """
    shares = [np.mean(np.where(np.equal(r, own), 0.5, np.less(r, own))) for r in rivals]
    return float(np.prod(shares))


def top_overlap(values: Sequence[float], top: Sequence[int]) -> float:
    """Return the share of the indices `top` that are among the len(top) largest of all values.

    Values that tie at the edge share the places that are left. Chance alone gives
    len(top) / len(values).
    """
    values, k = np.asarray(values, float), len(top)
    edge = np.sort(values)[-k]
    above, tied = values > edge, values == edge
    inside = above + tied * ((k - above.sum()) / tied.sum())
    return float(inside[list(top)].mean())
