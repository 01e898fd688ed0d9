"""Which definitions a result can reach, and one digest over the logic of all of them.

A definition is a function, a class or a module constant, or a statement that acts when its module
is imported. Each is hashed by its own logic and by the digests of what it refers to, a Merkle tree
over definitions; those that refer to one another in a circle are hashed as one unit. Names and
places of modules do not enter, nor do names of definitions, comments, docstrings, annotations and
layout: code can be moved, renamed and split, and only what an experiment can reach counts for it.

Code for a GPU stands in modules named `gpu` or `*_gpu`, which are imported where it runs. For a
result that is made on the CPU it counts by name, as plumbing does: work on it makes no such result
stale. A job on the CPU asserts that none of it was loaded (`respike.runs.loaded`).

Where a reference cannot be followed (a module used as an object), the whole module counts. Calls
that are evaluated on import and that are not known to be free of effects count for everything that
imports their module. Files are only read, nothing is imported; the digest is the same under Python
3.11 to 3.13.
"""

from __future__ import annotations

import functools
import hashlib
import json
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


class Closure(NamedTuple):
    """What roots can reach."""

    digest: str  # 16 hex digits
    definitions: dict[Node, str]  # module and name of each, by node, sorted by text
    distributions: frozenset[str]  # top-level names of the other packages that they refer to
    modules: dict[str, Path]  # whose import runs, with their files
    data: frozenset[Path]  # files beside them that definitions name


def is_plumbing(module: str) -> bool:
    """Return whether a module of ours changes no number."""
    parts = module.split(".")
    around = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return module not in COUNTED and not PLUMBING.isdisjoint(around)


def is_for_gpu(module: str) -> bool:
    """Return whether a module of ours runs on a GPU alone."""
    return module.rpartition(".")[2].split("_")[-1] == "gpu"


def closure(roots: Iterable[str], src: Path = SRC, device: str = "cuda") -> Closure:
    """Return what `roots` reach, each a dotted name as respike.spiking.lif.step or a whole module.

    With `device` cpu what only a GPU needs counts by name.

    Raises
    ------
    ProvenanceError
        A root does not exist, or a reference cannot be followed; the message names file and line.
    """
    return _graph(src, device).closure(tuple(roots))


def bound_names(module: str, src: Path = SRC) -> set[str]:
    """Return the names that a module of ours binds; raise ProvenanceError if there is none."""
    return set(_graph(src).scan(module)["bindings"])


def imports(module: str, other: str, src: Path = SRC) -> bool:
    """Return whether a module of ours imports another one by name."""
    graph = _graph(src)
    return other in graph.own_modules(graph.scan(module)["imports"], module)


def file_of(module: str, src: Path = SRC) -> Path | None:
    """Return the file of a module of ours, None if there is none."""
    return _graph(src).file(module)


_graphs: dict[tuple[Path, str], Graph] = {}


def _graph(src: Path, device: str = "cuda") -> Graph:
    graph = _graphs.get((src, device))
    if graph is None or not graph.is_current():
        graph = _graphs[src, device] = Graph(src, device)
    return graph


