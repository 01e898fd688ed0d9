"""What a user's shell and settings may bring into a run, and what not.

Every job and every command starts here: the Snakefile cleans the environment that its jobs inherit,
a module or command that is called by hand starts itself again without what was read too early.
The same checkout then gives the same bits. What only changes last digits and may be what a machine
needs stays and is recorded in the result. Variables of TLS and proxies, TZ, TMPDIR and the choice
of a GPU are the user's. Plumbing: nothing here changes a number.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import respike
from respike.runs import foreign

SRC = Path(respike.__file__).resolve().parents[1]
ROOT = SRC.parent  # of the checkout
PYTHONS = ((3, 11), (3, 13))  # as pyproject.toml says

# Read by Python or a library when it starts: they change what is imported or calculated.
AT_START = (
    "PYTHON*",  # other modules, asserts left out, warnings as errors, other encodings
    "NUMBA_*",  # no compilation, other arithmetic, threads
    "NPY_*",
    "SCIPY_*",
    "PANDAS_*",
    "PYTORCH_JIT*",
    "TRITON_INTERPRET",
    "TORCH_ALLOW_TF32*",  # fewer bits in products
    "NVIDIA_TF32_OVERRIDE",
    "*_DEFAULT_FPMATH_MODE",
)
# Read later, or by the programs that are called. Nothing may depend on the locale.
LATER = (
    "GIT_*",  # another repository, index or configuration
    "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "BASH_FUNC_*", "CDPATH", "POSIXLY_CORRECT",
    "LANG", "LANGUAGE", "LC_*",
    "*_NUM_THREADS", "*_MAX_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_THREAD_LIMIT",
    "OMP_DYNAMIC", "MKL_DYNAMIC", "OMP_SCHEDULE",  # each job declares its threads
)  # fmt: skip
# May be what a machine needs, and may change last digits: kept, and recorded in each result.
RECORDED = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES",
)  # fmt: skip
# The user's, and without effect on a number.
KEPT = (
    *RECORDED, "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED",
    "PYTHONFAULTHANDLER",
)  # fmt: skip
# Figures choose their backend, and read nobody's matplotlibrc.
MATPLOTLIB = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
_OURS = {
    "PYTHONPATH": str(SRC),  # jobs import the package that planned them
    "PYTHONNOUSERSITE": "1",
    "PYTHONSAFEPATH": "1",  # no module from the working directory
    "PYTHONUTF8": "1",
    **MATPLOTLIB,
}
_AGAIN = "RESPIKE_STARTED_AGAIN"  # so that a program starts itself again once, not for ever


class SurroundingsError(ValueError):
    """A run would not use what it says; the message names the cure."""


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which jobs run; the interpreter that runs now is `python` there."""
    kept = {
        name: value
        for name, value in env.items()
        if name in KEPT or not _matches(name, AT_START + LATER)
    }
    here, path = str(Path(sys.executable).parent), env.get("PATH", os.defpath)
    others = [folder for folder in path.split(os.pathsep) if folder != here]
    return kept | _OURS | {"PATH": os.pathsep.join([here, *others])}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def prepare() -> None:
    """Clean the environment of this process, if it runs one of our modules or commands.

    Where Python or a library has read it already, the program starts again in its place.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = spec.name if spec else Path(sys.argv[0]).stem
    if name.split(".")[0] != respike.__name__:
        return  # imported by somebody else's program
    env = clean(os.environ)
    env.pop(_AGAIN, None)
    if _read_too_early(os.environ) and os.environ.get(_AGAIN) is None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env | {_AGAIN: "1"})
    os.environ.pop(_AGAIN, None)
    _take(env)


def _take(env: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(env):
        del os.environ[name]
    os.environ.update(env)


def _read_too_early(env: Mapping[str, str]) -> bool:
    early = {n for n in env if n not in KEPT and _matches(n, AT_START) and env[n] != _OURS.get(n)}
    if env.get("PYTHONPATH", "").split(os.pathsep) in ([""], [str(SRC)]):
        early.discard("PYTHONPATH")
    latin = sys.getfilesystemencoding() != "utf-8"
    return bool(early) or latin or bool(site.ENABLE_USER_SITE)


def recorded(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that may change last digits, as a result keeps them."""
    found = {name: env[name] for name in RECORDED if name in env}
    if "glibc.cpu" in env.get("GLIBC_TUNABLES", ""):  # chooses among versions of exp, log, ...
        found["GLIBC_TUNABLES"] = env["GLIBC_TUNABLES"]
    return dict(sorted(found.items()))


