"""Memory that training frees is kept by the process for the next step, and given back between trials.

glibc takes each large tensor from the kernel by itself and returns it when it is freed. The kernel clears every page of
it before it is used again: one step of full fine-tuning asks for gradients and temporaries of the whole model's size,
and a sixth of its time went there.
"""

import ctypes
import platform
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt(3)
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let this process keep what it frees, from now on; False where the C library is not glibc."""
    libc = _glibc()
    return libc is not None and bool(libc.mallopt(_MMAP_MAX, 0)) and bool(libc.mallopt(_TRIM_THRESHOLD, _NEVER))


def give_back() -> None:
    """Return what is free to the system, so that the next trial's peak is its own."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
