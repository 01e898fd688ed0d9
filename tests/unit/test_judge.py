"""The verdict: every status constructed, and noise that must not earn "reproduced"."""

import math

import numpy as np
import pytest

from respike.report import ledger
from respike.report.judge import Measurement, judge, measure


def claim(kind="at_least", nature="random", unit="fraction", measure=None, **accept):
    value = {"kind": "value", "experiment": "train", "metric": "acc"}
    return {
        "id": "toy.claim",
        "nature": nature,
        "unit": unit,
        "published": {"value": 0.9, "text": "90 %", "precision": 0.01},
        "measure": measure or value,
        "accept": {"kind": kind, "why": "test", **accept},
    }


def run(experiment="train", seed=0, settings=None, **metrics):
    common = {"source": "toy", "settings": settings or {}}
    return {**common, "experiment": experiment, "seed": seed, "metrics": metrics}


def runs(*values, experiment="train", settings=None):
    return [run(experiment, i, settings, acc=value) for i, value in enumerate(values)]


def verdict(item, results, scale="default"):
    return judge(item, measure(item, results), scale)


def status(item, results, scale="default"):
    return verdict(item, results, scale).status


HIGH, SPREAD, LOW = [0.901, 0.9, 0.899, 0.9, 0.9], [0.84, 0.9, 0.96, 0.9, 0.9], [0.7] * 5


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ({"kind": "equivalence", "tol": 0.01}, HIGH, "reproduced"),
        ({"kind": "equivalence", "tol": 0.01}, SPREAD, "inconclusive"),
        ({"kind": "equivalence", "tol": 0.01}, LOW, "not_reproduced"),
        ({"kind": "at_least", "bound": 0.85}, HIGH, "reproduced"),
        ({"kind": "at_least", "bound": 0.89}, SPREAD, "inconclusive"),
        ({"kind": "at_least", "bound": 0.89}, LOW, "not_reproduced"),
        ({"kind": "at_most", "bound": 0.8}, LOW, "reproduced"),
        ({"kind": "at_most", "bound": 0.91}, SPREAD, "inconclusive"),
        ({"kind": "at_most", "bound": 0.8}, HIGH, "not_reproduced"),
        ({"kind": "range", "low": 0.85, "high": 0.95}, HIGH, "reproduced"),
        ({"kind": "range", "low": 0.89, "high": 0.95}, SPREAD, "inconclusive"),
        ({"kind": "range", "low": 0.85, "high": 0.95}, LOW, "not_reproduced"),
    ],
)
def test_the_interval_decides(rule, values, expected):
    assert status(claim(**rule), runs(*values)) == expected


def test_the_interval_is_student_t():
    measured = measure(claim(bound=0), runs(1.0, 2.0, 3.0, 4.0, 5.0))
    assert measured.mean == 3
    assert measured.half == pytest.approx(2.776445 * math.sqrt(2.5) / math.sqrt(5), rel=1e-6)


def test_a_reason_holds_the_numbers_in_the_unit():
    reason = verdict(claim("equivalence", tol=0.01), runs(*LOW)).reason
    assert "70.00 %" in reason
    assert "1.00 points of the published 90.00 %" in reason
    assert "n = 5" in reason


def test_one_run_that_hits_the_number_is_inconclusive():
    found = verdict(claim("equivalence", tol=0.01), runs(0.9))
    assert found.status == "inconclusive"
    assert "n = 1" in found.reason


def test_one_run_of_a_random_claim_has_no_interval_whatever_min_runs_says():
    assert status(claim("at_least", bound=0.1, min_runs=1), runs(0.9)) == "inconclusive"


def test_fewer_runs_than_the_rule_asks_for():
    item = claim("at_least", bound=0.1)
    assert status(item, runs(*[0.9] * 2)) == "inconclusive"
    assert status(item, runs(*[0.9] * 3)) == "reproduced"
    assert status(claim("at_least", bound=0.1, min_runs=5), runs(*[0.9] * 4)) == "inconclusive"


def test_a_deterministic_claim_needs_one_run():
    item = claim("at_least", "deterministic", bound=0.9)
    assert status(item, runs(0.9)) == "reproduced"
    assert status(item, runs(0.89)) == "not_reproduced"


@pytest.mark.parametrize(
    ("value", "expected"), [(0.9, "reproduced"), (0.904, "reproduced"), (0.906, "not_reproduced")]
)
def test_exact_compares_at_the_printed_precision(value, expected):
    assert status(claim("exact", "deterministic"), runs(value)) == expected
    assert status(claim("exact", "deterministic"), runs(0.9, 0.9, 0.92)) == "not_reproduced"


@pytest.mark.parametrize("lost", [None, math.nan, math.inf])
def test_a_lost_seed_is_not_dropped_in_silence(lost):
    found = verdict(claim(bound=0.5), runs(0.9, 0.9, lost, 0.9, 0.9, 0.9))
    assert found.status == "inconclusive"
    assert "1 of 6 seeds (2)" in found.reason
    assert measure(claim(bound=0.5), runs(0.9, lost)).mean is None


