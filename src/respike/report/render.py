"""Write comparison.html, comparison.md and verdicts.csv from verdicts.json and the figures.

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
from pathlib import Path

import jinja2
from markupsafe import Markup

from respike import files
from respike.report import show
from respike.report.strip import strip

TEMPLATES = Path(__file__).parent / "templates"
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
    "mean half sd n gap data deviations unstated files remake"
).split()
DATA = {  # what a number rests on, where that is not the official data set
    "local": "real recordings from a local archive",
    "emulated": "emulated recordings",
    "local and emulated": "emulated and real recordings",
    "official and emulated": "emulated and real recordings",
    "emulated, tested on local": "trained on emulated, tested on real recordings",
    "emulated, tested on official": "trained on emulated, tested on real recordings",
}


def claim_view(claim: dict) -> dict:
    """Return a claim with its numbers as text."""
    unit, measured = show.unit_of(claim), claim["measured"]
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
            (key, show.bare(value, "1"), _ours(measured, key))
            for key, value in claim.get("budget", {}).items()
        ],
    }
    if measured:
        view["measured_text"] = show.interval(measured["mean"], measured["half"], unit)
        view["sd_text"] = show.number(measured["sd"], unit)
        view["seed_texts"] = [
            (seed, show.number(value, unit)) for seed, value in measured["values"].items()
        ]
        view["rival_texts"] = [
            (name, show.interval(gap["mean"], gap["half"], unit))
            for name, gap in measured["rivals"].items()
        ]
        if measured["gap"] is not None:
            apart = "points" if unit == "fraction" else unit
            view["gap_text"] = show.number(measured["gap"], apart, sign=True)
    return view


def _ours(measured: dict | None, key: str) -> str:
    if not measured or key not in measured["ours"]:
        return show.DASH
    ours = measured["ours"][key]
    return "no limit" if ours is None else show.bare(ours, "1")


def context(verdicts: dict, figures: Path, out: Path, benchmarks: list[dict]) -> dict:
    """Return what both templates read."""
    sources = []
    for source in verdicts["sources"]:
        claims = [claim_view(claim) for claim in source["claims"]]
        shown = [_figure_view(figure, figures, out) for figure in source["figures"]]
        wall = show.duration(source["wall_s"])
        sources.append({**source, "claims": claims, "figures": shown, "wall": wall})
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
        "provenance": {**provenance, "wall": show.duration(provenance["wall_s"])},
        "documents": sum(source["document"] != "none" for source in sources),
        "data_texts": [DATA.get(kind, f"{kind} data") for kind in provenance["data_kinds"]],
        "benchmarks": benchmarks,
        "up": os.path.relpath(Path.cwd(), out),  # from the report to the checkout
    }


def _figure_view(figure: dict, figures: Path, out: Path) -> dict:
    """Return a figure with its image as a data URI and its path relative to the report."""
    file = figures / f"{figure['id']}.png"
    made = file.is_file()
    image = base64.b64encode(file.read_bytes()).decode() if made else None
    return {
        **figure,
        "image": f"data:image/png;base64,{image}" if made else None,
        "link": Path(os.path.relpath(file, out)).as_posix() if made else None,
    }


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
        row["files"] = " ".join(claim["files"])
        writer.writerow(row)
    return stream.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Write the three reports into one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verdicts", required=True, type=Path)
    parser.add_argument("--figures", required=True, type=Path, help="folder of <figure id>.png")
    parser.add_argument("--benchmarks", type=Path, help="benchmarks.csv, shown if it exists")
    parser.add_argument("--out", required=True, type=Path, help="folder of the reports")
    args = parser.parse_args(argv)
    benchmarks = []
    if args.benchmarks and args.benchmarks.is_file():
        with args.benchmarks.open(newline="", encoding="utf-8") as stream:
            benchmarks = list(csv.DictReader(stream))
    verdicts = json.loads(args.verdicts.read_text(encoding="utf-8"))
    data = context(verdicts, args.figures, args.out, benchmarks)
    files.write_text(args.out / "comparison.html", render_html(data))
    files.write_text(args.out / "comparison.md", render_markdown(data))
    files.write_text(args.out / "verdicts.csv", render_csv(data))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
