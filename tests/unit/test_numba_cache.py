"""Machine code is always that of the code as it is, whatever the disk and the user's settings."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "respike"
PROGRAM = """
import numpy as np
from respike.sources.poisson_mlp.cpu import trace_sample
w = np.full((3, 2), 0.25, np.float32)
v1, *_ = trace_sample(np.ones((3, 1), np.uint64), w, w, 0.5, 9.0, 1)
print(v1[0, 0])
"""


class Package:
    """A copy of the package in a folder of its own, and a program that compiles."""

    def __init__(self, folder: Path):
        self.folder, self.src = folder, folder / "src"
        shutil.copytree(PACKAGE, self.src / "respike", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "home").mkdir()
        self.cache = folder / ".cache" / "numba"

    def run(self, program=PROGRAM, status=0, user=None, **variables) -> str:
        env = {name: v for name, v in os.environ.items() if not name.startswith("NUMBA_")}
        env |= {"PYTHONPATH": str(self.src), "HOME": str(self.folder / "home")} | variables
        env.pop("XDG_CACHE_HOME", None)
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, user=user,
            cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr if status else done.stdout

    def first_potential(self, **options) -> float:
        return float(self.run(**options))

    def edit(self):
        events = self.src / "respike" / "spiking" / "events.py"
        changed = events.read_text().replace("base[:] = bias", "base[:] = bias + np.float32(1.0)")
        assert changed != events.read_text()
        events.write_text(changed)

    def kept(self) -> list[Path]:
        return [*self.cache.rglob("*.nbc")]


@pytest.fixture
def package(tmp_path):
    return Package(tmp_path)


def test_an_edit_of_a_called_kernel_counts_at_once(package):
    assert package.first_potential() == 0.75
    kept = package.kept()
    assert kept and package.first_potential() == 0.75
    assert package.kept() == kept  # found again
    package.edit()
    assert package.first_potential() == 1.75


def unwritable(package, what):
    """Let neither the package's folders nor .cache be written; return the user who tries."""
    if what == "file in the way":
        for folder in (package.folder / ".cache", *(i.parent / "__pycache__" for i in
                       package.src.rglob("__init__.py"))):  # fmt: skip
            folder.write_text("")
        return None
    try:
        subprocess.run([sys.executable, "-c", ""], user=65534, check=True)
    except OSError:
        pytest.skip("no other user's process can run this Python here")
    for folder in [package.folder, *package.folder.parents][:4]:
        folder.chmod(folder.stat().st_mode | 0o055)
    (package.folder / "home").chmod(0o777)
    return 65534  # nobody


@pytest.mark.parametrize("what", ["file in the way", "another user"])
def test_where_our_cache_cannot_be_written_no_other_is_taken(package, what):
    """Case of the field: old machine code of the user-wide cache ran under the new digest."""
    user = unwritable(package, what)
    assert package.first_potential(user=user) == 0.75
    package.edit()
    assert package.first_potential(user=user) == 1.75
    assert not [p for p in (package.folder / "home").rglob("*") if p.suffix in (".nbi", ".nbc")]
    shutil.rmtree(package.folder / "home")
    (package.folder / "home").write_text("")  # nor can HOME be written
    assert package.first_potential(user=user) == 1.75


def test_a_damaged_cache_is_compiled_anew(package):
    package.run()
    for file in package.cache.rglob("*.nb?"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert package.first_potential() == 0.75


def test_a_full_disk_does_not_stop_a_function_that_could_not_be_kept(package):
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    full += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    assert package.first_potential(program=full + PROGRAM) == 0.75
    assert not package.kept()


def test_settings_of_the_users_shell_change_nothing(package):
    hostile = {
        "NUMBA_CACHE_DIR": str(package.folder / "elsewhere"),
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator",
        "NUMBA_DISABLE_JIT": "1",
        "NUMBA_OPT": "0",
        "NUMBA_DISABLE_INTEL_SVML": "1",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_DEBUGINFO": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    shown = PROGRAM + (
        "import numba\n"
        "names = 'DISABLE_JIT DISABLE_INTEL_SVML CPU_NAME BOUNDSCHECK DEBUGINFO_DEFAULT OPT'\n"
        "print([str(getattr(numba.config, n)) for n in names.split()], numba.config.USING_SVML)\n"
    )
    assert package.run(program=shown, **hostile) == package.run(program=shown)
    assert not (package.folder / "elsewhere").exists() and package.kept()
    threads = "import respike.spiking.numba_cache, numba; print(numba.config.NUMBA_NUM_THREADS)"
    assert package.run(program=threads, **hostile) == "1\n"
    early = "import numba\nimport respike.spiking.numba_cache"
    assert "unset NUMBA_OPT" in package.run(program=early, status=1, NUMBA_OPT="0")
    (package.folder / ".numba_config.yaml").write_text("opt: 0\n")
    assert "move it away" in package.run(status=1)


def test_code_that_is_edited_while_it_is_loaded_is_neither_kept_nor_taken_from_the_cache(package):
    """The edit falls between the digest that names the cache and the import of the function."""
    package.run()
    before = package.kept()
    events = package.src / "respike" / "spiking" / "events.py"
    program = (
        "import respike.spiking.numba_cache, pathlib\n"
        f"file = pathlib.Path({str(events)!r})\n"
        "old = file.read_text()\n"
        "file.write_text(old.replace('base[:] = bias', 'base[:] = bias + np.float32(1.0)'))\n"
        f"{PROGRAM}\n"
        "file.write_text(old)\n"
    )
    assert package.first_potential(program=program) == 1.75
    assert package.kept() == before
    assert package.first_potential() == 0.75


def test_one_module_imports_numba():
    found = set()
    for file in [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", ()) if hasattr(alias, "name")]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import | ast.ImportFrom) and any(
                name.split(".")[0] == "numba" for name in names
            ):
                found.add(file.relative_to(PACKAGE.parent).as_posix())
    assert found == {"respike/spiking/numba_cache.py"}
