"""All definitions below a folder, and what each of them refers to. Files are only read."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from respike.runs.scan import ProvenanceError, kept_scan

PACKAGE = "respike"
SRC = Path(__file__).resolve().parents[2]

# These carry settings, files and messages around a calculation and cannot change a value in it.
# A reference to them counts by name, so that an edit to them reruns no experiment. Modules, or
# packages with all that they hold; what stands in COUNTED counts all the same.
PLUMBING = frozenset(
    f"{PACKAGE}.{name}" for name in ("commands", "runs", "workflow", "spiking.numba_cache")
)
COUNTED = frozenset({f"{PACKAGE}.runs.records"})  # decides which runs are judged

# What stands behind a module of plumbing and does decide numbers: its version counts.
BEHIND = {f"{PACKAGE}.spiking.numba_cache": "numba"}

WHOLE = "*"  # stands for all definitions of a module
Node = tuple[str, int | str]  # module, and the number of a definition in it or WHOLE


class Reference(NamedTuple):
    """What a name stands for: a definition of ours, another package, or plumbing."""

    node: Node | None = None  # a definition of ours
    outside: str | None = None  # dotted name of another package, or that behind the plumbing
    plumbing: str | None = None  # name in one of our modules that no number depends on
    position: int = 0  # among the names that the definition binds
    rest: tuple[str, ...] = ()  # attributes behind it


@functools.cache
def is_plumbing(module: str) -> bool:
    """Return whether a module of ours changes no number."""
    parts = module.split(".")
    around = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return module not in COUNTED and not PLUMBING.isdisjoint(around)


def is_for_gpu(module: str) -> bool:
    """Return whether a module of ours runs on a GPU alone."""
    return module.rpartition(".")[2].split("_")[-1] == "gpu"


class Definitions:
    """The definitions below one folder; files are read as they are asked for, and watched.

    With `device` cpu what only a GPU needs counts by name. With `annotations` all of them count,
    also those that nothing is known to read.
    """

    def __init__(self, src: Path, device: str, annotations: bool = False):
        self.src, self.device, self.annotations = src, device, annotations
        self._stats: dict[Path, tuple | None] = {}
        for name in ("file", "scan", "references", "files_of", "imported"):  # of this object alone
            setattr(self, name, functools.cache(getattr(self, name)))

    def is_current(self) -> bool:
        """Return whether no file that was read has changed, come or gone."""
        return all(_stat(file) == found for file, found in self._stats.items())

    def _watched(self, file: Path) -> bool:
        """Return whether a file or folder is there; from now on it is watched."""
        self._stats[file] = found = _stat(file)
        return found is not None

    def is_left_out(self, module: str) -> bool:
        """Return whether a module counts by the names that are taken from it alone."""
        return is_plumbing(module) or (self.device == "cpu" and is_for_gpu(module))

    # ------------------------------------------------------------------------- single modules

    def file(self, module: str) -> Path | None:
        """Return the file of a module, None if there is none."""
        outer, _, name = module.rpartition(".")
        if not (name.isidentifier() and len(name) < 100):
            return None  # a result of unknown origin may name anything, also a path
        if outer and (around := self.file(outer)) and around.name != "__init__.py":
            return None
        base = self.src.joinpath(*module.split("."))
        files = (base / "__init__.py", base.with_suffix(".py"))  # Python looks in this order
        return next(filter(self._watched, files), None)

    def scan(self, module: str) -> dict:
        """Return what `respike.runs.scan` finds in the file of a module."""
        file = self.file(module)
        if file is None:
            raise ProvenanceError(f"no module {module} under {self.src}")
        return kept_scan(file.read_bytes(), str(file), self.annotations)

    def definition(self, node: Node) -> dict:
        """Return the scan of one definition."""
        return self.scan(node[0])["definitions"][node[1]]

    def name(self, node: Node) -> str:
        """Return a definition as a reader writes it: module and first name, or line."""
        if node[1] == WHOLE:
            return node[0]
        found = self.definition(node)
        return f"{node[0]}.{found['names'][0]}" if found["names"] else f"{node[0]}:{found['line']}"

    def imported(self, module: str) -> frozenset[str]:
        """Return the modules of ours that run when a module is imported, itself included."""
        seen: set[str] = set()
        todo = [module]
        while todo:
            module = todo.pop()
            if module in seen or self.is_left_out(module):
                continue
            if "." in module:
                todo.append(module.rpartition(".")[0])
            if self.file(module):
                seen.add(module)
                todo += self.own_modules(self.scan(module)["imports"], module)
        return frozenset(seen)

    def own_modules(self, imports: Iterable[str], module: str) -> Iterator[str]:
        """Yield the dotted names of ours among imports, and what each stands in."""
        for dotted in imports:
            name = self._absolute(dotted, module)
            if name.split(".")[0] == PACKAGE:
                yield name  # a name in a module, where there is no such file: passed over
                yield name.rpartition(".")[0] or name

    def _absolute(self, dotted: str, module: str) -> str:
        """Return a dotted name without the dots that lead a relative import."""
        level = len(dotted) - len(dotted.lstrip("."))
        if not level:
            return dotted
        parts = module.split(".")
        is_package = self.file(module).name == "__init__.py"
        base = parts[: len(parts) - level + is_package]
        return ".".join([*base, dotted[level:]]).rstrip(".")

    # --------------------------------------------------------------------------- references

    def resolve(
        self, dotted: str, module: str, line: int, seen: frozenset = frozenset()
    ) -> list[Reference]:
        """Return what a dotted name stands for; several where it is bound more than once.

        `seen` are the names (module, name) that are being followed: there may be circles.
        """
        parts = self._absolute(dotted, module).split(".")
        if parts[0] != PACKAGE:
            return [Reference(outside=".".join(parts))]
        cut = next((n for n in range(len(parts), 0, -1) if self.file(".".join(parts[:n]))), 0)
        target, rest = ".".join(parts[:cut]), parts[cut:]
        if self.is_left_out(target):
            return [Reference(plumbing=".".join(rest), outside=BEHIND.get(target))]
        found = []
        for n in range(1, cut):  # a name of a package hides the module of that name in it
            found += self.bound(".".join(parts[:n]), parts[n], tuple(parts[n + 1 :]), seen)
        own = rest and self.bound(target, rest[0], tuple(rest[1:]), seen)
        if not rest or (rest[0].startswith("__") and not own):
            own = [Reference(node=(target, WHOLE))]
        found = list(dict.fromkeys([*found, *own]))
        if not found and (target, rest[0]) not in seen:
            file = self.file(module)
            raise ProvenanceError(
                f"{file}{f':{line}' if line else ''}: {target or PACKAGE} has no {rest[0]}"
            )
        return found

    def bound(
        self, module: str, name: str, rest: tuple[str, ...], seen: frozenset = frozenset()
    ) -> list[Reference]:
        """Return what a name of a module stands for, nothing if it is not bound."""
        if (module, name) in seen or self.file(module) is None:
            return []
        seen |= {(module, name)}
        scan = self.scan(module)
        found = []
        for kind, what in scan["bindings"].get(name, ()):
            if kind == "definition":
                place = scan["definitions"][what]["names"].index(name)
                found.append(Reference(node=(module, what), position=place, rest=rest))
            else:
                found += self.resolve(".".join([what, *rest]), module, 0, seen)
        for star in scan["stars"]:
            origin = self._absolute(star, module)
            if origin.split(".")[0] != PACKAGE:
                found.append(Reference(outside=".".join([origin, name, *rest])))
            elif self.is_left_out(origin):
                found.append(Reference(plumbing=".".join([name, *rest])))
            else:
                found += self.bound(origin, name, rest, seen)
        return found

    def references(self, node: Node) -> list[list[Reference]]:
        """Return what each reference of a definition stands for, in its order."""
        module, number = node
        if number == WHOLE:
            return [found for _, found in self.whole(module)]
        found = []
        for name, chain, line in self.definition(node)["references"]:
            if name == "":
                found.append(self.resolve(".".join(chain), module, line))
            elif name == "'":
                try:
                    found.append(self.resolve(chain[0], module, line))
                except ProvenanceError:
                    found.append([])  # the text names no module
            elif name == WHOLE:
                found.append([Reference(node=(module, WHOLE))])
            else:
                bound = self.bound(module, name, tuple(chain))
                found.append(bound or [Reference(outside=f"builtins.{name}")])
        return found

    def whole(self, module: str) -> list[tuple[str, list[Reference]]]:
        """Return (name, what it stands for) of all that a module holds, as an object."""
        scan, file = self.scan(module), self.file(module)
        found = [(name, self.bound(module, name, ())) for name in sorted(scan["bindings"])]
        found += [("", [Reference(node=(module, i))]) for i in range(len(scan["definitions"]))]
        modules = [("", self._absolute(star, module)) for star in scan["stars"]]
        if file.name == "__init__.py":
            self._watched(file.parent)
            names = sorted({inner.stem for inner in file.parent.iterdir()})
            modules += [(name, f"{module}.{name}") for name in names if name.isidentifier()]
        for name, other in modules:
            if other.split(".")[0] == PACKAGE and self.file(other) and not self.is_left_out(other):
                found.append((name, [Reference(node=(other, WHOLE))]))
        return found

    # -------------------------------------------------------------------------------- files

    def files_of(self, node: Node) -> list[Path]:
        """Return the files that a definition with `__file__` names: beside it or further out.

        A folder beside it counts with all that it holds.
        """
        if node[1] == WHOLE or not self.definition(node)["uses_file"]:
            return []
        return self.named_files(node, self.file(node[0]), folders=True)

    def named_files(self, node: Node, place: Path, folders: bool = False) -> list[Path]:
        """Return the files that strings of a definition name, seen from a module's file."""
        files: dict[Path, None] = {}
        for text in self.definition(node)["texts"]:
            name = f"{place.stem}{text}" if text.startswith(".") else text
            if not name.strip("./") or name.startswith("/") or "\0" in name or len(name) > 200:
                continue
            inner = sorted((place.parent / name).rglob("*")) if folders else []
            outer = place.parents[: len(place.relative_to(self.src.parent).parts)]
            for file in [*(folder / name for folder in outer), *inner]:
                if file.is_file() and "__pycache__" not in file.parts and self._watched(file):
                    files[file] = None
        return list(files)


def _stat(file: Path) -> tuple | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
