"""Whether the code that runs is the code in the files that its digest is taken from. Plumbing.

Python may run something else: a file is edited after its import, or a .pyc stands in for it that
was made from another content of the same time and size.
"""

from __future__ import annotations

import functools
import importlib.util
import marshal
import os
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

from respike.runs import closure, provenance
from respike.runs.closure import PACKAGE


class LoadedError(RuntimeError):
    """What runs is not what the files say; one line per file, with the cure."""


class Sources:
    """The files of a module and of all that it imports, as they were when this was made.

    Make it after the digest is taken, `check` it before the first number is computed and again
    before the result is written: modules that were imported meanwhile must be of the same files.
    An edit of what was loaded before does no harm.
    """

    def __init__(self, module: str, device: str = "cuda"):
        self.device = device
        found = closure.closure(provenance.roots_of(module), device=device)
        self.contents = {name: file.read_bytes() for name, file in found.modules.items()}
        self.parameters = {file: file.read_bytes() for file in found.data}

    def check(self) -> None:
        """Raise LoadedError if something else than these files is loaded, or may have been read."""
        found = [*problems(self.contents)]
        if self.device == "cpu":  # whose digest leaves it out
            found += [
                f"{name} is loaded, on the CPU: import what is for a GPU where it runs"
                for name, _ in _modules()
                if closure.is_for_gpu(name)
            ]
        for file, content in self.parameters.items():
            if not file.is_file() or file.read_bytes() != content:
                found.append(f"{file}: edited during the run, which may have read either content")
        if found:
            raise LoadedError("\n".join([*found, "Nothing was written: run it again"]))


def problems(contents: Mapping[str, bytes] | None = None) -> Iterator[str]:
    """Yield in words where loaded modules of ours differ from their files.

    `contents` says what to hold against which module; without it all modules of ours count, and
    their files as they are now.
    """
    for name, module in _modules():
        if contents is not None and name not in contents:
            continue
        file = closure.file_of(name)
        if file is None or not file.samefile(module.__file__):
            yield (
                f"{name} was loaded from {module.__file__}, not from {file or 'this checkout'}: "
                "unset PYTHONPATH, and start from the checkout's own environment"
            )
            continue
        content = file.read_bytes() if contents is None else contents[name]
        whole, parts = _logic_of(content, str(file))
        kept = _pyc(module, file)
        if kept and _logic(kept) != whole:
            yield f"{module.__spec__.cached} is not of {file} although it says so: remove it"
        for function in _functions(module):
            if _logic(function.__code__) not in parts:
                yield (
                    f"{file}: {function.__qualname__} runs as it was before an edit of the file, "
                    "or it was edited since the run began"
                )
                break
        for kernel in vars(module).values():
            source = getattr(kernel, "raw_src", None) if _is_kernel(kernel) else None
            if source and "".join(source) not in content.decode():
                yield f"{file}: the kernel {kernel.__name__} is not what the file says now"


def state() -> Iterator[tuple]:
    """Yield what changes when another module of ours is loaded, or the file of one is edited."""
    for name, module in _modules():
        found = os.stat(module.__file__)
        yield name, found.st_mtime_ns, found.st_size, found.st_ino


def _modules() -> list[tuple[str, types.ModuleType]]:
    named = {name: module for name, module in sys.modules.items() if name != "__main__"}
    main = sys.modules["__main__"]
    if spec := getattr(main, "__spec__", None):  # python -m
        named[spec.name] = main
    return [
        (name, module)
        for name, module in sorted(named.items())
        if name.split(".")[0] == PACKAGE and getattr(module, "__file__", None)
    ]


def _functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    """Yield the functions that the module's file defines and that it still holds."""
    todo, seen = [*vars(module).values()], set()
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, types.ModuleType):
            continue
        seen.add(id(value))
        if isinstance(value, types.FunctionType):
            if value.__code__.co_filename == module.__file__:
                yield value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            todo += vars(value).values()
        elif isinstance(value, property):
            todo += filter(None, (value.fget, value.fset))
        # Numba, Triton, functools and the built-in decorators keep the function under these.
        attributes = getattr(value, "__dict__", {})
        todo += [attributes[key] for key in ("py_func", "fn", "__wrapped__") if key in attributes]


def _is_kernel(value: object) -> bool:
    return type(value).__module__.split(".")[0] == "triton"


def _pyc(module: types.ModuleType, file: Path) -> types.CodeType | None:
    """Return the code that Python would take for the file's without reading it, if any."""
    try:
        with open(module.__spec__.cached, "rb") as stream:
            head, rest = stream.read(16), stream.read()
        found = file.stat()
    except (OSError, AttributeError, TypeError):
        return None
    numbers = (0, int(found.st_mtime), found.st_size)
    said = b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)
    if head != importlib.util.MAGIC_NUMBER + said:
        return None
    try:
        return marshal.loads(rest)
    except (EOFError, ValueError, TypeError):
        return None  # Python refuses it too


@functools.cache
def _logic_of(content: bytes, file: str) -> tuple[tuple, frozenset[tuple]]:
    """Return the logic of a file and of each function in it, however deep."""
    whole = compile(content, file, "exec", dont_inherit=True)
    todo, parts = [whole], set()
    while todo:
        code = todo.pop()
        parts.add(_logic(code))
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return _logic(whole), frozenset(parts)


def _logic(code: types.CodeType) -> tuple:
    """Return all of a code object that decides what it does, without lines and file."""
    return (
        code.co_qualname, code.co_flags, code.co_argcount, code.co_kwonlyargcount,
        code.co_posonlyargcount, code.co_code, code.co_names, code.co_varnames, code.co_freevars,
        code.co_cellvars, code.co_exceptiontable, tuple(map(_constant, code.co_consts)),
    )  # fmt: skip


def _constant(value: object) -> object:
    if isinstance(value, types.CodeType):
        return _logic(value)
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    if isinstance(value, frozenset):
        return frozenset(map(_constant, value))
    return type(value).__name__, repr(value)  # 1, 1.0 and True are equal, -0.0 and 0.0 too
