"""What a result was made from: its code, the pinned packages, the state of the tree.

The code digest covers every definition that the experiment can reach (`respike.runs.closure`). Only
files are read; nothing is imported.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import json
import platform
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from respike.runs import closure, sources
from respike.runs.closure import PACKAGE, SRC, short
from respike.runs.scan import ProvenanceError
from respike.runs.surroundings import ROOT, GitError, git, recorded

__all__ = ["PACKAGE", "SRC", "ProvenanceError"]

BRIDGE = Path(__file__).with_name("digest_bridge.json")

# Distributions whose import name differs from their own.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "cv2": "opencv-python",
}


def experiment_roots(module: str, src: Path = SRC) -> list[str]:
    """Return the definitions that decide a result of an experiment: what runs, reads and is set.

    That are `run` and `Settings` of its module, and its `load`, or the reader of MNIST without one.
    """
    known = closure.bound_names(module, src)
    load = f"{module}.load" if "load" in known else f"{closure.PACKAGE}.data.mnist.load"
    return [f"{module}.run", f"{module}.Settings", load]


def roots_of(module: str, src: Path = SRC) -> list[str]:
    """Return the roots of a module: those of an experiment, or all that it defines."""
    if {"run", "Settings"} <= closure.bound_names(module, src):
        return experiment_roots(module, src)
    return [module]


def code_digest(module: str, src: Path = SRC, device: str = "cuda") -> str:
    """Return 16 hex digits over the logic of all definitions that `module` can reach on a device.

    Files that these read beside their module, as fitted parameters, count by content. What only a
    GPU needs is left out for the CPU.
    """
    return closure.closure(roots_of(module, src), src, device).digest


def compiled_digest(src: Path = SRC) -> str:
    """Return 16 hex digits over all modules that compile functions, with all that they reach."""
    compiled = f"{closure.PACKAGE}.spiking.numba_cache"
    using = [
        name
        for file in sorted(src.joinpath(closure.PACKAGE).rglob("*.py"))
        if not closure.is_plumbing(name := ".".join(file.relative_to(src).with_suffix("").parts))
        and closure.imports(name, compiled, src)
    ]
    return short("\n".join(f"{name} {closure.closure([name], src).digest}" for name in using))


def third_party(module: str, src: Path = SRC, device: str = "cuda") -> list[str]:
    """Return the distributions that `module` reaches on a device, sorted."""
    outside = closure.closure(roots_of(module, src), src, device).distributions
    tops = outside - set(sys.stdlib_module_names)
    return sorted(normal_name(DISTRIBUTIONS.get(top, top)) for top in tops)


def normal_name(distribution: str) -> str:
    """Return the name as package indexes compare it: lower case, runs of -_. as one hyphen."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def locked_versions(lock: Path = ROOT / "requirements.lock") -> dict[str, str]:
    """Return distribution -> version from the lock; hashes and markers do not count."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise ProvenanceError(f"cannot read the locked versions: {error}") from error
    return _locked(text)


@functools.cache
def _locked(text: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.M)
    return {normal_name(name): version for name, version in found}


def pins_digest(
    module: str,
    src: Path = SRC,
    lock: Path = ROOT / "requirements.lock",
    device: str = "cuda",
) -> str:
    """Return 16 hex digits over the locked versions of the packages that `module` uses.

    Reads the lock, not the installed packages: a dry run works where they are not installed.
    """
    locked = locked_versions(lock)
    needed = third_party(module, src, device)
    if missing := [name for name in needed if name not in locked]:
        raise ProvenanceError(
            f"{module} imports {', '.join(missing)}: not in {lock.name}. "
            "Add it to pyproject.toml and run `make lock`, or name its distribution in "
            f"{Path(__file__).name}, DISTRIBUTIONS"
        )
    return short("\n".join(f"{name}=={locked[name]}" for name in needed))


def commit_and_dirty(root: Path = ROOT) -> tuple[str | None, bool | None]:
    """Return the commit of the checkout and whether its files differ; (None, None) without git."""
    try:
        return checkout_state(root)
    except GitError:
        return None, None


def checkout_state(root: Path = ROOT) -> tuple[str, bool]:
    """Return the commit of the checkout and whether its files differ.

    Files under reports/ are outputs and do not count. Raises surroundings.GitError.
    """
    top = git(root, "rev-parse", "--show-toplevel").removesuffix("\n")
    # An archive unpacked inside another repository must not take that one's commit.
    if not Path(top).samefile(root):
        raise GitError(f"{root} is a copy inside the repository {top}: use a clone (`git clone`)")
    commit = git(root, "rev-parse", "--verify", "HEAD").strip()
    untracked = ("--untracked-files=normal", "--ignore-submodules=none")
    changed = git(root, "status", "--porcelain", *untracked, "--", ".", ":(exclude)reports")
    return commit, bool(changed)


def record(source: str, root: str, device: str) -> dict:
    """Return the fields of metrics.json that say how a result came about on cpu or cuda.

    It is named by the document and the root entry of its experiment, not by the place of its code.
    """
    module = sources.module_of(source, root)
    names = [*third_party(module, device=device), PACKAGE]
    return {
        "schema": 2,
        "source": source,
        "root": root,
        "code": code_digest(module, device=device),
        "pins": pins_digest(module, device=device),
        "versions": {"python": platform.python_version()} | {n: _installed(n) for n in names},
        **where_made(),
    }


def where_made() -> dict:
    """Return the fields `machine`, `surroundings`, `commit` and `dirty`."""
    commit, dirty = commit_and_dirty()
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "surroundings": recorded(),
        "commit": commit,
        "dirty": dirty,
    }


def version_remarks(result: dict, lock: Path = ROOT / "requirements.lock") -> list[str]:
    """Return in words which of a result's packages were installed in other versions than locked.

    The rule: such a result is kept, shown and judged, and this stands wherever it is shown.
    """
    locked = locked_versions(lock)
    return [
        f"made with {name} {found}, the lock says {locked[name]}"
        for name, found in sorted(result["versions"].items())
        if locked.get(name, found) != found
    ]


def remarks(result: dict, lock: Path = ROOT / "requirements.lock") -> list[str]:
    """Return what a reader should know of how a sound result was made; usually nothing."""
    variables = result.get("surroundings", {}).items()  # older results have none
    found = version_remarks(result, lock)
    found += [f"made with {name}={value}" for name, value in sorted(variables)]
    return found if result["commit"] else [*found, "made without git: its commit is not known"]


def remarks_of(results: Collection[dict], lock: Path = ROOT / "requirements.lock") -> list[str]:
    """Return the remarks of several results, each once, with how many it is about."""
    counts = Counter(remark for result in results for remark in remarks(result, lock))
    of = len(results)
    return [f"{text} ({n} of {of} runs)" if n < of else text for text, n in counts.items()]


def notes(root: Path = ROOT) -> list[str]:
    """Return what the user should know before a run: what remarks its results will carry, and why.

    Of packages those count that pyproject.toml names.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = (re.match(r"[\w.-]+", text)[0] for text in project["dependencies"])
    locked, differ = locked_versions(root / "requirements.lock"), []
    for name in map(normal_name, names):
        if (found := _installed(name)) != locked.get(name, found):
            differ.append(f"{name} {found} (the lock says {locked[name]})")
    said = (
        [f"installed are {', '.join(differ)}: `make setup` installs the lock's"] if differ else []
    )
    said += [f"{name}={value} may change last digits" for name, value in recorded().items()]
    try:
        checkout_state(root)
    except GitError as error:
        said.append(f"no commit will stand in the results: {error}")
    return [f"results will carry a remark: {text}" for text in said]


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or "unknown processor"


