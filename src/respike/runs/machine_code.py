"""Where Numba keeps machine code, and the settings under which it makes it.

Numba's own cache is keyed by one file, and where its folder cannot be written it silently takes
another, shared by all programs of the user: old machine code then runs under a new digest. Here a
function's machine code is found only in a folder of this checkout that carries a digest of all our
compiled functions with all that they import, and the versions of what compiles them. Where that
cannot be used, functions are compiled anew in memory. Plumbing: no number depends on it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from respike.runs import loaded
from respike.runs.provenance import PACKAGE, ROOT, compiled_digest

# How many threads Numba starts, and with which library: no sum depends on it.
HEEDED = {"NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"}


def clean_settings() -> None:
    """Take the user's settings of Numba out of this process's environment, but for `HEEDED`.

    Most others change numbers (NUMBA_DISABLE_JIT, _OPT, _DISABLE_INTEL_SVML, _CPU_NAME, ...), which
    machine code that is kept would hand on; the rest set another cache or print. Call it before
    Numba is loaded.

    Raises
    ------
    RuntimeError
        They have been read already, or stand in a file that Numba would read.
    """
    names = [name for name in os.environ if name.startswith("NUMBA_") and name not in HEEDED]
    names += ["VS_PROFILER"] if "VS_PROFILER" in os.environ else []  # compiles for debugging
    if Path(".numba_config.yaml").is_file():
        raise RuntimeError(
            f"{Path('.numba_config.yaml').absolute()} changes how functions are compiled, and with "
            "it numbers: move it away"
        )
    if names and "numba" in sys.modules:
        raise RuntimeError(f"Numba was loaded before Respike: unset {', '.join(sorted(names))}")
    for name in names:
        del os.environ[name]


def use_own_cache(numba) -> None:
    """Let Numba keep the machine code of our functions in our cache; `numba` is its module."""
    dispatcher, caching = numba.core.dispatcher, numba.core.caching
    key = compiled_digest()
    versions = [platform.python_version(), *map(metadata.version, ("numba", "llvmlite", "numpy"))]
    folder = (
        ROOT
        / ".cache"
        / "numba"
        / hashlib.sha256(" ".join([key, *versions]).encode()).hexdigest()[:16]
    )

    class Locator(caching.UserProvidedCacheLocator):
        def __init__(self, py_func, py_file):
            self._py_file, self._lineno = py_file, py_func.__code__.co_firstlineno
            self._cache_path = str(folder / self.get_suitable_cache_subpath(py_file))

        @classmethod
        def from_function(cls, py_func, py_file):
            return cls(py_func, py_file)  # whether it can be written turns out when it is

    class Implementation(caching.CompileResultCacheImpl):
        _locator_classes = [Locator]

    class Cache(caching.FunctionCache):
        _impl_class = Implementation

        # A file that was cut off, a disk that is full or read-only: whatever is wrong with the
        # cache, the function is compiled.
        def load_overload(self, sig, target_context):
            with contextlib.suppress(Exception):
                if _fits(key):
                    return super().load_overload(sig, target_context)

        def save_overload(self, sig, data):
            with contextlib.suppress(Exception):
                if _fits(key):
                    super().save_overload(sig, data)

    def cache_of(function):
        ours = function.__module__.split(".")[0] == PACKAGE or function.__module__ == "__main__"
        return Cache(function) if ours else caching.FunctionCache(function)

    dispatcher.FunctionCache = cache_of


def _fits(key: str) -> bool:
    """Say whether what is loaded of our code is what `key` was taken from.

    A file may be edited between that and its import, or an old .pyc stand in for it.
    """
    return _fits_when(key, tuple(loaded.state()))


@functools.cache
def _fits_when(key: str, state: tuple) -> bool:
    return compiled_digest() == key and not any(loaded.problems())
