"""Measure a claim on the runs and judge it: pure functions, the only place where a verdict is made.

Every claim is reduced to one value per seed. The 95 % interval of their mean (Student t) is held
against the region that the ledger accepts: wholly inside, wholly outside, or neither.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from scipy import special, stats

from respike.report import evidence, ledger, wording

STATUSES = (  # in the order of the report: failures and doubts first
    "not_reproduced",
    "inconclusive",
    "source_error",
    "not_comparable",
    "reduced",
    "not_run",
    "reproduced",
)


_RANKINGS = ("rank_agreement", "win_probability", "top_overlap")


@dataclass(frozen=True)
class Verdict:
    """One of `STATUSES` and a short sentence that says why, with the numbers in it."""

    status: str
    reason: str


@dataclass(frozen=True)
class Measurement:
    """One value per seed in the claim's unit; None where a run gave no finite number."""

    values: dict[int, float | None] = field(default_factory=dict)
    used: list[tuple[str, int]] = field(default_factory=list)  # (experiment, seed)
    budget: dict[str, float | None] = field(default_factory=dict)  # smallest setting among used
    rivals: dict[str, Measurement] = field(default_factory=dict)  # margin: the gap to each rival
    nearest: str | None = None  # margin: the rival with the best mean
    deterministic: bool = False
    note: str = ""
    problem: str = ""  # why nothing could be measured

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None if one of them is missing, as the rest would flatter."""
        values = list(self.values.values())
        return statistics.fmean(values) if values and None not in values else None

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over the seeds."""
        return None if self.mean is None or self.n < 2 else statistics.stdev(self.values.values())

    @property
    def half(self) -> float | None:
        """Half width of the 95 % interval of the mean."""
        return self._half(1)

    @property
    def wide(self) -> float | None:
        """Half width that contradicts a margin: the rival was picked as the best of several.

        Bonferroni over the rivals; without it the luckiest of many equal rivals would win.
        """
        return self._half(max(1, len(self.rivals)))

    def _half(self, comparisons: int) -> float | None:
        if self.mean is None or (self.n < 2 and not self.deterministic):
            return None
        if self.n < 2:
            return 0.0
        quantile = special.stdtrit(self.n - 1, 1 - 0.025 / comparisons)  # Student's t, quickly
        return float(quantile) * self.sd / math.sqrt(self.n)


def measure(claim: dict, runs: Iterable[dict]) -> Measurement:
    """Return the claim's value for each seed that all the experiments it needs have in common."""
    source = claim["id"].split(".")[0]
    table: dict[str, dict[int, dict]] = {}
    for run in runs:
        if run["source"] == source:
            table.setdefault(run["experiment"], {})[run["seed"]] = run
    rule = claim["measure"]
    names, absent = [], []
    for wanted in ledger.experiments(claim):
        found = sorted(name for name in table if fnmatchcase(name, wanted))
        if wanted != rule.get("experiment"):  # an experiment is never its own rival
            found = [name for name in found if name != rule.get("experiment")]
        names += [name for name in found if name not in names]
        absent += [] if found else [wanted]
    if absent:
        names = ", ".join(absent)
        return Measurement(problem=f"Not run at this scale, or its data are not there: {names}.")
    seeds = sorted(set.intersection(*(set(table[name]) for name in names)))
    if not seeds:
        return Measurement(problem=f"No seed was run for all of {', '.join(names)}.")
    for name, metric in _series(rule, names):
        if not any(metric in table[name][seed]["metrics"] for seed in seeds):
            return Measurement(problem=f"No run of {name} reports the metric {metric}.")
    dropped = sorted({seed for name in names for seed in table[name]} - set(seeds))
    common = {
        "used": [(name, seed) for name in names for seed in seeds],
        "budget": _budget(claim, [table[name][seed] for name in names for seed in seeds]),
        "deterministic": claim["nature"] == "deterministic",
        "note": f"Left out, not run for every experiment needed: seed {_list(dropped)}."
        if dropped
        else "",
    }
    if rule["kind"] == "margin":
        return _margin(rule, table, names, seeds, common)
    if rule["kind"] in _RANKINGS:
        return _ranking(rule, table, names, seeds, common)
    if rule["kind"] == "rank_correlation":
        steps = {table[name][seeds[0]]["settings"].get(rule["x"]) for name in names}
        if len(steps) < 3 or not all(_finite(step) for step in steps):
            said = ", ".join(map(str, sorted(steps, key=str)))
            return Measurement(problem=f"A ranking over {rule['x']} needs 3 values, found: {said}.")
    return Measurement({seed: _value(rule, table, names, seed) for seed in seeds}, **common)


