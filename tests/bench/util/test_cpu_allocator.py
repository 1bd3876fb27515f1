"""Memory that training frees stays with the process from step to step, and leaves it between trials."""

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="how glibc keeps memory")

COUNTED = """
import ctypes, json, resource, sys
from pathlib import Path
from finebench.bench.util import cpu_allocator

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

MIB = 2**20
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def cache(): return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB
def step():
    memory = libc.malloc(48 * MIB)
    libc.memset(memory, 1, 48 * MIB)
    libc.free(memory)

kept = sys.argv[1] == "kept" and cpu_allocator.keep_freed_memory()
step()
before = faults()
for _ in range(5):
    step()
counted, held = (faults() - before) * resource.getpagesize() / MIB, cache()
cpu_allocator.give_back()
print(json.dumps({"kept": kept, "cleared": counted, "given_back": held - cache()}))
"""


def count(how: str) -> dict[str, float]:
    """In a process of its own: MiB that the kernel cleared over five steps of 48 MiB, MiB that were given back."""
    done = subprocess.run([sys.executable, "-c", COUNTED, how], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_a_steps_memory_is_cleared_once_and_given_back_at_the_end() -> None:
    kept, usual = count("kept"), count("usual")
    assert kept["kept"]
    assert not usual["kept"]
    assert usual["cleared"] > 5 * 48 * 0.9
    assert kept["cleared"] < 5
    assert kept["given_back"] > 40
