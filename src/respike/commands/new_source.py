"""`respike new-source NAME`: a new folder in src/respike/sources that works at once.

It is made of the files of source_template, in which NEW_SOURCE stands for the name.
"""

from __future__ import annotations

import keyword
import os
import re
import tempfile
from pathlib import Path

from respike.runs import files, sources, strict_yaml

TEMPLATE = Path(__file__).with_name("source_template")
PLACEHOLDER = "NEW_SOURCE"
LONGEST = 40  # letters; the name is part of file names, rules and lines of code
# The rules of experiments are named <source>_<entry>; other rules begin so. `figures` lies beside
# the folders of the sources in results/.
RESERVED = frozenset({"figures", "mnist", "networks", "nmnist", "report", "report_from"})


class BadName(ValueError):
    """A name that no source can have; the message says why."""


def check(name: str, folder: Path = sources.FOLDER) -> None:
    """Raise BadName if there can be no new source of this name in `folder`."""
    if why := _why_not(name, folder):
        raise BadName(f"no source can be named {name!r}: {why}")


def _why_not(name: str, folder: Path) -> str:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        return "use lower-case letters, digits and _, a letter first"
    if len(name) > LONGEST:
        return f"it has {len(name)} letters, at most {LONGEST} are allowed"
    if keyword.iskeyword(name):
        return "it is a word of Python"
    if not isinstance(value := strict_yaml.scalar(name), str):
        return f"YAML reads it as {value}"
    if name in RESERVED:
        return "the workflow uses it"
    if os.path.lexists(folder / name):
        return f"{folder / name} exists"
    for other in sources.found():
        # Rules and figures begin with the name of their source: they must tell the two apart.
        if name.startswith(f"{other}_") or other.startswith(f"{name}_"):
            return f"its rules and figures could not be told from those of {other}"
    return ""


def write(name: str, folder: Path = sources.FOLDER) -> Path:
    """Write the folder of a new source, whole or not at all; return it.

    Raises
    ------
    BadName
        There can be no new source of this name.
    files.WriteError
        The folder cannot be written.
    """
    check(name, folder)
    target = folder / name
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-source-") as scratch:
            made = Path(scratch, name)
            made.mkdir()
            for file in sorted(TEMPLATE.iterdir()):
                if file.is_file():
                    text = file.read_text(encoding="utf-8").replace(PLACEHOLDER, name)
                    (made / file.name).write_text(text, encoding="utf-8")
            made.rename(target)
    except OSError as error:
        raise files.write_error(target, error) from error
    return target


def next_steps(name: str) -> str:
    """Return what to do with a new source, with the commands."""
    off = ", ".join(f"{other}: false" for other in sources.found() if other != name)
    only = f" 'sources={{{off}}}'" if off else ""
    return f"""\
{sources.file_of(name, "")} holds an example that runs. See it in the report, without the others:
  snakemake --cores 2 --config scale=smoke{only}
Then put the document in its place; CONTRIBUTING.md leads through it:
  claims.yaml    what it claims, where, and the rule for each claim, before anything is run
  config.yaml    the experiments that measure it; settings.py says what they can be set to
  train.py       an experiment; figures.py draws what claims.yaml lists
  benchmarks.py, scaling.yaml, references.bib, contract.yaml   as the document needs them
`respike check` says what is wrong, with file and line."""


def main(name: str) -> None:
    """Write the folder and say what comes next; raise as `write` does."""
    write(name)
    print(next_steps(name))