def problems(result: dict) -> list[str]:
    """Return why a result (the content of metrics.json) is not current; empty if it is.

    Compares shape, code and pins with what the tree gives now. Whether it is the result that was
    asked for (settings, seed) is a question to the configuration: `respike.workflow.dag.wanted`.
    """
    if found := misshapen(result):
        return found
    if result["seal"] != seal(result):
        found.append("the numbers were edited after the run: the seal does not fit them")
    try:
        name, module = origin(result)
        device = "cpu" if result["device"] == "cpu" else "cuda"
        code, pins = code_digest(module, device=device), pins_digest(module, device=device)
    except (ProvenanceError, sources.UnknownName) as error:
        return [*found, str(error)]
    had_code, had_pins = digests(result)
    if had_code != code:
        found.append(f"code of {name} was {had_code}, is now {code}")
    if had_pins != pins:
        found.append(f"pinned packages of {name} were {had_pins}, are now {pins}")
    return found


def origin(result: dict) -> tuple[str, str]:
    """Return the name of the experiment that made a result, and the module that runs it now.

    Raises
    ------
    ProvenanceError, sources.UnknownName
        There is no such experiment any more.
    """
    source = result["source"]
    root = result.get("root")
    if root is None:  # the form before named a module
        known = _bridge().get(result["module"], {"roots": {}})
        if (root := known["roots"].get(source)) is None:
            raise ProvenanceError(f"no experiment of {source} is known to be {result['module']}")
    return f"{source} {root}", sources.module_of(source, root)


def digests(result: dict) -> tuple[str, str]:
    """Return the code and pins digests of a result in the present form.

    Until a commit that the bridge names, digests covered whole modules. There the digests of both
    forms were taken from the same code; others are returned as they are.
    """
    code, pins = result["code"], result["pins"]
    found = _bridge().get(result.get("module"))
    if not found or found["old"]["code"] != code:
        return code, pins
    new = found["cpu" if result["device"] == "cpu" else "cuda"]
    return new["code"], new["pins"] if found["old"]["pins"] == pins else pins


@functools.cache
def _bridge() -> dict[str, dict]:
    return json.loads(BRIDGE.read_bytes())["modules"]


def misshapen(result: object) -> list[str]:
    """Return how the content of metrics.json departs from its schema, the first 20 problems."""
    found = [
        f"{'.'.join(map(str, error.absolute_path)) or 'content'}: {error.message[:200]}"
        for error in itertools.islice(_result_schema().iter_errors(result), 20)
    ]
    if not found:
        try:
            datetime.datetime.fromisoformat(result["started"])
        except ValueError as error:  # the schema knows digits, not months
            found = [f"started: {error}"]
    return found


def seal(result: dict) -> str:
    """Return 16 hex digits over everything in a result but the seal itself.

    It tells an accident or a careless edit from a run; it is no signature.
    """
    rest = {key: value for key, value in result.items() if key != "seal"}
    return short(json.dumps(rest, sort_keys=True, separators=(",", ":")))


@functools.cache
def _result_schema():
    import jsonschema
    import yaml

    file = ROOT / "workflow" / "schemas" / "metrics.schema.yaml"
    return jsonschema.Draft202012Validator(yaml.safe_load(file.read_text(encoding="utf-8")))
