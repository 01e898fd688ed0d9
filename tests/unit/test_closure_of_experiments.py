"""The closures of the real experiments: all that runs is in them, and an edit counts where it may.

No source, experiment or module is named here.
"""

import ast
import random
import shutil
from collections import Counter

import pytest

from respike.runs import closure as closures
from respike.runs import provenance, sources
from respike.runs.closure import PACKAGE, SRC, closure, is_for_gpu, is_plumbing
from respike.runs.scan.module import scan

DEVICES = ("cpu", "cuda")


def roots():
    """Return (source, root entry) -> its module."""
    return {
        (source, entry): sources.module_of(source, entry)
        for source in sources.found()
        for entry, body in sources.entries(source)[0].items()
        if "extends" not in body
    }


MODULES = sorted(set(roots().values()))


def digests(src):
    """Return (module, device) -> digest, of every root."""
    return {
        (module, device): provenance.code_digest(module, src, device)
        for module in MODULES
        for device in DEVICES
    }


def name_of(file):
    """Return the module of a file below a `src`."""
    parts = file.with_suffix("").parts
    parts = parts[len(parts) - parts[::-1].index(PACKAGE) - 1 :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the source tree that the test may change."""
    src = tmp_path / "src"
    shutil.copytree(SRC, src, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return src


# ---------------------------------------------------------------------------- where an edit counts


def edited(source, statement):
    """Return the text of a module with one top-level definition changed, None if it cannot be."""
    lines = source.splitlines()
    match statement:
        case ast.FunctionDef() | ast.ClassDef():
            last = statement.body[-1]
            if last.lineno == statement.lineno:
                return None
            indent = " " * last.col_offset
            at = last.end_lineno if isinstance(statement, ast.ClassDef) else last.lineno - 1
            if getattr(last, "decorator_list", ()):
                return None
            lines.insert(at, f"{indent}added = 0")
        case ast.Assign(value=value):
            segment = ast.get_source_segment(source, value)
            return source.replace(segment, f"({segment}, 0)[0]", 1)
        case _:
            return None
    return "\n".join(lines)


def test_an_edit_counts_for_exactly_the_roots_that_reach_it(copy):
    before = digests(copy)
    reached = {
        (module, device): closure(provenance.roots_of(module, copy), copy, device).definitions
        for module, device in before
    }
    inside, outside = [], []
    for file in sorted((copy / PACKAGE).rglob("*.py")):
        if is_plumbing(module := name_of(file)):
            continue
        found = scan(file.read_bytes(), str(file))["definitions"]
        for statement in ast.parse(file.read_text()).body:
            number = next((i for i, d in enumerate(found) if d["line"] == statement.lineno), None)
            if number is not None and edited(file.read_text(), statement):
                node = (module, number)
                kept = inside if any(node in nodes for nodes in reached.values()) else outside
                kept.append((file, node))
    chosen = random.Random(18).sample(inside, 24) + random.Random(18).sample(outside, 8)
    for file, node in chosen:
        text = file.read_text()
        line = scan(text.encode(), "")["definitions"][node[1]]["line"]
        (statement,) = (s for s in ast.parse(text).body if s.lineno == line)
        file.write_text(edited(text, statement))
        after = digests(copy)
        file.write_text(text)
        changed = {key for key in before if after[key] != before[key]}
        assert changed == {key for key, nodes in reached.items() if node in nodes}, (node, line)


# ------------------------------------------------------------------------- where nothing may change


@pytest.fixture
def files(copy):
    """Return module -> file of all that a root reaches and that can be moved about.

    Not the modules that are roots, which their sources name; nor those that say by their names that
    they are for a GPU, or by their places where a file lies.
    """
    counts, fixed = Counter(), set(MODULES)
    for module in MODULES:
        starts = provenance.roots_of(module, copy)
        fixed |= {start.rpartition(".")[0] for start in starts}
        found = closure(starts, copy)
        counts.update({node[0] for node in found.definitions})
        for node in found.definitions:
            if closures._graph(copy).definition(node)["uses_file"]:
                counts[node[0]] = -len(MODULES)
    chosen = [m for m, n in counts.items() if n > 0 and m not in fixed and not is_for_gpu(m)]
    assert len(chosen) > 30
    (copy / PACKAGE / "moved").mkdir()
    (copy / PACKAGE / "moved" / "__init__.py").write_text("")
    return {module: closures.file_of(module, copy) for module in sorted(chosen)}


def rewrite(copy, change):
    """Pass the tree of every module through `change(tree, module)`; write what it returns."""
    for file in sorted((copy / PACKAGE).rglob("*.py")):
        tree = change(ast.parse(file.read_text()), name_of(file))
        file.write_text(ast.unparse(tree) + "\n")


def test_modules_are_moved_and_renamed(copy, files):
    before = digests(copy)
    new = {module: f"{PACKAGE}.moved.m{k}" for k, module in enumerate(files)}

    def adjusted(tree, _):
        class Imports(ast.NodeTransformer):
            def visit_ImportFrom(self, node):
                if node.module in new:
                    node.module = new[node.module]
                    return node
                parts = []
                for alias in node.names:
                    module = new.get(f"{node.module}.{alias.name}")
                    if module:
                        folder, _, name = module.rpartition(".")
                        alias = ast.alias(name, alias.asname or alias.name)
                        parts.append(ast.ImportFrom(folder, [alias], 0))
                    else:
                        parts.append(ast.ImportFrom(node.module, [alias], node.level))
                return parts

        return ast.fix_missing_locations(Imports().visit(tree))

    rewrite(copy, adjusted)
    for module, file in files.items():
        file.rename(copy.joinpath(*new[module].split(".")).with_suffix(".py"))
    assert digests(copy) == before


def test_modules_are_split_and_definitions_moved(copy, files):
    before = digests(copy)
    moved = 0
    for k, file in enumerate(files.values()):
        module, rest = name_of(file), f"{PACKAGE}.moved.rest{k}"
        body = ast.parse(file.read_text()).body
        imports = [s for s in body if isinstance(s, ast.Import | ast.ImportFrom | ast.If)]
        own = [s for s in body if s not in imports]
        halves = own[::2], own[1::2]

        def names(half):
            found = scan(ast.unparse(ast.Module(half, [])).encode(), "")["bindings"]
            return [ast.alias(name) for name in found]

        for place, here, other, there in (
            (file, halves[0], rest, halves[1]),
            (copy.joinpath(*rest.split(".")).with_suffix(".py"), halves[1], module, halves[0]),
        ):
            needs = [ast.ImportFrom(other, names(there), 0)] if names(there) else []
            tree = ast.Module([*imports, *needs, *here], [])
            place.write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n")
        moved += len(halves[1])
    assert moved > 100
    assert digests(copy) == before


def test_imports_are_made_relative(copy):
    before = digests(copy)

    def relative(tree, module):
        is_package = (copy.joinpath(*module.split(".")) / "__init__.py").exists()
        here = module.split(".") if is_package else module.split(".")[:-1]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
                there = node.module.split(".")
                same = 0
                while same < min(len(here), len(there)) and here[same] == there[same]:
                    same += 1
                node.level = len(here) - same + 1
                node.module = ".".join(there[same:]) or None
        return tree

    rewrite(copy, relative)
    assert digests(copy) == before


def test_imports_are_sorted_in_another_way(copy):
    before = digests(copy)

    def turned(tree, _):
        at = [k for k, s in enumerate(tree.body) if isinstance(s, ast.Import | ast.ImportFrom)]
        future = [k for k in at if getattr(tree.body[k], "module", "") == "__future__"]
        at = [k for k in at if k not in future]
        for k, statement in zip(at, [tree.body[k] for k in reversed(at)], strict=True):
            tree.body[k] = statement
            statement.names.reverse()
        return tree

    rewrite(copy, turned)
    assert digests(copy) == before
