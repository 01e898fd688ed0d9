"""How to cite the project, and what it cites."""

import re
import tomllib
from pathlib import Path

import yaml

from respike.report import render

ROOT = Path(__file__).parents[2]


def test_the_citation_file_names_the_version_of_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["version"] == package["version"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()


def test_every_entry_of_the_bibliography_is_shown_whole():
    text = (ROOT / "references.bib").read_text()
    keys = re.findall(r"^@\w+\{(\w+),$", text, re.M)
    shown = render.bibliography()
    assert len(keys) == len(set(keys)) == len(shown) > 10
    for line in shown:
        assert re.match(r"\S.* \((19|20)\d\d\)\. \S.*\.", line), line
        assert not re.search(r"[{}@]|, \.", line), line


def test_what_code_and_ledgers_name_by_author_and_year_is_in_the_bibliography():
    known = " ".join(render.bibliography())
    name = r"\b([A-Z][a-z]+)(?: et al\.,?)? \(?((?:19|20)\d\d)\b"
    named = set()
    for file in [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("claims.yaml")]:
        named |= set(re.findall(name, file.read_text()))
    assert ("Horowitz", "2014") in named
    # The part before the year in parentheses holds the authors.
    missing = {(a, y) for a, y in named if not re.search(rf"\b{a}\b[^()]*\({y}\)", known)}
    assert not missing, "add them to references.bib"
