"""Numba as this project uses it: machine code from our own cache, under settings that are ours.

Import `njit` and the like from here, never from numba.
"""

from respike.runs import machine_code

machine_code.clean_settings()  # Numba reads them when it is loaded

# isort: split
import numba  # noqa: E402
from numba import njit, prange, uint64  # noqa: E402

machine_code.use_own_cache(numba)  # before the first function is decorated

__all__ = ["njit", "prange", "uint64"]