def test_not_run():
    found = verdict(claim(bound=0.5), [])
    assert found.status == "not_run"
    assert "train" in found.reason
    missing = verdict(claim(bound=0.5), [run(seed=i, other=1) for i in range(5)])
    assert missing.status == "not_run"
    assert "acc" in missing.reason


def test_runs_of_another_source_do_not_count():
    assert status(claim(bound=0.5), [{**r, "source": "b"} for r in runs(*HIGH)]) == "not_run"


@pytest.mark.parametrize("name", ["not_run", "not_comparable", "source_error"])
def test_a_verdict_set_by_hand(name):
    item = {"id": "toy.claim", "verdict": {"status": name, "reason": "why"}}
    assert judge(item, None, "smoke").status == name


def test_smoke_never_earns_a_verdict():
    assert status(claim(bound=0.5), runs(*HIGH), "smoke") == "reduced"
    assert status(claim(bound=0.99), runs(*LOW), "smoke") == "reduced"


def test_below_the_budget_of_the_source():
    item = {**claim(bound=0.5), "budget": {"epochs": 10, "n_train": 100}}
    found = verdict(item, runs(*HIGH, settings={"epochs": 2, "n_train": 100}))
    assert found.status == "reduced"
    assert "epochs 2 of 10" in found.reason
    assert "n_train" not in found.reason
    assert status(item, runs(*HIGH, settings={"epochs": 10, "n_train": None})) == "reproduced"
    with pytest.raises(ledger.LedgerError, match="toy.claim, key budget.epochs"):
        measure(item, runs(*HIGH))


def pair(kind, a=(1.0,), b=(1.0,)):
    sides = {s: {"experiment": s, "metric": "acc"} for s in ("a", "b")}
    item = claim("at_least", bound=0, measure={"kind": kind, **sides})
    return measure(item, runs(*a, experiment="a") + runs(*b, experiment="b"))


def test_difference_and_ratio_are_paired_by_seed():
    assert pair("difference", [3, 5], [1, 2]).values == {0: 2, 1: 3}
    assert pair("ratio", [3, 5], [1, 2]).values == {0: 3, 1: 2.5}
    assert pair("ratio", [3, 5], [1, 0]).values == {0: 3, 1: None}


def test_only_common_seeds_count_and_the_rest_is_named():
    measured = pair("difference", [3, 5, 7], [1])
    assert measured.values == {0: 2}
    assert "1, 2" in measured.note
    item = claim(
        "at_least",
        bound=0,
        measure={"kind": "difference"}
        | {s: {"experiment": s, "metric": "acc"} for s in ("a", "b")},
    )
    apart = measure(item, [run("a", 0, acc=1), run("b", 1, acc=1)])
    assert "No seed" in apart.problem


def margin(better="higher", rivals=("r_*",), **values):
    rule = {"kind": "margin", "experiment": "r_0", "rivals": list(rivals), "metric": "acc"}
    item = claim("at_least", bound=0, measure={**rule, "better": better})
    results = [r for name, v in values.items() for r in runs(*v, experiment=name)]
    return item, results


def test_margin_is_against_the_best_rival_and_never_against_itself():
    item, results = margin(r_0=[0.9] * 5, r_1=[0.8] * 5, r_2=[0.85] * 5)
    measured = measure(item, results)
    assert measured.nearest == "r_2"
    assert measured.mean == pytest.approx(0.05)
    assert set(measured.rivals) == {"r_1", "r_2"}
    assert status(item, results) == "reproduced"
    lower = measure(*margin("lower", r_0=[1.0] * 5, r_1=[2.0] * 5, r_2=[3.0] * 5))
    assert lower.nearest == "r_1"
    assert lower.mean == -1


def test_margin_needs_every_rival_beaten():
    """The rival with the best mean is beaten for certain; a noisier one is not."""
    noisy = [0.2, 1.4, 0.3, 1.3, 0.75]
    found = verdict(*margin(r_0=[0.9] * 5, r_1=[0.8] * 5, r_2=noisy))
    assert found.status == "inconclusive"
    assert "r_2" in found.reason


def test_margin_without_a_rival_or_with_a_lost_one():
    assert status(*margin(r_0=[0.9] * 5)) == "not_run"
    assert status(*margin(r_0=[0.9] * 5, r_1=[0.8, 0.8, None, 0.8, 0.8])) == "inconclusive"


def ranking(*values, bound=0.9):
    rule = {"kind": "rank_correlation", "experiments": "t_*", "x": "num_steps", "metric": "acc"}
    item = claim("at_least", unit="1", bound=bound, measure=rule)
    steps = [(f"t_{x}", {"num_steps": x}, v) for x, v in zip((5, 10, 50), values, strict=True)]
    return item, [r for name, s, v in steps for r in runs(*v, experiment=name, settings=s)]


