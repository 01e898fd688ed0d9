"""Which definitions a result can reach, and one digest over the logic of all of them.

A definition is a function, a class or a module constant, or a statement that acts when its module
is imported. Each is hashed by its own logic and by the digests of what it refers to, a Merkle tree
over definitions; those that refer to one another in a circle are hashed as one unit. Names and
places of modules do not enter, nor do names of definitions, comments, docstrings, annotations and
layout: code can be moved, renamed and split, and only what an experiment can reach counts for it.
They do enter where something that it reaches may read them.

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
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from respike.runs.circles import circles
from respike.runs.definitions import (
    PACKAGE,
    SRC,
    WHOLE,
    Definitions,
    Node,
    Reference,
    is_for_gpu,
    is_plumbing,
)
from respike.runs.scan import ProvenanceError

__all__ = ["PACKAGE", "SRC", "WHOLE", "closure", "is_for_gpu", "is_plumbing", "short"]

FUNCTIONS = ("FunctionDef", "AsyncFunctionDef")


class Closure(NamedTuple):
    """What roots can reach."""

    digest: str  # 16 hex digits
    definitions: dict[Node, str]  # module and name of each, by node, sorted by text
    distributions: frozenset[str]  # top-level names of the other packages that they refer to
    modules: dict[str, Path]  # whose import runs, with their files
    data: frozenset[Path]  # files that definitions name by their own place


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


class Graph(Definitions):
    """All references among the definitions below one folder, followed as they are asked for."""

    def __init__(self, src: Path, device: str, annotations: bool = False):
        super().__init__(src, device, annotations)
        self._digests: dict[Node, str] = {}
        self._with_annotations: Graph | None = None
        for name in ("closure", "acting", "_may_change"):
            setattr(self, name, functools.cache(getattr(self, name)))

    def is_current(self) -> bool:
        """Return whether no file that was read has changed, come or gone."""
        other = self._with_annotations
        return super().is_current() and (other is None or other.is_current())

    # ----------------------------------------------------------------------------- effects

    def acting(self, module: str) -> frozenset[Node]:
        """Return the definitions of a module that may do more on import than bind their names."""
        nodes = [(module, i) for i in range(len(self.scan(module)["definitions"]))]
        return frozenset(
            node
            for node in nodes
            if self.definition(node)["acts"] or not self._pure(node, "calls", set())
        )

    def _pure(self, node: Node, part: str, seen: set[tuple]) -> bool:
        """Return whether calls of a definition do nothing but make values.

        `part` says which: those on import, of its body, or of what a constant holds.
        """
        if (node, part) in seen:
            return True
        seen.add((node, part))
        for name, chain, line, called in self.definition(node)[part]:
            targets = (
                self.resolve(".".join(chain), node[0], line)
                if name == ""
                else self.bound(node[0], name, tuple(chain))
            )
            for target in targets:
                if target.node is None:
                    continue  # plumbing; other packages were judged by the scan
                if target.node[1] == WHOLE or (target.rest and called):
                    return False
                found = self.definition(target.node)
                if not called and found["kind"] in ("Assign", "AnnAssign"):
                    inner = "held"
                elif found["body_acts"]:
                    return False
                else:
                    inner = "body_calls"
                if not self._pure(target.node, inner, seen):
                    return False
        return True

    # ----------------------------------------------------------------------------- closures

    def closure(self, roots: tuple[str, ...]) -> Closure:
        """Return what the roots reach; see the function of that name."""
        starts = [self.resolve(root, PACKAGE, 0) for root in roots]
        for root, found in zip(roots, starts, strict=True):
            if not any(one.node for one in found):
                raise ProvenanceError(f"{root} is no definition whose logic counts")
        reached: dict[Node, None] = {}
        modules: set[str] = set()
        effects: set[Node] = set()
        todo = [one.node for found in starts for one in found if one.node]
        while todo:
            node = todo.pop()
            if node in reached:
                continue
            reached[node] = None
            todo += self._successors(node)
            runs = [node[0]]
            if node[1] != WHOLE:
                runs += self.own_modules(self.definition(node)["imports"], node[0])
            for module in frozenset().union(*map(self.imported, runs)) - modules:
                modules.add(module)
                effects |= self.acting(module)
                todo += self.acting(module)
        definitions = [node for node in reached if node[1] != WHOLE]
        if not self.annotations and self._annotations_are_read(definitions):
            if self._with_annotations is None:
                self._with_annotations = Graph(self.src, self.device, annotations=True)
            return self._with_annotations.closure(roots)
        for unit in circles(reached, self._successors, self._digests):
            self._digest_unit(unit)
        content = [
            [[self._encoded(one) for one in found] for found in starts],
            sorted(self._digests[node] for node in effects),
        ]
        files = self._files_elsewhere(definitions)
        more = {
            "order": self._order(definitions, {node[0] for node in effects}),
            "same": self._told_apart(list(reached)),
            "names": self._names_read(list(reached)),
            "files": sorted(map(_content, files)),
        }
        if more := {key: value for key, value in more.items() if value}:
            content.append(more)
        outside = {
            one.outside.split(".")[0]
            for node in reached
            for found in self.references(node)
            for one in found
            if one.outside
        }
        return Closure(
            short(json.dumps(content)),
            {node: name for name, node in sorted((self.name(node), node) for node in reached)},
            frozenset(outside),
            {module: self.file(module) for module in sorted(modules)},
            frozenset(files).union(*map(self.files_of, definitions)),
        )

    def _annotations_are_read(self, nodes: list[Node]) -> bool:
        """Return whether something reads annotations beside a class those of its own."""
        todo = []
        for node in nodes:
            found = self.definition(node)
            if "annotations" in found["reads"]:
                return True
            todo += [(node[0], base) for base in found["bases"]]
        for module, (name, chain, _) in todo:  # grows while it is walked
            for one in self.bound(module, name, tuple(chain)):
                if one.node and one.node[1] != WHOLE:
                    found = self.definition(one.node)
                    if found["listens"]:
                        return True
                    todo += [(one.node[0], base) for base in found["bases"]]
        return False

    def _files_elsewhere(self, nodes: list[Node]) -> set[Path]:
        """Return the files that are named elsewhere than where `__file__` stands.

        As where one definition is the folder of a module, and another names a file in it. Raises
        ProvenanceError where nothing that refers to such a definition names a file.
        """
        files: set[Path] = set()
        places = [n for n in nodes if self.definition(n)["uses_file"] and not self.files_of(n)]
        before = self._predecessors(nodes) if places else {}
        for place in places:
            file, found = self.file(place[0]), set()
            seen, todo = {place}, [place]
            while todo:
                for node, _ in before[todo.pop()]:
                    if node not in seen:
                        seen.add(node)
                        todo.append(node)
                        found.update(self.named_files(node, file))
            if not found:
                raise ProvenanceError(
                    f"{file}:{self.definition(place)['line']}: what is read by __file__ cannot be "
                    "told: name the file here, as Path(__file__).with_name('table.json')"
                )
            files |= found
        return files

    def _order(self, nodes: list[Node], acting: set[str]) -> list[list[str]]:
        """Return what runs on import in modules where its order matters, as digests."""
        again = {
            (module, number)
            for module in {node[0] for node in nodes}
            for bindings in self.scan(module)["bindings"].values()
            if len(bindings) > 1
            for kind, number in bindings
            if kind == "definition"
        }
        acting = acting | {module for module, _ in again.intersection(nodes)}
        found = defaultdict(list)
        for node in sorted(nodes):
            is_function = self.definition(node)["kind"] in FUNCTIONS
            if node[0] in acting and (node in again or not is_function):
                found[node[0]].append(self._digests[node])
        return sorted(order for order in found.values() if len(order) > 1)

    def _may_change(self, node: Node) -> bool:
        """Return whether a definition is an object that is not known by its value alone."""
        todo = [node]
        for one in todo:  # grows while it is walked
            if one[1] != WHOLE:
                found = self.definition(one)
                if found["mutable"]:
                    return True
                if found["kind"] not in FUNCTIONS:
                    todo += [other for other in self._successors(one) if other not in todo]
        return False

    def _told_apart(self, nodes: list[Node]) -> list[str]:
        """Return digests that tell which of several equal objects is used where.

        Two empty lists of equal logic have one digest, and so have two classes of errors. Where
        there are such, what refers to a definition enters as well as what it refers to.
        """
        digests = [self._digests[node] for node in nodes if self._may_change(node)]
        if len({*digests}) == len(digests):
            return []
        before = self._predecessors(nodes)
        colours = {node: self._digests[node] for node in nodes}
        while True:
            finer = {
                node: short(
                    json.dumps(
                        [
                            colours[node],
                            [colours[other] for other in self._successors(node)],
                            sorted([colours[other], place] for other, place in before[node]),
                        ]
                    )
                )
                for node in nodes
            }
            if len({*finer.values()}) == len({*colours.values()}):
                return sorted(finer.values())
            colours = finer

    def _names_read(self, nodes: list[Node]) -> list[str]:
        """Return names of definitions, where something may read them."""
        reads = {what for n in nodes if n[1] != WHOLE for what in self.definition(n)["reads"]}
        if "modules" in reads:
            return sorted(map(self.name, nodes))
        return sorted(self.name(n).rpartition(".")[2] for n in nodes) if "names" in reads else []

    # ----------------------------------------------------------------------------- digests

    def _successors(self, node: Node) -> list[Node]:
        return [one.node for found in self.references(node) for one in found if one.node]

    def _predecessors(self, nodes: list[Node]) -> dict[Node, list[tuple[Node, int]]]:
        """Return what refers to each definition, and as which of its references."""
        before = defaultdict(list)
        for node in nodes:
            for place, other in enumerate(self._successors(node)):
                before[other].append((node, place))
        return before

    def _encoded(self, one: Reference) -> list:
        if one.node:
            return ["own", self._digests[one.node], one.position, *one.rest]
        if one.plumbing is not None:
            return ["plumbing", one.plumbing]
        return ["outside", one.outside]

    def _digest_unit(self, unit: list[Node]) -> None:
        """Digest definitions that refer to one another.

        Each starts from its own logic; then as many rounds as there are definitions spread what
        differs through the circle. No order and no name enters.
        """
        self._digests |= dict.fromkeys(unit, "")
        is_circle = len(unit) > 1 or unit[0] in self._successors(unit[0])
        for _ in range(len(unit) + 1 if is_circle else 1):
            self._digests |= {node: self._digest(node) for node in unit}

    def _digest(self, node: Node) -> str:
        if node[1] == WHOLE:
            found = [[name, list(map(self._encoded, f))] for name, f in self.whole(node[0])]
            return short(json.dumps(sorted(map(json.dumps, found))))
        encoded = [[self._encoded(one) for one in found] for found in self.references(node)]
        files = sorted(map(_content, self.files_of(node)))
        return short(json.dumps([self.definition(node)["logic"], encoded, files]))


def short(text: str) -> str:
    """Return 16 hex digits over a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _content(file: Path) -> str:
    content = file.read_bytes()
    if file.suffix == ".json":  # its layout does not count
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()
