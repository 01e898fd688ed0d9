"""Numba with a cache that notices every edit of our own code.

Numba's own cache is keyed by the file of a function alone: after an edit of a function that it
calls, in another module, the old machine code would run under the new digest. Here the cache
folder itself carries a digest of all modules that hold compiled functions, and of all they import.

Import `njit` and the like from here, never from numba.
"""

import numba
from numba import njit, prange, uint64

from respike.runs.provenance import ROOT, compiled_digest

__all__ = ["njit", "prange", "uint64"]

# Read at each decoration, so it must be set before the first decorated function.
numba.config.CACHE_DIR = str(ROOT / ".cache" / "numba" / compiled_digest())