class Graph:
    """All references among the definitions below one folder, followed as they are asked for."""

    def __init__(self, src: Path, device: str = "cuda"):
        self.src, self.device = src, device
        self._stats: dict[Path, tuple] = {}
        self._digests: dict[Node, str] = {}
        self._known: dict[tuple, Closure] = {}
        for name in ("file", "scan", "references", "data_of", "imported"):  # of this graph alone
            setattr(self, name, functools.cache(getattr(self, name)))

    def is_current(self) -> bool:
        """Return whether no file that was read has changed, come or gone."""
        return all(_stat(file) == found for file, found in self._stats.items())

    def is_left_out(self, module: str) -> bool:
        """Return whether a module counts by the names that are taken from it alone."""
        return is_plumbing(module) or (self.device == "cpu" and is_for_gpu(module))

    # ------------------------------------------------------------------------- single modules

    def file(self, module: str) -> Path | None:
        """Return the file of a module; whether it is there is watched from now on."""
        parts = module.split(".")
        if not all(part.isidentifier() and len(part) < 100 for part in parts):
            return None  # a result of unknown origin may name anything, also a path
        base = self.src.joinpath(*parts)
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            self._stats[file] = _stat(file)
            if self._stats[file]:
                return file
        return None

    def scan(self, module: str) -> dict:
        """Return what `respike.runs.scan` finds in the file of a module."""
        file = self.file(module)
        if file is None:
            raise ProvenanceError(f"no module {module} under {self.src}")
        return kept_scan(file.read_bytes(), str(file))

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
        return frozenset(self._running([module]))

    def _running(self, modules: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        todo = list(modules)
        while todo:
            module = todo.pop()
            if module in seen or self.is_left_out(module) or self.file(module) is None:
                continue
            seen.add(module)
            todo += self.own_modules(self.scan(module)["imports"], module)
            if "." in module:
                todo.append(module.rpartition(".")[0])
        return seen

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

    def resolve(self, dotted: str, module: str, line: int) -> list[Reference]:
        """Return what a dotted name stands for; several where it is bound more than once."""
        parts = self._absolute(dotted, module).split(".")
        if parts[0] != PACKAGE:
            return [Reference(outside=".".join(parts))]
        cut = next(
            (n for n in range(len(parts), 0, -1) if self.file(".".join(parts[:n]))), 0
        )  # fmt: skip
        target, rest = ".".join(parts[:cut]), parts[cut:]
        if self.is_left_out(target):
            return [Reference(plumbing=".".join(rest), outside=BEHIND.get(target))]
        if not rest or rest[0].startswith("__"):
            return [Reference(node=(target, WHOLE))]
        found = self.bound(target, rest[0], tuple(rest[1:]))
        if not found:
            file = self.file(module)
            raise ProvenanceError(f"{file}:{line}: {target or PACKAGE} has no {rest[0]}")
        return found

    def bound(self, module: str, name: str, rest: tuple[str, ...]) -> list[Reference]:
        """Return what a name of a module stands for."""
        scan = self.scan(module)
        found = []
        for kind, what in scan["bindings"].get(name, ()):
            if kind == "definition":
                place = scan["definitions"][what]["names"].index(name)
                found.append(Reference(node=(module, what), position=place, rest=rest))
            else:
                found += self.resolve(".".join([what, *rest]), module, 0)
        if not found:
            for star in scan["stars"]:
                origin = self._absolute(star, module)
                if self.file(origin) and not self.is_left_out(origin):
                    found += self.bound(origin, name, rest)
        return found

    def references(self, node: Node) -> list[list[Reference]]:
        """Return what each reference of a definition stands for, in its order."""
        module, number = node
        scan = self.scan(module)
        if number == WHOLE:
            names = [self.bound(module, name, ()) for name in sorted(scan["bindings"])]
            effects = [[Reference(node=(module, i))] for i in range(len(scan["definitions"]))]
            return names + effects
        found = []
        for name, chain, line in scan["definitions"][number]["references"]:
            if name == "":
                found.append(self.resolve(".".join(chain), module, line))
            elif name == WHOLE:
                found.append([Reference(node=(module, WHOLE))])
            else:
                found.append(self.bound(module, name, tuple(chain)))
        return found

    def data_of(self, node: Node) -> list[str]:
        """Return digests of the files and folders beside its module that a definition names."""
        return sorted(_content(file) for file in self.files_of(node))

    def files_of(self, node: Node) -> list[Path]:
        """Return these files themselves."""
        found = None if node[1] == WHOLE else self.definition(node)["files"]
        if found is None:
            return []
        folder, stem = self.file(node[0]).parent, self.file(node[0]).stem
        files = []
        for text in found:
            name = f"{stem}{text}" if text.startswith(".") else text
            if not name.strip("./"):
                continue
            for file in [folder / name, *sorted((folder / name).rglob("*"))]:
                if file.is_file():
                    self._stats[file] = _stat(file)
                    files.append(file)
        return files

    # ----------------------------------------------------------------------------- effects

    def acts(self, node: Node) -> bool:
        """Return whether a definition may do more on import than bind its names."""
        found = self.definition(node)
        return found["acts"] or not self._pure(node, "calls", set())

    def _pure(self, node: Node, part: str, seen: set[tuple]) -> bool:
        if (node, part) in seen:
            return True
        seen.add((node, part))
        for name, chain, line in self.definition(node)[part]:
            targets = (
                self.resolve(".".join(chain), node[0], line)
                if name == ""
                else self.bound(node[0], name, tuple(chain))
            )
            for target in targets:
                if target.node is None:
                    continue  # plumbing; other packages were judged by the scan
                if target.node[1] == WHOLE or target.rest:
                    return False
                if self.definition(target.node)["body_acts"]:
                    return False
                if not self._pure(target.node, "body_calls", seen):
                    return False
        return True

    # ----------------------------------------------------------------------------- digests

    def closure(self, roots: tuple[str, ...]) -> Closure:
        """Return what the roots reach; see the function of that name."""
        if roots in self._known:
            return self._known[roots]
        starts = [self.resolve(root, PACKAGE, 0) for root in roots]
        for root, found in zip(roots, starts, strict=True):
            if any(one.node is None for one in found):
                raise ProvenanceError(f"{root} is no definition whose logic counts")
        reached: dict[Node, None] = {}
        modules: set[str] = set()
        effects: set[Node] = set()
        todo = [one.node for found in starts for one in found]
        while todo:
            node = todo.pop()
            if node in reached:
                continue
            reached[node] = None
            todo += [one.node for found in self.references(node) for one in found if one.node]
            runs = [node[0]]
            if node[1] != WHOLE:
                runs += self.own_modules(self.definition(node)["imports"], node[0])
            for module in frozenset().union(*map(self.imported, runs)) - modules:
                modules.add(module)
                acting = {
                    (module, i)
                    for i in range(len(self.scan(module)["definitions"]))
                    if self.acts((module, i))
                }
                effects |= acting
                todo += acting
        self._digest_all(list(reached))
        content = [
            [[self._encoded(one) for one in found] for found in starts],
            sorted(self._digests[node] for node in effects),
        ]
        names = sorted((self.name(node), node) for node in reached)
        outside = {
            one.outside.split(".")[0]
            for node in reached
            for found in self.references(node)
            for one in found
            if one.outside
        }
        self._known[roots] = Closure(
            short(json.dumps(content)),
            {node: name for name, node in names},
            frozenset(outside),
            {module: self.file(module) for module in sorted(modules)},
            frozenset(file for node in reached for file in self.files_of(node)),
        )
        return self._known[roots]

    def _encoded(self, one: Reference) -> list:
        if one.node:
            return ["own", self._digests[one.node], one.position, *one.rest]
        if one.plumbing is not None:
            return ["plumbing", one.plumbing]
        return ["outside", one.outside]

    def _digest_all(self, nodes: list[Node]) -> None:
        for unit in _circles(nodes, self._successors, self._digests):
            self._digest_unit(unit)

    def _successors(self, node: Node) -> list[Node]:
        return [one.node for found in self.references(node) for one in found if one.node]

    def _digest_unit(self, unit: list[Node]) -> None:
        """Digest definitions that refer to one another.

        Each starts from its own logic; then as many rounds as there are definitions spread what
        differs through the circle. No order and no name enters.
        """
        self._digests |= dict.fromkeys(unit, "")
        for _ in range(len(unit) + 1 if len(unit) > 1 or self._is_circle(unit[0]) else 1):
            self._digests |= {node: self._digest(node) for node in unit}

    def _is_circle(self, node: Node) -> bool:
        return node in self._successors(node)

    def _digest(self, node: Node) -> str:
        encoded = [[self._encoded(one) for one in found] for found in self.references(node)]
        if node[1] == WHOLE:
            return short(json.dumps(sorted(map(json.dumps, encoded))))
        own = self.definition(node)["logic"]
        return short(json.dumps([own, encoded, self.data_of(node)]))


def short(text: str) -> str:
    """Return 16 hex digits over a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _stat(file: Path) -> tuple | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(file: Path) -> str:
    content = file.read_bytes()
    if file.suffix == ".json":  # its layout does not count
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _circles(nodes, successors, done) -> Iterator[list]:
    """Yield the strongly connected components that are not `done`, what they refer to first.

    R. Tarjan, SIAM J. Comput. 1 (1972) 146, without recursion.
    """
    index: dict = {}
    low: dict = {}
    stack: list = []
    on_stack: set = set()
    for start in nodes:
        if start in index or start in done:
            continue
        work = [(start, iter(successors(start)))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, rest = work[-1]
            for child in rest:
                if child in done and child not in on_stack:
                    continue
                if child not in index:
                    index[child] = low[child] = len(index)
                    stack.append(child)
                    on_stack.add(child)
                    work.append((child, iter(successors(child))))
                    break
                if child in on_stack:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    unit = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        unit.append(member)
                        if member == node:
                            break
                    yield unit
