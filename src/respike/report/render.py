"""Write the report, as a page and as Markdown, and its tables, from verdicts and figures.

Every number of the report stands in verdicts.json; here it only gets its form.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup
from PIL import Image

from respike.report import cost, networks, wording
from respike.report.claim_plot import strip
from respike.runs import command, files, owned, sources
from respike.spiking.energy import ADD_PJ, MAC_PJ

TEMPLATES = Path(__file__).parent / "templates"
ROOT = Path(__file__).parents[3]
STATUSES = {  # mark and meaning; the mark and the name carry the status, the colour only helps
    "not_reproduced": ("\u2715", "measured, and the accepted region is missed"),
    "inconclusive": ("?", "measured, but the runs cannot decide"),
    "source_error": ("!", "the source contradicts itself"),
    "not_comparable": ("\u2260", "protocol, data or metric differ beyond any tolerance"),
    "reduced": ("\u2193", "measured below the source's budget: a number, no verdict"),
    "not_run": ("\u2013", "not measured"),
    "reproduced": ("\u2713", "the whole 95 % interval lies in the accepted region"),
}
COLUMNS = (
    "id source key says where nature protocol status reason unit published published_text "
    "mean half sd n gap data remarks deviations unstated files remake"
).split()
DATA = {  # what a number rests on, where that is not the official data set
    "local": "real recordings from a local archive",
    "emulated": "emulated recordings",
    "local and emulated": "emulated and real recordings",
    "official and emulated": "emulated and real recordings",
    "emulated, tested on local": "trained on emulated, tested on real recordings",
    "emulated, tested on official": "trained on emulated, tested on real recordings",
}


NETWORK_FIGURES = (
    {
        "id": "networks_operations",
        "title": "Accuracy against operations",
        "caption": "One point per network, mean over seeds; bars: 95 % interval (t over seeds, "
        "Wilson for one run). Dotted: networks that no other beats in accuracy with fewer "
        "operations; these carry their names.",
        "alt": "Scatter plot of test accuracy against synaptic operations per image, coloured by "
        "learning rule.",
    },
    {
        "id": "networks_time",
        "title": "Accuracy against training time",
        "caption": "The same networks against the CPU time of their training, on a logarithmic "
        "axis.",
        "alt": "Scatter plot of test accuracy against training time, coloured by learning rule.",
    },
)
NETWORK_COLUMNS = (
    "Network", "Learning rule", "Accuracy, 95 %", "Runs", "Neurons", "Parameters", "Memory",
    "Time steps", "Spikes per image", "Synaptic operations", "State updates", "ANN MACs", "Energy",
    "Energy of the ANN", "Images shown", "Training time", "Against the best",
)  # fmt: skip


def claim_view(claim: dict) -> dict:
    """Return a claim with its numbers as text."""
    unit, measured = wording.unit_of(claim), claim["measured"]
    optional = {"key": "", "accept": None, "figures": [], "deviations": [], "unstated": []}
    view = {
        **optional,
        **claim,
        "status": claim["verdict"]["status"],
        "reason": claim["verdict"]["reason"],
        "published_text": claim.get("published", {}).get("text", ""),
        "published_n": claim.get("published", {}).get("n"),
        "measured_text": "",
        "gap_text": "",
        "strip": strip(claim),
        "data_texts": [DATA.get(kind, kind) for kind in claim["data"] if kind != "official"],
        "budget_rows": [
            (key, wording.bare(value, "1"), _ours(measured, key))
            for key, value in claim.get("budget", {}).items()
        ],
        "rank": list(STATUSES).index(claim["verdict"]["status"]),
        "sort_published": _sort(claim.get("published", {}).get("value")),
        "sort_measured": _sort(measured and measured["mean"]),
        "sort_gap": _sort(
            abs(measured["gap"]) if measured and measured["gap"] is not None else None
        ),
        "beside_rows": [
            {
                **row,
                "text": wording.interval(row["mean"], row["half"], unit),
                "when": " to ".join(sorted({day[:10] for day in row["started"]})),
            }
            for row in claim.get("beside", [])
        ],
    }
    if measured:
        view["measured_text"] = wording.interval(measured["mean"], measured["half"], unit)
        view["sd_text"] = wording.number(measured["sd"], unit)
        view["seed_texts"] = [
            (seed, wording.number(value, unit)) for seed, value in measured["values"].items()
        ]
        view["rival_texts"] = [
            (name, wording.interval(gap["mean"], gap["half"], unit))
            for name, gap in measured["rivals"].items()
        ]
        if measured["gap"] is not None:
            apart = "points" if unit == "fraction" else unit
            view["gap_text"] = wording.number(measured["gap"], apart, sign=True)
    return view


def _sort(value: float | None) -> str:
    """Return what a table is sorted by; nothing where there is no number."""
    return "" if value is None else repr(value)


def source_view(source: dict, figures: Path, out: Path) -> dict:
    """Return a source with its claims in the order of the report, its answer and its figures."""
    claims = [{**claim_view(c), "place": k} for k, c in enumerate(source["claims"])]
    counts = Counter(claim["status"] for claim in claims)
    held, failed = counts["reproduced"], counts["not_reproduced"]
    unsure = counts["inconclusive"]
    rest = len(claims) - held - failed - unsure
    tally = (
        f"{held} of {held + failed + unsure} judged claims hold, {failed} "
        f"{'does' if failed == 1 else 'do'} not, {unsure} the runs cannot decide."
    )
    if not held + failed + unsure:
        tally = "None of its claims was judged."
    elif rest:
        tally += f" {rest} more {'carries' if rest == 1 else 'carry'} no verdict."
    by_id = {claim["id"]: claim for claim in claims}
    chosen = [by_id[name] for name in source.get("headline", [])]
    chosen = chosen or [c for c in claims if c["sort_published"]][:3]
    kinds = [kind for kind in source["data_kinds"] if kind != "official"]
    return {
        **source,
        "claims": claims,
        "ordered": sorted(claims, key=lambda claim: (claim["rank"], claim["place"])),
        **{
            key: source.get(key, "") if held + failed + unsure else "" for key in ("answer", "more")
        },
        "tally": tally,
        "headline_claims": [claim for claim in chosen if claim["measured"]],
        "variants": _variants(source["protocols"], claims),
        "figures": [_figure_view(figure, figures, out) for figure in source["figures"]],
        "wall": wording.duration(source["wall_s"]),
        "lacking": _lacking(**source["lacking"]) if "lacking" in source else None,
        "data_texts": sorted({DATA.get(kind, kind) for kind in kinds}),
    }


def _lacking(scale: str, rows: list[dict]) -> dict:
    """Return what records lack, with the costs as text."""
    costs = [wording.cost(row["seconds"], row["unknown"], row["parts"]) for row in rows]
    rows = [{**row, "cost": cost} for row, cost in zip(rows, costs, strict=True)]
    return {"scale": scale, "rows": rows}


def _variants(protocols: dict, claims: list[dict]) -> list[tuple[str, list[list[dict]]]]:
    """Return (place in the document, its claims by protocol) where more than one is run."""
    keys: dict[str, dict[str, list]] = {}
    for claim in claims:
        if claim["measured"]:
            key = f"{claim['key']}: {claim['where']}" if claim["key"] else claim["where"]
            keys.setdefault(key, {}).setdefault(claim["protocol"], []).append(claim)
    return [
        (key, [found.get(name, []) for name in protocols])
        for key, found in keys.items()
        if len(found) > 1
    ]


def group_view(group: dict) -> dict:
    """Return the networks of one data set with their numbers as text, and as sort keys."""
    best = {pair["b"]: pair for pair in group["pairs"] if pair["a"] == 0}
    rows = []
    for k, row in enumerate(group["networks"]):
        spread = max(row["high"] - row["accuracy"], row["accuracy"] - row["low"])
        pair = best.get(k)
        apart = pair and (pair["only_b"] - pair["only_a"]) / group["n_test"]
        rows.append(
            {
                **row,
                "cells": [
                    (row["rule"], row["rule"]),
                    (row["accuracy"], wording.interval(row["accuracy"], spread, "fraction")),
                    (len(row["seeds"]), str(len(row["seeds"]))),
                    *(
                        (_sort(row[key]), wording.large(row[key], unit))
                        for key, unit in (
                            ("n_neurons", ""),
                            ("n_parameters", ""),
                            ("memory_bytes", "B"),
                            ("num_steps", ""),
                            ("spikes", ""),
                            ("synaptic_operations", ""),
                            ("state_updates", ""),
                            ("macs", ""),
                        )
                    ),
                    (row["energy_nj"], wording.large(row["energy_nj"] * 1e-9, "J")),
                    (row["energy_ann_nj"], wording.large(row["energy_ann_nj"] * 1e-9, "J")),
                    (row["presentations"], wording.large(row["presentations"], "")),
                    (row["train_s"], wording.duration(row["train_s"])),
                ],
                "best_v": 0 if pair is None else apart,
                "best_sure": pair is not None and pair["p_holm"] < networks.LEVEL,
                "best_text": "best"
                if pair is None
                else f"{wording.number(apart, 'points', sign=True)}, "
                f"p = {wording.small(pair['p_holm'])}",
            }  # fmt: skip
        )
    return {**group, "rows": rows}


def pair_data(groups: list[dict]) -> dict:
    """Return what the page's script needs to compare any two networks; pairs in table order."""
    return {
        group["data_set"]: {
            "n": group["n_test"],
            "names": [row["id"] for row in group["networks"]],
            "pairs": [
                [
                    pair["only_a"], pair["only_b"], pair["seed"], wording.small(pair["p"]),
                    wording.small(pair["p_holm"]), pair["p_holm"] < networks.LEVEL,
                    None
                    if pair["seeds_half"] is None
                    else wording.interval(pair["seeds_difference"], pair["seeds_half"], "points"),
                ]
                for pair in group["pairs"]
            ],
        }
        for group in groups
    }  # fmt: skip


