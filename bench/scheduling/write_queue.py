"""Finished work on its way into a store: a thread of its own writes all that waits, one batch after the other.

    queue = WriteQueue(write)
    queue.put(one)                 # at once, unless MOST wait
    for one in queue.take(): ...   # what has been written since; raises what went wrong

While a batch is written the next one gathers: the longer the store takes, the larger the batches, and the more it is
given in the same time.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 256
"""How many may wait; then handing another one over waits for them."""


class WriteQueue(Generic[T]):
    """In front of `write`, which gets them in the order of `put`, in one thread. Once it has raised, nothing more is
    written, and everything that is asked raises the same. All but `wait` is one thread's."""

    def __init__(self, write: Callable[[Sequence[T]], None], every: float = 0.0) -> None:
        """`every` is seconds from the start of one batch to that of the next, at least."""
        self._write, self._every, self._begun = write, every, -math.inf
        self._error: BaseException | None = None
        self._waiting, self._written, self._jobs = deque[T](), deque[T](), deque[Future[None]]()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="finebench-store")

    def put(self, one: T) -> None:
        """Hand one over; raises what went wrong with those before."""
        self._settle(MOST)
        self._waiting.append(one)
        self._jobs.append(self._pool.submit(self._write_waiting))

    def take(self) -> list[T]:
        """Those that have been written since; raises what went wrong."""
        self._settle(len(self._jobs))
        return [self._written.popleft() for _ in range(len(self._written))]

    def wait(self, seconds: float | None = None, everything: bool = False) -> None:
        """Return once the next batch, or everything that was handed over, is written or has gone wrong, or so many
        seconds have passed."""
        wait(list(self._jobs), seconds, ALL_COMPLETED if everything else FIRST_COMPLETED)

    @property
    def pending(self) -> bool:
        """Whether there is more than has been taken, or something went wrong."""
        return bool(self._jobs or self._written or self._error)

    def close(self) -> None:
        """Write nothing more but what is being written."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _settle(self, most: int) -> None:
        """Wait until at most so many wait; raises what went wrong, once all that was written before is taken."""
        while self._jobs and (len(self._jobs) > most or self._jobs[0].done()):
            wait([self._jobs[0]])
            self._jobs.popleft()
        if self._error is not None and not self._written:
            raise self._error

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        time.sleep(max(0.0, self._begun + self._every - time.monotonic()))
        self._begun = time.monotonic()
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if self._error is not None:
            return
        try:
            self._write(batch)
        except BaseException as error:  # raised in the thread that asks
            self._error = error
        else:
            self._written.extend(batch)
