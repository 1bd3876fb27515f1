"""What is handed over is written in order, many together; what goes wrong is raised where it is asked for."""

import threading
from collections.abc import Sequence

import pytest

from finebench.bench.scheduling import write_queue
from finebench.bench.scheduling.write_queue import WriteQueue


class Door:
    """A store that writes nothing before it is opened."""

    def __init__(self) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []
        self.fails_at: int | None = None

    def write(self, batch: Sequence[int]) -> None:
        """Wait for the door; raise where the batch holds what fails."""
        self.entered.set()
        assert self.opened.wait(30)
        if self.fails_at in batch:
            raise OSError(28, "No space left on device")
        self.batches.append(list(batch))


def failed(at: int) -> tuple[Door, WriteQueue[int]]:
    """A queue to which 0 and then 1 have been handed over, in a batch each, of which one has failed."""
    door = Door()
    door.fails_at = at
    queue = WriteQueue[int](door.write)
    queue.put(0)
    assert door.entered.wait(30)
    queue.put(1)
    door.opened.set()
    queue.wait(30, everything=True)
    return door, queue


def test_what_waits_is_written_together_and_in_order() -> None:
    door = Door()
    queue = WriteQueue[int](door.write)
    queue.put(0)
    assert door.entered.wait(30)
    for number in range(1, 6):
        queue.put(number)
    assert queue.take() == []
    assert queue.pending
    door.opened.set()
    queue.wait(30, everything=True)
    assert queue.take() == list(range(6))
    assert door.batches == [[0], [1, 2, 3, 4, 5]]
    assert not queue.pending
    queue.close()


def test_one_that_fails_is_raised_whenever_it_is_asked_and_nothing_is_written_after_it() -> None:
    door, queue = failed(at=0)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            queue.take()
    with pytest.raises(OSError, match="No space left"):
        queue.put(2)
    assert queue.pending
    assert door.batches == []
    queue.close()


def test_what_was_written_before_something_failed_can_be_taken_first() -> None:
    _, queue = failed(at=1)
    assert queue.take() == [0]
    with pytest.raises(OSError, match="No space left"):
        queue.take()
    queue.close()


def test_more_than_it_holds_waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "MOST", 3)
    door = Door()
    queue = WriteQueue[int](door.write)
    for number in range(4):
        queue.put(number)
    more = threading.Thread(target=queue.put, args=(4,))
    more.start()
    more.join(0.2)
    assert more.is_alive()
    door.opened.set()
    more.join(30)
    assert not more.is_alive()
    queue.wait(30, everything=True)
    assert queue.take() == list(range(5))
    queue.close()


def test_closed_it_writes_nothing_more_but_what_it_is_writing() -> None:
    door = Door()
    queue = WriteQueue[int](door.write)
    queue.put(0)
    assert door.entered.wait(30)
    queue.put(1)
    queue.close()
    door.opened.set()
    queue.wait(30)
    assert [number for batch in door.batches for number in batch] == [0]


def test_batches_come_apart_by_as_much_as_is_said() -> None:
    """The first at once, and all that is handed over until the second with it."""
    door = Door()
    door.opened.set()
    queue = WriteQueue[int](door.write, 2.0)
    queue.put(0)
    queue.wait(30)
    assert queue.take() == [0]
    for number in range(1, 10):
        queue.put(number)
    queue.wait(30, everything=True)
    assert door.batches == [[0], list(range(1, 10))]
    queue.close()
