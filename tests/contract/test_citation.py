"""How to cite the project, and what it cites."""

import re
import tomllib
from pathlib import Path

import yaml

from respike.commands import new_source
from respike.report import render
from respike.runs import sources
from respike.workflow import jobs

ROOT = Path(__file__).parents[2]


def test_the_citation_file_names_the_version_of_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["version"] == package["version"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()


def entries():
    """Return file -> keys of its entries, for the common bibliography and those of the sources."""
    found = {}
    for file in [ROOT / "references.bib", *sources.FOLDER.glob("*/references.bib")]:
        found[file] = re.findall(r"^@\w+\{(\w+),$", file.read_text(), re.M)
    return found


def test_every_entry_of_the_bibliographies_is_shown_whole_and_once():
    keys = [key for own in entries().values() for key in own]
    shown = render.bibliography(sources.found())
    assert len(keys) == len(set(keys)) == len(shown) > 10
    for line in shown:
        assert re.match(r"\S.* \((19|20)\d\d\)\. \S.*\.", line), line
        assert not re.search(r"[{}@]|, \.", line), line


def test_a_report_cites_what_its_sources_cite():
    common, *own = entries().items()
    assert own and all(file.parent.name in sources.found() for file, _ in own)
    assert len(render.bibliography([])) == len(common[1])
    for file, keys in own:
        added = set(render.bibliography([file.parent.name])) - set(render.bibliography([]))
        assert len(added) == len(keys) > 0
        config = {"sources": {file.parent.name: {}}}
        inputs = jobs.bibliographies(config)
        assert [ROOT / name for name in inputs] == [common[0], file]
    assert jobs.bibliographies({"sources": {}}) == ["references.bib"]


NAMED = r"\b([A-Z][a-z]+)(?: et al\.,?)? \(?((?:19|20)\d\d)\b"


def named_in(*files):
    """Return (author, year) of what code or ledgers name."""
    return {found for file in files for found in re.findall(NAMED, file.read_text())}


def shown(author, year, lines):
    # The part before the year in parentheses holds the authors.
    return any(re.search(rf"\b{author}\b[^()]*\({year}\)", line) for line in lines)


def test_what_code_and_ledgers_name_by_author_and_year_is_in_the_bibliography():
    own = {sources.FOLDER, new_source.TEMPLATE}
    common = [f for f in (ROOT / "src").rglob("*.py") if own.isdisjoint(f.parents)]
    assert ("Steele", "2014") in named_in(*common)
    missing = {one for one in named_in(*common) if not shown(*one, render.bibliography([]))}
    assert not missing, "add them to references.bib"
    every = set()
    for source in sources.found():
        folder = sources.FOLDER / source
        cited = named_in(*folder.rglob("*.py"), folder / sources.LEDGER)
        missing = {one for one in cited if not shown(*one, render.bibliography([source]))}
        assert not missing, f"add them to references.bib of {source}"
        every |= cited
    assert {("Horowitz", "2014"), ("Delbruck", "2021")} <= every
