"""Importing large libraries without Python's cyclic garbage collector.

Loading modules makes hundreds of thousands of objects that stay, and the collector walks through them again and again.
Without, torch, transformers and peft import in 4.7 CPU seconds instead of 5.5 (medians of three in turn), and by a
larger factor on a machine that is busy: `python -m tests.benchmarks.workarounds --only collector`.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect nothing inside the block, and never look again at what is there at its end.

    That is mostly modules, which stay until the process ends anyway; a cycle that is garbage by then stays too. So this
    is for imports that a process does once.
    """
    if not gc.isenabled():  # inside another such block
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
