"""Style of rules and code, by the tools that `make lint` calls."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMANDS = [
    "ruff check .",
    "ruff format --check .",
    "snakefmt --check Snakefile workflow src/respike/sources",
    "snakemake --lint",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_clean(command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command.split(), cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_these_are_the_commands_of_make_lint():
    lines = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    called = [line.partition("$(RUN) ")[2] for line in lines.splitlines() if "$(RUN)" in line]
    assert called == COMMANDS
