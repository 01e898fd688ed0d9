"""A reader's questions about one claim, answered from verdicts.json and the files it names."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from respike.report import wording
from respike.runs import foreign, provenance
from respike.runs.sources import UnknownName


class AskError(RuntimeError):
    """No such claim, or no verdicts yet; the message says what to do."""


def load(scale: str, folder: Path = Path()) -> dict:
    """Return verdicts.json of a scale."""
    path = folder / "results" / scale / "verdicts.json"
    try:
        return foreign.read_json(path)
    except FileNotFoundError:
        smoke = " SCALE=smoke" if scale == "smoke" else ""
        raise AskError(f"{path} is not there yet: make report{smoke}") from None


def find(verdicts: dict, name: str) -> tuple[dict, dict]:
    """Return (source, claim); the part after the dot is enough where it is unique."""
    claims = {c["id"]: (s, c) for s in verdicts["sources"] for c in s["claims"]}
    if name in claims:
        return claims[name]
    short = [key for key in claims if key.split(".", 1)[1] == name]
    if len(short) == 1:
        return claims[short[0]]
    near = short or difflib.get_close_matches(name, claims, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(near)}?" if near else "; `respike claims` lists them"
    raise AskError(f"no claim {name!r}{hint}")


def verdict(source: dict, claim: dict) -> Iterator[str]:
    """Yield what is claimed, published, measured and judged, a line each."""
    unit, measured = wording.unit_of(claim), claim["measured"]
    yield f"{claim['id']}: {claim['verdict']['status'].replace('_', ' ')}"
    yield f"  why        {claim['verdict']['reason']}"
    yield f"  claim      {claim['says']}"
    yield f"  where      {source['title']}: {claim['where']}"
    yield f"  published  {claim.get('published', {}).get('text', 'no number')}"
    if measured:
        text = wording.interval(measured["mean"], measured["half"], unit)
        yield f"  measured   {text} (n = {measured['n']}), protocol {claim['protocol']}"
        values = ", ".join(f"{s}: {wording.number(v, unit)}" for s, v in measured["values"].items())
        yield f"  by seed    {values}"
        accept = claim["accept"]
        yield f"  accepted   {measured['accepted']['text']} ({accept['kind']}: {accept['why']})"
        yield f"  data       {', '.join(claim['data'])}"
        yield from (f"  remark     {text}" for text in claim["remarks"])
        for key, theirs in claim.get("budget", {}).items():
            ours = measured["ours"].get(key)
            said = "no limit" if ours is None else wording.bare(ours, "1")
            yield f"  budget     {key}: source {wording.bare(theirs, '1')}, ours {said}"
    for row in claim.get("beside", []):
        text = wording.interval(row["mean"], row["half"], unit)
        where = f"{row['label']}, scale {row['scale']}"
        said = "".join(f"; {remark}" for remark in row["remarks"])
        yield f"  beside     {where}: {text} (n = {row['n']}), {row['status']}{said}"
    for kind in ("deviations", "unstated"):
        for item in source[kind]:
            if item["id"] in claim.get(kind, []):
                yield f"  {item['id']:9}  {item['what']}"


def why(source: dict, claim: dict, folder: Path = Path()) -> Iterator[str]:
    """Yield the chain from the verdict to runs, settings, code and command; checks each run."""
    yield from list(verdict(source, claim))[:2]
    rule = claim.get("accept", {}).get("kind", "verdict set by hand")
    yield f"  ledger     {source['ledger']}, {rule}"
    if not claim["files"]:
        return
    results = [_read(folder / path) for path in claim["files"]]
    modules: dict[str, list[dict]] = {}
    for path, result, wrong in zip(claim["files"], *zip(*results, strict=True), strict=True):
        yield f"  run        {path}: {'; '.join(wrong) if wrong else 'current'}"
        if result:
            dirty = ", tree not clean" if result.get("dirty") else ""
            commit = (result.get("commit") or "unknown")[:10]
            yield (
                f"             {result['started']}, {wording.duration(result['wall_s'])},"
                f" {result['machine']}, commit {commit}{dirty}"
            )
            yield from (f"             remark: {text}" for text in provenance.remarks(result))
            with contextlib.suppress(provenance.ProvenanceError, UnknownName):  # its line says it
                modules.setdefault(provenance.origin(result)[1], []).append(result)
    for module, runs in modules.items():
        digests = ", ".join(sorted({provenance.digests(run)[0] for run in runs}))
        yield f"  module     {module}, code {digests}"
        one = f"{runs[0]['source']} {runs[0]['experiment']} --scale {runs[0]['scale']}"
        yield f"             what it covers: respike digest {one}"
        settings = {json.dumps(run["settings"], sort_keys=True) for run in runs}
        for text in sorted(settings):
            names = sorted({r["experiment"] for r in runs
                            if json.dumps(r["settings"], sort_keys=True) == text})  # fmt: skip
            yield f"  settings   {', '.join(names)}: {text}"
    shas = {f"{n} {s[:12]}" for _, runs in modules.items() for r in runs
            for n, s in r["data_sha256"].items()}  # fmt: skip
    for text in sorted(shas):
        yield f"  data       {text}"
    for rule in claim["rules"]:
        yield f"  rule       {rule}"
    yield f"  remake     {claim['remake']}"


def _read(path: Path) -> tuple[dict | None, list[str]]:
    """Return a result, or the one in a record, and what is wrong with it now."""
    try:
        content = foreign.read_json(path)
        packed = path.with_name("arrays.npz").read_bytes()
        result = content["result"] if path.name == "record.json" else content
        wrong = provenance.problems(result)
        if hashlib.sha256(packed).hexdigest() != content["arrays_sha256"]:
            wrong.append("arrays.npz beside it was edited")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, [f"cannot be read: {error}"]
    return result, wrong