def bibliography(of: Iterable[str]) -> list[str]:
    """Return what is cited as one line of text each: in common, and by these sources."""
    own = [ROOT / sources.file_of(source, sources.BIBLIOGRAPHY) for source in of]
    places = [ROOT / sources.BIBLIOGRAPHY, *filter(Path.is_file, own)]
    text = "\n".join(place.read_text(encoding="utf-8") for place in places)
    entries = set()
    for entry in re.findall(r"@\w+\{.*?\n\}", text, re.S):
        found = dict(re.findall(r"^\s*(\w+) = \{(.*)\},?$", entry, re.M))
        where = [found.get(key) for key in ("journal", "booktitle", "howpublished", "pages")]
        parts = [
            found["author"].replace(" and ", ", "),
            f"({found['year']}).",
            f"{found['title']}.",
        ]
        parts.append(", ".join(text for text in where if text) + ".")
        parts += [f"doi:{found['doi']}"] if "doi" in found else []
        entries.add(" ".join(parts).replace("{", "").replace("}", ""))
    return sorted(entries)


def _ours(measured: dict | None, key: str) -> str:
    if not measured or key not in measured["ours"]:
        return wording.DASH
    ours = measured["ours"][key]
    return "no limit" if ours is None else wording.bare(ours, "1")