def test_rank_correlation():
    assert status(*ranking([1] * 5, [2] * 5, [3] * 5)) == "reproduced"
    assert status(*ranking([3] * 5, [2] * 5, [1] * 5)) == "not_reproduced"
    assert measure(*ranking([1], [1], [1])).values == {0: 0.0}  # no order is no evidence
    item, results = ranking([1] * 5, [2] * 5, [3] * 5)
    assert "3 values" in verdict(item, results[:10]).reason


def rate(item, draw, wanted, trials=1000):
    """Return how often noise drawn with a fixed generator earns the status."""
    rng = np.random.default_rng(20260101)
    return np.mean([status(item, draw(rng)) == wanted for _ in range(trials)])


@pytest.mark.parametrize(
    ("item", "centre"),
    [
        (claim("equivalence", tol=0.01), 0.91),  # truth just at the edge of what is accepted
        (claim("at_least", bound=0.9), 0.9),
        (claim("at_most", bound=0.9), 0.9),
        (claim("range", low=0.9, high=0.99), 0.9),
    ],
)
def test_noise_at_the_edge_seldom_earns_a_verdict(item, centre):
    def draw(rng):
        return runs(*rng.normal(centre, 0.002, 5))

    assert rate(item, draw, "reproduced") < 0.04  # 2.5 % in the limit
    assert rate(item, draw, "not_reproduced") < 0.04


def test_wide_noise_around_the_right_number_never_earns_reproduced():
    item = claim("equivalence", tol=0.005)
    assert rate(item, lambda rng: runs(*rng.normal(0.9, 0.1, 5)), "reproduced") < 0.01


def test_equal_rivals_earn_no_verdict():
    item, _ = margin()

    def draw(rng):
        names = [f"r_{i}" for i in range(6)]
        return [r for n in names for r in runs(*rng.normal(0.9, 0.01, 5), experiment=n)]

    assert rate(item, draw, "reproduced", 300) < 0.02
    assert rate(item, draw, "not_reproduced", 300) < 0.05  # the luckiest of five is no proof


def test_a_measurement_without_values_is_not_run():
    assert judge(claim(bound=0), Measurement(), "default").status == "not_run"


def cells(means, noise, seeds=5, rng=None):
    """Return runs of experiments a, b, c, ... around their means."""
    rng = rng or np.random.default_rng(0)
    return [
        run(name, seed, acc=mean + noise * rng.normal())
        for name, mean in zip("abcdefgh", means, strict=False)
        for seed in range(seeds)
    ]


RANKED = [0.95, 0.94, 0.93, 0.92, 0.91, 0.90, 0.89, 0.88]
EQUAL = [0.9] * 8
AGREES = {
    "kind": "rank_agreement",
    "published": dict(zip("abcdefgh", RANKED, strict=True)),
    "metric": "acc",
}
WINS = {
    "kind": "win_probability", "experiment": "a", "rivals": ["[b-h]"], "metric": "acc",
    "better": "higher",
}  # fmt: skip
TOP = {
    "kind": "top_overlap", "top": ["a", "b"], "experiments": "[a-h]", "metric": "acc",
    "better": "higher",
}  # fmt: skip


@pytest.mark.parametrize(("rule", "bound"), [(AGREES, 0.7), (WINS, 0.8), (TOP, 0.8)])
def test_a_clear_ranking_is_reproduced_and_noise_alone_never_is(rule, bound):
    item = claim("at_least", measure=rule, unit="1", bound=bound)
    assert status(item, cells(RANKED, 0.0005)) == "reproduced"
    assert status(item, cells(RANKED[::-1], 0.0005)) == "not_reproduced"
    found = [status(item, cells(EQUAL, 0.01, rng=np.random.default_rng(s))) for s in range(200)]
    assert "reproduced" not in found
    assert found.count("not_reproduced") > 100


def test_where_low_is_better_the_winner_is_the_lowest():
    item = claim("at_least", measure=WINS | {"better": "lower"}, unit="1", bound=0.9)
    assert status(item, cells(RANKED[::-1], 0.0001)) == "reproduced"


def test_chance_is_told_beside_a_ranking():
    found = measure(claim(measure=TOP), cells(EQUAL, 0.01))
    assert "Chance alone gives 25.00 %: 2 of 8" in found.note
    assert "chance gives 1/8" in measure(claim(measure=WINS), cells(EQUAL, 0.01)).note


def test_one_lost_run_leaves_no_winner():
    lost = [run("b", 2, acc=None) if r["experiment"] == "b" and r["seed"] == 2 else r
            for r in cells(RANKED, 0.001)]  # fmt: skip
    assert status(claim(measure=WINS, bound=0.9), lost) == "inconclusive"
    assert status(claim(measure=AGREES, bound=0.5), lost) == "inconclusive"


def test_a_ranking_needs_its_experiments():
    found = verdict(claim(measure=TOP, bound=0.5), cells(RANKED[:1], 0.001))
    assert found.status == "not_run" and "b" in found.reason
