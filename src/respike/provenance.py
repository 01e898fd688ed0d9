"""What a result was made from: its code, the pinned packages, the state of the tree.

The digest covers a module and every module of this package that it imports, directly or not. It
is taken from the syntax tree, so comments, docstrings and layout do not count, and it is the same
under Python 3.11 to 3.13. Only files are read; nothing is imported.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import hashlib
import json
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from respike import normal_form as normal_form_module
from respike.files import write_bytes
from respike.normal_form import normal_form

PACKAGE = "respike"
SRC = Path(__file__).resolve().parents[1]
ROOT = SRC.parent  # of the checkout

# These carry settings, files and messages around a calculation and cannot change a value in it.
# They stay out of every closure, so that an edit to them reruns no experiment.
PLUMBING = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "job",
        "kept",
        "run_lock",
        "provenance",
        "files",
        "config",
        "cli",
        "dag",
        "progress",
        "strict_yaml",
    )
)

# Distributions whose import name differs from their own.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "cv2": "opencv-python",
}

# With these a name is imported that only the running program knows.
HIDDEN_IMPORTS = frozenset({"__import__", "import_module"})


class ProvenanceError(Exception):
    """Code that cannot be traced; the message names the file, the line and what to do."""


def module_file(module: str, src: Path = SRC) -> Path | None:
    """Return the file of a module of ours, None if there is none."""
    base = src.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


class _Scan(NamedTuple):
    imports: frozenset[str]  # every dotted name that the file imports, wherever the import stands
    digest: str


def _scan(file: Path) -> _Scan:
    # Cached by content: a build asks for many modules that share most files, and an edit counts
    # at once.
    return _scan_source(file.read_bytes(), str(file))


@functools.cache
def _scan_source(source: bytes, file: str) -> _Scan:
    # Kept on disk too: every job asks again, and parsing the package takes most of a second.
    key = hashlib.sha256(source).hexdigest()
    known = _kept_scans()
    if key not in known:
        imports, digest = _parse(source, file)
        known[key] = [sorted(imports), digest]
    imports, digest = known[key]
    return _Scan(frozenset(imports), digest)


@functools.cache
def _kept_scans() -> dict[str, list]:
    """Return content of a file -> its scan, from earlier processes; what is added is kept at exit.

    The name of the file carries the content of the scanner: another one begins anew. What cannot be
    read or written is done without.
    """
    scanner = b"".join(Path(file).read_bytes() for file in (__file__, normal_form_module.__file__))
    file = ROOT / ".cache" / "scans" / f"{hashlib.sha256(scanner).hexdigest()[:16]}.json"
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError):
        known = {}
    if not isinstance(known, dict) or len(known) > 5000:  # versions of years: begin anew
        known = {}
    before = len(known)

    def keep() -> None:
        if len(known) > before:
            with contextlib.suppress(OSError):
                write_bytes(file, json.dumps(known).encode(), sync=False)

    atexit.register(keep)
    return known


def _parse(source: bytes, file: str) -> _Scan:
    try:
        tree = ast.parse(source, filename=file)
    except SyntaxError as error:
        raise ProvenanceError(f"{file}:{error.lineno}: not valid Python: {error.msg}") from error
    imports: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ProvenanceError(
                    f"{file}:{node.lineno}: relative import; write `from {PACKAGE}... import ...`"
                )
            imports.add(node.module)
            # `from a import b`: b is a module or a name in a; a file decides which.
            imports.update(f"{node.module}.{alias.name}" for alias in node.names)
        name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
        if name in HIDDEN_IMPORTS or not HIDDEN_IMPORTS.isdisjoint(
            alias.name for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)
        ):
            raise ProvenanceError(
                f"{file}:{node.lineno}: {' or '.join(sorted(HIDDEN_IMPORTS))} hides what is "
                "imported; write an import statement"
            )
    return _Scan(frozenset(imports), _short(json.dumps(normal_form(tree), separators=(",", ":"))))


def import_closure(module: str, src: Path = SRC) -> dict[str, Path]:
    """Return our own modules that `module` imports, directly or not, with their files, sorted.

    Includes the module itself and the packages around each module (their `__init__.py` runs too).
    PLUMBING is left out, and with it what only PLUMBING imports. Raises ProvenanceError where an
    import cannot be followed.
    """
    if module_file(module, src) is None:
        raise ProvenanceError(f"no module {module} under {src}")
    seen: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen or (name in PLUMBING and name != module):
            continue
        if name.split(".")[0] != PACKAGE or (file := module_file(name, src)) is None:
            continue
        seen[name] = file
        todo += _scan(file).imports
        if "." in name:
            todo.append(name.rpartition(".")[0])
    return dict(sorted(seen.items()))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def code_digest(module: str, src: Path = SRC) -> str:
    """Return 16 hex digits over the logic of `module` and of all it imports from this package.

    A JSON file beside a module, of the same name, holds its fitted parameters and counts too.
    """
    closure = import_closure(module, src)
    parameters = [file.with_suffix(".json") for file in closure.values()]
    texts = [json.loads(file.read_bytes()) for file in parameters if file.is_file()]
    return _short("\n".join([_logic(closure), *(json.dumps(t, sort_keys=True) for t in texts)]))


def logic_digest(module: str, src: Path = SRC) -> str:
    """Return 16 hex digits over the same logic, without the parameters beside it."""
    return _short(_logic(import_closure(module, src)))


def _logic(closure: dict[str, Path]) -> str:
    return "\n".join(f"{name} {_scan(file).digest}" for name, file in closure.items())


def compiled_digest(src: Path = SRC) -> str:
    """Return 16 hex digits over all modules that compile functions, with all that they import."""
    compiled = f"{PACKAGE}.compiled"
    using = [
        name
        for file in sorted(src.joinpath(PACKAGE).rglob("*.py"))
        if compiled in _scan(file).imports
        and (name := ".".join(file.relative_to(src).with_suffix("").parts)) != compiled
    ]
    return _short("\n".join(f"{name} {logic_digest(name, src)}" for name in using))


def third_party(module: str, src: Path = SRC) -> list[str]:
    """Return the distributions that the closure of `module` imports, sorted."""
    files = import_closure(module, src).values()
    tops = {name.split(".")[0] for file in files for name in _scan(file).imports}
    outside = tops - set(sys.stdlib_module_names) - {PACKAGE}
    return sorted(normal_name(DISTRIBUTIONS.get(top, top)) for top in outside)


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


def pins_digest(module: str, src: Path = SRC, lock: Path = ROOT / "requirements.lock") -> str:
    """Return 16 hex digits over the locked versions of the packages that `module` uses.

    Reads the lock, not the installed packages: a dry run works where they are not installed.
    """
    locked = locked_versions(lock)
    needed = third_party(module, src)
    if missing := [name for name in needed if name not in locked]:
        raise ProvenanceError(
            f"{module} imports {', '.join(missing)}: not in {lock.name}. "
            "Add it to pyproject.toml and run `make lock`, or name its distribution in "
            f"{Path(__file__).name}, DISTRIBUTIONS"
        )
    return _short("\n".join(f"{name}=={locked[name]}" for name in needed))


def commit_and_dirty(root: Path = ROOT) -> tuple[str | None, bool | None]:
    """Return the commit of the checkout and whether its files differ; (None, None) without git.

    Files under reports/ are outputs and do not count.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    try:
        # An archive unpacked inside another repository must not take that one's commit.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None, None
        commit = git("rev-parse", "--verify", "HEAD")
        changed = git("status", "--porcelain", "--", ".", ":(exclude)reports")
        return commit, bool(changed)
    except (OSError, subprocess.SubprocessError):
        return None, None