def context(
    verdicts: dict,
    figures: Path,
    out: Path,
    benchmarks: list[dict],
    groups: Sequence[dict] = (),
    scaling: Sequence[dict] = (),
) -> dict:
    """Return what both templates read; `groups` are the networks of `respike.report.networks`.

    `benchmarks` and `scaling` are the rows of the CSV files, empty where there is none.
    """
    sources = [source_view(source, figures, out) for source in verdicts["sources"]]
    claims = [claim for source in sources for claim in source["claims"]]
    provenance = verdicts["provenance"]
    return {
        **verdicts,
        "statuses": {name: {"mark": m, "means": text} for name, (m, text) in STATUSES.items()},
        "sources": sources,
        "claims": claims,
        "by_status": {
            name: [claim for claim in claims if claim["status"] == name] for name in STATUSES
        },
        "provenance": {**provenance, "wall": wording.duration(provenance["wall_s"])},
        "unknown_sources": [
            {**row, "when": " to ".join(sorted({day[:10] for day in row["started"]}))}
            for row in verdicts["unknown_sources"]
        ],
        "documents": sum(source["document"] != "none" for source in sources),
        "data_texts": [DATA.get(kind, f"{kind} data") for kind in provenance["data_kinds"]],
        "groups": [group_view(group) for group in groups],
        "pair_data": pair_data(list(groups)),
        "network_figures": [_figure_view(dict(f), figures, out) for f in NETWORK_FIGURES],
        "network_columns": NETWORK_COLUMNS,
        "energy": {"add": ADD_PJ, "mac": round(MAC_PJ, 3)},
        "bibliography": bibliography(source["id"] for source in sources),
        "benchmarks": cost.benchmarks(benchmarks),
        "scaling": cost.scaling(list(scaling)),
        "up": os.path.relpath(Path.cwd(), out),  # from the report to the checkout
    }


def _figure_view(figure: dict, figures: Path, out: Path) -> dict:
    """Return a figure with its image as a data URI, its size and its path from the report."""
    file = figures / f"{figure['id']}.png"
    kind, content, size = _smallest(file) if file.is_file() else ("", None, (0, 0))
    return {
        "drawn_from": None,  # of a report from records: runs drawn and runs of the scale, if fewer
        **figure,
        "image": f"data:{kind};base64,{base64.b64encode(content).decode()}" if content else None,
        "size": size,
        "link": Path(os.path.relpath(file, out)).as_posix() if content else None,
    }


