"""One list of packages stands in three files, and none of them knows a machine or an index."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def pairs(lines):
    found = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;]+)", line)
        assert match, f"not an exact pin: {line}"
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        assert name not in found, f"{name} is listed twice"
        found[name] = match[2]
    return found


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked():
    text = (ROOT / "requirements.lock").read_text()
    return pairs(line.split(" ")[0] for line in text.splitlines() if re.match(r"[A-Za-z]", line))


def test_environment_yml_names_what_pyproject_names():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert pairs(pip["pip"]) == pairs(project()["dependencies"])
    assert re.fullmatch(r"python=3\.1[123]", conda[0]) and conda[1:] == ["pip"]


def test_the_lock_holds_what_pyproject_names():
    lock = locked()
    for name, version in pairs(project()["dependencies"]).items():
        assert lock.get(name) == version, f"{name}: run `make lock`"


def test_every_package_of_the_lock_has_its_hashes():
    blocks = re.split(r"\n(?=[A-Za-z])", (ROOT / "requirements.lock").read_text())
    assert len(blocks) == len(locked()) > 100
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]


def test_the_installed_packages_are_those_of_the_lock():
    from importlib import metadata

    for name, version in pairs(project()["dependencies"]).items():
        assert metadata.version(name) == version, f"{name}: run `make setup`"


# In pieces, so that this file does not find itself.
FORBIDDEN = {
    "an index option": "--(extra-)?" + "index-url|--find" + "-links|--trusted" + "-host",
    "a package host": r"https?://(files\.python" + r"hosted|pypi|download\.pytorch)",
    "a machine path": "/(ho" + "me|ro" + "ot|us" + "r/local|wo" + "rk|o" + r"pt)/[a-z.]",
    "a path of this checkout": re.escape(str(ROOT)) + r"\b",
    "a file address": "file:" + "///",
}  # fmt: skip


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names_an_index_or_a_machine(what):
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    found = []
    for name in filter(None, names):
        file = ROOT / name
        if not file.is_file() or b"\0" in (content := file.read_bytes())[:1000]:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if re.search(FORBIDDEN[what], line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)