# -------------------------------------------------------------------------- places and programs


def check(folder: Path | str = ".") -> None:
    """Raise SurroundingsError if `folder` lies in a checkout that is not this package's."""
    folder = Path(folder).resolve()
    for place in (folder, *folder.parents):
        if (place / "Snakefile").is_file() and (place / "src" / respike.__name__).is_dir():
            if not place.samefile(ROOT):
                raise SurroundingsError(_other_package(place))
            break
    # Numba reads it from the working directory, whatever the environment.
    if (ROOT / ".numba_config.yaml").exists():
        raise SurroundingsError(
            f"{ROOT / '.numba_config.yaml'} would change what Numba compiles: move it away"
        )


def _other_package(place: Path) -> str:
    return (
        f"Python finds the package respike of {ROOT}, but this is the checkout {place}: its edits "
        "would not count, and results would carry the other's commit. Cure: `make setup` here and "
        f"use {place / '.venv' / 'bin'}, or set PYTHONPATH={place / 'src'}"
    )


def given(text: str) -> Path:
    """Return a path of the command line: from where the user called, `~` expanded."""
    return foreign.path(text).absolute()


def enter() -> None:
    """Prepare a command, which may be called from any folder of the checkout.

    Raises SurroundingsError if the working directory lies in another checkout.
    """
    prepare()
    here = Path.cwd()
    check(here)
    if ROOT in here.resolve().parents:
        os.chdir(ROOT)


def enter_workflow(snakefile_folder: str) -> None:
    """Prepare a run of the workflow: its jobs inherit the environment.

    Raises a WorkflowError, which Snakemake shows as one message, where the run would use another
    checkout's package, another Python, or another folder's files.
    """
    from snakemake.exceptions import WorkflowError

    low, high = (".".join(map(str, version)) for version in PYTHONS)
    try:
        if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
            raise SurroundingsError(
                f"Python {sys.version.split()[0]} runs Snakemake, needed is {low} to {high}: "
                "`make setup` makes an environment in .venv"
            )
        folder = Path(snakefile_folder)
        if folder.is_dir():
            check(folder)
        if not (folder.is_dir() and folder.samefile(ROOT) and Path.cwd().samefile(ROOT)):
            raise SurroundingsError(
                f"Respike runs in its own folder, where its settings, data and results lie: cd "
                f"{ROOT}, and call Snakemake there. `--directory` with another folder and `module` "
                "in another Snakefile are not offered; `respike reproduce CLAIM --into FOLDER` "
                "runs a claim elsewhere"
            )
    except SurroundingsError as error:
        raise WorkflowError(str(error)) from None
    _take(clean(os.environ))


# ------------------------------------------------------------------------------------------ git


class GitError(RuntimeError):
    """Git does not answer; the message gives its reason and the cure."""


def git(root: Path, *arguments: str) -> str:
    """Return what git prints about the checkout `root`, whatever the user's settings of git.

    Neither variables nor configuration outside the checkout count, nor who owns it: that its code
    is trusted is said by running it. Raises GitError.
    """
    env = {name: v for name, v in os.environ.items() if not _matches(name, ("GIT_*", "LC_*"))}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    env |= {"GIT_OPTIONAL_LOCKS": "0"}  # status would write the index of a live commit
    settings = ["safe.directory=*", "core.fsmonitor=false"]
    settings += [f"core.excludesFile={os.devnull}", f"core.hooksPath={os.devnull}"]
    call = ["git", *(word for one in settings for word in ("-c", one)), *arguments]
    try:
        done = subprocess.run(
            call, cwd=root, env=env, capture_output=True, timeout=60, encoding="utf-8",
            errors="surrogateescape",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git cannot be run ({error}): install git") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[0].removeprefix("fatal: ")
        raise GitError(f"git says of {root}: {said}. Use a clone (`git clone`), not a copy")
    return done.stdout