def _smallest(file: Path) -> tuple[str, bytes, tuple[int, int]]:
    """Return type, content and size of a picture: lossless WebP where that is smaller."""
    content = file.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        size, packed = picture.size, io.BytesIO()
        picture.save(packed, "WEBP", lossless=True, method=4)
    if len(packed.getvalue()) < len(content):
        return "image/webp", packed.getvalue(), size
    return "image/png", content, size


def markdown_text(value: object) -> Markup:
    """Return text in which no character is Markdown or HTML markup."""
    text = re.sub(r"\s+", " ", str(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]#|~$]|^[-+])", r"\\\1", text)
    return Markup(text.replace("://", ":&#47;&#47;"))  # or a code host would make it a link


def markdown_code(value: object) -> Markup:
    """Return a code span that nothing in the text can end; a bar would end a table cell."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\u2502")
    return Markup(f"`{text}`")


def environment(markdown: bool) -> jinja2.Environment:
    """Return a Jinja environment that escapes every expression for its language."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    if markdown:
        env.finalize = lambda value: value if isinstance(value, Markup) else markdown_text(value)
    env.filters["code"] = markdown_code
    env.filters["anchor"] = lambda text: Markup(re.sub(r"[^\w./-]", "", str(text)))
    env.filters["tight"] = lambda text: re.sub(r"(?<=\d) (?=%)| (?=±)|(?<=±) ", "\u00a0", text)
    env.filters["words"] = lambda name: name.replace("_", " ")
    return env


def render_html(data: dict) -> str:
    """Return the page: one file, no request to any host."""
    script = (TEMPLATES / "comparison.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment(markdown=False)
        .get_template("comparison.html.j2")
        .render(
            data,
            style=Markup((TEMPLATES / "comparison.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_digest=digest,  # the page's policy runs this script and no other
        )
    )


def render_markdown(data: dict) -> str:
    """Return the same report for reading on a code host."""
    text = environment(markdown=True).get_template("comparison.md.j2").render(data)
    return re.sub(r"\n{3,}", "\n\n", text)


def render_csv(data: dict) -> str:
    """Return one line per claim, numbers as they stand in verdicts.json."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for claim in data["claims"]:
        row = {**claim, **(claim["measured"] or {})}
        row["published"] = claim.get("published", {}).get("value")
        for key in ("deviations", "unstated"):
            row[key] = " ".join(claim.get(key, []))
        row["data"] = "; ".join(claim["data"])
        row["remarks"] = "; ".join(claim["remarks"])
        row["files"] = " ".join(claim["files"])
        writer.writerow(row)
    return stream.getvalue()


@command.ends("report")
def main(argv: list[str] | None = None) -> int:
    """Write the report and its tables into one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verdicts", required=True, type=Path)
    parser.add_argument("--figures", required=True, type=Path, help="folder of <figure id>.png")
    parser.add_argument("--networks", required=True, type=Path, help="networks.json")
    parser.add_argument("--runs", required=True, type=Path, help="runs.csv: every run and metric")
    parser.add_argument("--benchmarks", type=Path, help="benchmarks.csv, shown if it exists")
    parser.add_argument("--scaling", type=Path, help="scaling.csv, shown if it exists")
    parser.add_argument("--out", required=True, type=Path, help="folder of the reports")
    args = parser.parse_args(argv)
    verdicts = json.loads(args.verdicts.read_text(encoding="utf-8"))
    groups = json.loads(args.networks.read_text(encoding="utf-8"))
    runs = args.runs.read_text(encoding="utf-8")
    tables = rows_of(args.benchmarks), rows_of(args.scaling)
    write(verdicts, groups, runs, args.figures, args.out, *tables)
    return 0


def rows_of(table: Path | None) -> list[dict]:
    """Return the rows of a CSV file; none where there is no such file."""
    if table is None or not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


FILES = (
    "comparison.html", "comparison.md", "verdicts.csv", "results.csv", "networks.csv", "pairs.csv",
)  # fmt: skip


def write(
    verdicts: dict,
    groups: list[dict],
    runs: str,
    figures: Path,
    out: Path,
    benchmarks: list[dict],
    scaling: Sequence[dict] = (),
) -> None:
    """Write every file of the report into the folder `out`."""
    data = context(verdicts, figures, out, benchmarks, groups, scaling)
    texts = (
        render_html(data), render_markdown(data), render_csv(data), runs,
        networks.table(groups), networks.pair_table(groups),
    )  # fmt: skip
    owned.check_new(*(out / name for name in FILES))
    for name, text in zip(FILES, texts, strict=True):
        files.write_text(out / name, text)


if __name__ == "__main__":
    raise SystemExit(main())