def record(module: str) -> dict:
    """Return the fields of metrics.json that say how a result of `module` came about."""
    names = [*third_party(module), "respike"]
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    commit, dirty = commit_and_dirty()
    return {
        "schema": 1,
        "module": module,
        "code": code_digest(module),
        "pins": pins_digest(module),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "commit": commit,
        "dirty": dirty,
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or "unknown processor"


def problems(result: dict) -> list[str]:
    """Return why a result (the content of metrics.json) is not current; empty if it is.

    Compares shape, code and pins with what the tree gives now. Whether it is the result that was
    asked for (settings, seed) is a question to the configuration: `respike.dag.wanted`.
    """
    if found := [
        f"{'.'.join(map(str, error.absolute_path)) or 'content'}: {error.message[:200]}"
        for error in _result_schema().iter_errors(result)
    ]:
        return found
    if result["seal"] != seal(result):
        found.append("the numbers were edited after the run: the seal does not fit them")
    module = result["module"]
    try:
        code, pins = code_digest(module), pins_digest(module)
    except ProvenanceError as error:
        return [str(error)]
    if result["code"] != code:
        found.append(f"code of {module} was {result['code']}, is now {code}")
    if result["pins"] != pins:
        found.append(f"pinned packages of {module} were {result['pins']}, are now {pins}")
    return found


def seal(result: dict) -> str:
    """Return 16 hex digits over everything in a result but the seal itself.

    It tells an accident or a careless edit from a run; it is no signature.
    """
    rest = {key: value for key, value in result.items() if key != "seal"}
    return _short(json.dumps(rest, sort_keys=True, separators=(",", ":")))


@functools.cache
def _result_schema():
    import jsonschema
    import yaml

    file = ROOT / "workflow" / "schemas" / "metrics.schema.yaml"
    return jsonschema.Draft202012Validator(yaml.safe_load(file.read_text(encoding="utf-8")))
