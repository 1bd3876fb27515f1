"""What the end of a sweep waits for."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from finebench.bench.driver.ray.ending import Ending
from finebench.bench.driver.ray.in_flight import InFlight


def recorder(notes: list[str]) -> Any:
    return SimpleNamespace(stopping=lambda: None, observer=SimpleNamespace(on_note=notes.append))


def in_flight(measures: str | None) -> InFlight:
    pack: Any = SimpleNamespace(measures=measures)
    return InFlight(pack, cast(Any, None), (cast(Any, "a trial"),), heard=1.0)


def test_a_worker_that_measures_is_not_waited_for() -> None:
    """It looks at no stop, and no trial loses anything with it."""
    notes: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        Ending(recorder(notes)).look([in_flight("packs")], time.monotonic())
    assert notes == []


def test_one_that_trains_is_waited_for_and_told_of() -> None:
    notes: list[str] = []
    ending, now = Ending(recorder(notes)), time.monotonic()
    running = [in_flight("packs"), in_flight(None)]
    ending.look(running, now)
    with pytest.raises(KeyboardInterrupt):
        ending.look(running, now + 1000)
    assert notes == ["1 trials did not answer; they go on from an older checkpoint, where there is one"]
