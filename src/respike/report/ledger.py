"""The claims ledger of one source: read, checked as a whole, every error reported at once."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from respike.runs import strict_yaml
from respike.runs.strict_yaml import Key

SCHEMA = Path(__file__).parents[3] / "workflow" / "schemas" / "claims.schema.yaml"
ANSWER_WORDS = 90
DEFAULT_MIN_RUNS = {"random": 3, "figure": 3, "qualitative": 3, "deterministic": 1}


class LedgerError(ValueError):
    """One line per problem: file, line, claim or item, key, what is wrong."""


@dataclass(frozen=True)
class Ledger:
    """One checked ledger; items are the plain mappings of the file, lists are never None."""

    path: Path
    source: dict
    claims: list[dict]
    deviations: list[dict] = field(default_factory=list)
    unstated: list[dict] = field(default_factory=list)
    errata: list[dict] = field(default_factory=list)
    figures: list[dict] = field(default_factory=list)


def load(path: str | Path) -> Ledger:
    """Read and check one ledger; raise one `LedgerError` that lists every problem."""
    path = Path(path)
    try:
        content, lines = strict_yaml.load(path)
    except strict_yaml.YamlError as error:
        raise LedgerError(str(error)) from error
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    found = [
        (tuple(error.absolute_path), _say(error))
        for error in Draft202012Validator(schema).iter_errors(content)
    ]
    found += _numbers(content)
    if not found:  # the checks below rely on the shape that the schema guarantees
        found = [*_answer(content["source"]), *_ids(content), *_claims(content)]
    if found:
        raise LedgerError(
            "\n".join(
                f"{path}:{lines.get(at, 1)}: {_place(content, at)}: {text}"
                for at, text in sorted(found, key=lambda problem: lines.get(problem[0], 1))
            )
        )
    return Ledger(path=path, **content)


def min_runs(claim: dict) -> int:
    """Return how many seeds the claim needs before it may be judged."""
    return claim["accept"].get("min_runs", DEFAULT_MIN_RUNS[claim["nature"]])


def experiments(claim: dict) -> list[str]:
    """Return the experiments, or fnmatch patterns of them, that the claim measures."""
    measure = claim.get("measure", {})
    names = [measure.get("experiment"), *measure.get("top", []), measure.get("experiments")]
    names += [*measure.get("rivals", []), *measure.get("published", {})]
    names += [measure[side]["experiment"] for side in ("a", "b") if side in measure]
    return [name for name in names if name]


def _place(content: dict, at: Key) -> str:
    """Return "claim <id>, key measure.kind", or the nearest thing to it for a nameless item."""
    if len(at) < 2 or not isinstance(at[1], int):
        return f"key {strict_yaml.dotted(at)}" if at else "top level"
    item = content[at[0]][at[1]]
    name = item.get("id") if isinstance(item, dict) else None
    place = f"{at[0].removesuffix('s')} {name or f'number {at[1] + 1}'}"
    return f"{place}, key {strict_yaml.dotted(at[2:])}" if at[2:] else place


def _say(error: ValidationError) -> str:
    """Return the schema's message in the words of a ledger's author."""
    if error.validator is None:  # the schema `false`
        return "measure and accept are not allowed together with a verdict set by hand"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        unknown = [str(key) for key in error.instance if key not in known]
        near = [difflib.get_close_matches(key, known, n=1) for key in unknown]
        hints = [
            f"{key} (did you mean {names[0]}?)" if names else key
            for key, names in zip(unknown, near, strict=True)
        ]
        return f"unknown key {', '.join(hints)}; allowed: {', '.join(known)}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"missing key {', '.join(missing)}"
    if error.validator == "enum":
        return f"found {error.instance!r}, allowed: {', '.join(map(str, error.validator_value))}"
    if error.validator == "type":
        wanted = error.validator_value
        wanted = wanted if isinstance(wanted, str) else " or ".join(wanted)
        return f"found {error.instance!r}, expected {wanted}"
    return error.message


def _numbers(item: object, at: Key = ()) -> Iterator[tuple[Key, str]]:
    """Yield every number that is not finite: NaN passes each bound of a schema."""
    if isinstance(item, float) and not math.isfinite(item):
        yield at, f"found {item}, expected a finite number"
    pairs = item.items() if isinstance(item, dict) else ()
    pairs = enumerate(item) if isinstance(item, list) else pairs
    for key, value in pairs:
        yield from _numbers(value, (*at, key))


def _answer(source: dict) -> Iterator[tuple[Key, str]]:
    """Yield that the answer is too long for a newcomer; what goes beyond it stands in `more`."""
    words = len(source.get("answer", "").split())
    if words > ANSWER_WORDS:
        yield (
            ("source", "answer"),
            f"{words} words, allowed are {ANSWER_WORDS}: put the rest in more",
        )


def _ids(content: dict) -> Iterator[tuple[Key, str]]:
    """Yield every id that is given twice or does not start with the id of its source."""
    source = content["source"]["id"]
    for kind in ("claims", "deviations", "unstated", "figures"):
        start = {"claims": f"{source}.", "figures": f"{source}_"}.get(kind, "")
        seen = set()
        for index, item in enumerate(content.get(kind, [])):
            if item["id"] in seen:
                yield (kind, index, "id"), "the id is given twice"
            if not item["id"].startswith(start):
                yield (kind, index, "id"), f"must start with {start}"
            seen.add(item["id"])


def _claims(content: dict) -> Iterator[tuple[Key, str]]:
    """Yield what a schema cannot say about single claims."""
    protocols = content["source"]["protocols"]
    known = {
        kind: {item["id"] for item in content.get(kind, [])}
        for kind in ("deviations", "unstated", "figures")
    }
    claims = {claim["id"] for claim in content["claims"]}
    for name in content["source"].get("headline", []):
        if name not in claims:
            yield ("source", "headline"), f"unknown claim {name}"
    for index, claim in enumerate(content["claims"]):
        at = ("claims", index)
        if claim["protocol"] not in protocols:
            known_ones = ", ".join(protocols)
            yield (*at, "protocol"), f"unknown {claim['protocol']}; known: {known_ones}"
        for kind, names in known.items():
            for name in claim.get(kind, []):
                if name not in names:
                    yield (*at, kind), f"unknown id {name}"
        if "accept" in claim:
            yield from (((*at, *key), text) for key, text in _rule(claim))


def _rule(claim: dict) -> Iterator[tuple[Key, str]]:
    """Yield why the acceptance rule cannot be applied to what is published and measured."""
    accept, measure, published = claim["accept"], claim["measure"], claim.get("published", {})
    kind, nature = accept["kind"], claim["nature"]
    if kind in ("equivalence", "exact") and published.get("value") is None:
        yield ("accept", "kind"), f"{kind} needs published.value"
    if kind == "exact" and "precision" not in published:
        yield ("accept", "kind"), "exact needs published.precision"
    if kind == "exact" and nature != "deterministic":
        yield ("accept", "kind"), f"exact is for deterministic claims, this one is {nature}"
    if kind == "range" and accept["low"] >= accept["high"]:
        yield ("accept", "low"), f"{accept['low']} is not below the high end {accept['high']}"
    if nature != "deterministic" and min_runs(claim) < 2:
        yield ("accept", "min_runs"), f"a {nature} claim needs at least 2 runs for an interval"
    if measure["kind"] == "rank_agreement" and len(set(measure["published"].values())) < 2:
        yield ("measure", "published"), "one value for all experiments is no ranking"
    if measure.get("experiment") in measure.get("rivals", []):
        yield ("measure", "rivals"), f"{measure['experiment']} cannot be its own rival"