def _ranking(rule: dict, table: dict, names: list[str], seeds: list[int], common: dict):
    """Return the measurement of the kinds that rank experiments, one value per seed."""
    sign = 1 if rule.get("better", "higher") == "higher" else -1
    rows = {
        seed: [table[name][seed]["metrics"].get(rule["metric"]) for name in names] for seed in seeds
    }
    whole = {seed: row for seed, row in rows.items() if all(map(_finite, row))}
    values, note = dict.fromkeys(seeds), common["note"]
    if rule["kind"] == "rank_agreement":
        if len(names) < 3:
            return Measurement(problem=f"A ranking needs 3 experiments, found: {_list(names)}.")
        for seed, row in whole.items():
            values[seed] = evidence.rank_agreement([rule["published"][n] for n in names], row)
    elif rule["kind"] == "win_probability":
        if len(whole) == len(seeds):  # a lost run may be any rival's
            rivals = [[sign * row[k] for row in whole.values()] for k in range(1, len(names))]
            values = {s: evidence.win_probability(sign * r[0], rivals) for s, r in whole.items()}
        note = f"{note} Among {len(names)} equal ones chance gives 1/{len(names)}.".strip()
    else:
        top = [names.index(name) for name in rule["top"]]
        for seed, row in whole.items():
            values[seed] = evidence.top_overlap([sign * value for value in row], top)
        chance = wording.number(len(top) / len(names), "fraction")
        note = f"{note} Chance alone gives {chance}: {len(top)} of {len(names)}.".strip()
    return Measurement(values, **common | {"note": note})


def judge(claim: dict, measurement: Measurement | None, scale: str) -> Verdict:
    """Return the verdict on one claim; `measurement` is None where the ledger sets it by hand."""
    if "verdict" in claim:
        return Verdict(claim["verdict"]["status"], claim["verdict"]["reason"])
    if measurement is None or measurement.problem or not measurement.values:
        return Verdict("not_run", measurement.problem if measurement else "Not measured.")
    if scale == "smoke":
        return Verdict("reduced", "Scale smoke: the number only shows that the pipeline runs.")
    below = [
        f"{key} {wording.bare(ours, '1')} of {wording.bare(claim['budget'][key], '1')}"
        for key, ours in measurement.budget.items()
        if ours is not None and ours < claim["budget"][key]
    ]
    if below:
        return Verdict("reduced", f"Measured below the source's budget: {', '.join(below)}.")
    lost = [seed for seed, value in measurement.values.items() if value is None]
    if lost:
        said = f"{len(lost)} of {measurement.n} seeds ({_list(lost)})"
        return Verdict("inconclusive", f"No finite value from {said}, and the rest would flatter.")
    needed = ledger.min_runs(claim)
    if measurement.n < needed or measurement.half is None:
        said = f"n = {measurement.n} {'run' if measurement.n == 1 else 'runs'}"
        return Verdict("inconclusive", f"Only {said}, {max(2, needed)} are needed for a verdict.")
    if claim["accept"]["kind"] == "exact":
        return _judge_exact(claim, measurement)
    return _judge_region(claim, measurement)


def _judge_exact(claim: dict, measurement: Measurement) -> Verdict:
    published, unit = claim["published"], wording.unit_of(claim)
    reach = published["precision"] / 2 * (1 + 1e-9)
    off = [v for v in measurement.values.values() if not abs(v - published["value"]) <= reach]
    what = f"the published {published['text']} at its printed precision"
    if off:
        said = ", ".join(wording.number(value, unit) for value in off)
        return Verdict("not_reproduced", f"Measured {said}, which is not {what}.")
    return Verdict("reproduced", f"Every value (n = {measurement.n}) equals {what}.")


def _judge_region(claim: dict, measurement: Measurement) -> Verdict:
    low, high, region = accepted(claim)
    unit, mean = wording.unit_of(claim), measurement.mean

    def inside(item: Measurement) -> bool:
        return item.mean - item.half >= low and item.mean + item.half <= high

    n = f"(n = {measurement.n})"
    n += f" against {measurement.nearest}" if measurement.nearest else ""
    said = f"{wording.interval(mean, measurement.half, unit)} {n}"
    subject = f"value {said}" if measurement.half == 0 else f"95 % interval {said}"
    if inside(measurement):
        doubt = [name for name, gap in measurement.rivals.items() if not inside(gap)]
        if not doubt:
            return Verdict("reproduced", f"The {subject} lies {region}.")
        return Verdict(
            "inconclusive", f"The {subject} lies {region}, but not so for {_list(doubt)}."
        )
    if mean + measurement.wide < low or mean - measurement.wide > high:
        return Verdict("not_reproduced", f"No part of the {subject} lies {region}.")
    if mean + measurement.half < low or mean - measurement.half > high:
        why = f"widened for the choice among {len(measurement.rivals)} rivals it reaches in"
        return Verdict("inconclusive", f"The {subject} does not lie {region}, but {why}.")
    return Verdict("inconclusive", f"The {subject} lies only partly {region}.")


