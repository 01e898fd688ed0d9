"""What all sources share names none of them: a folder put there or taken away changes no other."""

import re
import subprocess
from pathlib import Path

import pytest

from respike.runs import sources

ROOT = Path(__file__).parents[2]
# Digests of records from before the folders: what it holds is of then.
HISTORY = "src/respike/runs/digest_bridge.json"


def core():
    """Return the tracked files of the package, the workflow and the tests' helpers."""
    patterns = ("src/respike", "workflow", "Snakefile", ":(glob)tests/*.py")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    own = tuple(f"src/respike/sources/{source}/" for source in sources.found())
    return [
        name
        for name in filter(None, names)
        if not name.startswith(own) and name != HISTORY and (ROOT / name).is_file()
    ]


@pytest.mark.parametrize("source", sources.found())
def test_no_file_of_the_core_names_a_source(source):
    files = core()
    assert len(files) > 80
    name = re.compile(rf"(?<![a-z0-9]){source}(?![a-z0-9])")
    found = [
        f"{file}:{number}: {line.strip()[:100]}"
        for file in files
        for number, line in enumerate((ROOT / file).read_text("utf-8").splitlines(), 1)
        if name.search(line)
    ]
    assert not found, "\n".join(found)


def test_sources_take_from_one_another_only_what_is_shared():
    for source in sources.found():
        others = [other for other in sources.found() if other != source]
        for file in sorted((sources.FOLDER / source).rglob("*")):
            if file.suffix in (".py", ".smk"):
                imports = rf"respike[./]sources[./]({'|'.join(others)})\b"
                assert not re.search(imports, file.read_text("utf-8")), file