def accepted(claim: dict) -> tuple[float, float, str]:
    """Return the accepted region: lowest value, highest value, in words."""
    accept, unit = claim["accept"], wording.unit_of(claim)
    if accept["kind"] == "exact":
        centre, reach = claim["published"]["value"], claim["published"]["precision"] / 2
        text = f"equal to {claim['published']['text']} at its printed precision"
        return centre - reach, centre + reach, text
    if accept["kind"] == "equivalence":
        centre, tol = claim["published"]["value"], accept["tol"]
        apart = wording.number(tol, "points" if unit == "fraction" else unit)
        return (
            centre - tol,
            centre + tol,
            f"within {apart} of the published {wording.number(centre, unit)}",
        )
    if accept["kind"] == "at_least":
        return accept["bound"], math.inf, f"at or above {wording.number(accept['bound'], unit)}"
    if accept["kind"] == "at_most":
        return -math.inf, accept["bound"], f"at or below {wording.number(accept['bound'], unit)}"
    low, high = accept["low"], accept["high"]
    return low, high, f"between {wording.number(low, unit)} and {wording.number(high, unit)}"


def _series(rule: dict, names: list[str]) -> list[tuple[str, str]]:
    """Return every (experiment, metric) that the rule reads."""
    if "a" in rule:
        return [(rule[side]["experiment"], rule[side]["metric"]) for side in ("a", "b")]
    return [(name, rule["metric"]) for name in names]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _value(rule: dict, table: dict, names: list[str], seed: int) -> float | None:
    """Return one seed's value of the kinds that need no other seed."""
    numbers = [table[name][seed]["metrics"].get(metric) for name, metric in _series(rule, names)]
    if not all(_finite(number) for number in numbers):
        return None
    if rule["kind"] == "difference":
        return numbers[0] - numbers[1]
    if rule["kind"] == "ratio":
        return numbers[0] / numbers[1] if numbers[1] else None
    if rule["kind"] == "rank_correlation":
        if len(set(numbers)) == 1:  # no ranking at all; scipy would give NaN
            return 0.0
        steps = [table[name][seed]["settings"][rule["x"]] for name in names]
        return float(stats.spearmanr(steps, numbers).statistic)
    return float(numbers[0])


def _margin(rule: dict, table: dict, names: list[str], seeds: list[int], common: dict):
    """Return the gap to the rival with the best mean, and the gap to every rival beside it."""
    gaps, means = {}, {}
    for rival in names[1:]:
        pair = {"kind": "difference", "a": {}, "b": {}}
        for side, name in (("a", names[0]), ("b", rival)):
            pair[side] = {"experiment": name, "metric": rule["metric"]}
        values = {seed: _value(pair, table, names, seed) for seed in seeds}
        gaps[rival] = Measurement(values, deterministic=common["deterministic"])
        means[rival] = gaps[rival].mean
    if None in means.values():  # who is best cannot be said: no value for the seeds concerned
        lost = {seed for gap in gaps.values() for seed, v in gap.values.items() if v is None}
        first = next(iter(gaps.values())).values
        return Measurement({s: None if s in lost else first[s] for s in seeds}, **common)
    best = min if rule["better"] == "higher" else max  # the smallest advantage is the best rival
    nearest = best(means, key=means.get)
    return Measurement(gaps[nearest].values, rivals=gaps, nearest=nearest, **common)


def _budget(claim: dict, runs: list[dict]) -> dict[str, float | None]:
    """Return our smallest value of each setting in the budget; None means without a limit."""
    ours = {}
    for key in claim.get("budget", {}):
        found = [run["settings"][key] for run in runs if key in run["settings"]]
        if not found:
            raise ledger.LedgerError(f"claim {claim['id']}, key budget.{key}: no run has it")
        ours[key] = min((value for value in found if _finite(value)), default=None)
    return ours


def _list(items: Iterable) -> str:
    return ", ".join(map(str, items))
