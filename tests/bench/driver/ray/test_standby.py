"""A worker that gets ready keeps its trial: one that is free takes another that waits."""

from types import SimpleNamespace
from typing import Any

import pytest

from finebench.bench.driver.ray.standby import MOST, Most, choose


class Controller(SimpleNamespace):
    """Ray Tune's, as far as it is looked at; `actors` by trial, `live` are those that have resources."""

    def __init__(self, actors: dict[str, str], live: set[str]) -> None:
        super().__init__(_trial_to_actor=actors, _max_pending_trials=2)
        self._actor_manager = SimpleNamespace(_live_actors_to_ray_actors_resources=live)

    def update_max_pending_trials(self, number: int) -> None:
        """As Ray's own."""
        self._max_pending_trials = number


def test_a_free_worker_takes_a_trial_whose_own_is_not_getting_ready() -> None:
    """Ray would throw away the worker that was being started on a node that has just joined."""
    there = Controller({"one": "a", "two": "b"}, {"a"})
    assert choose(SimpleNamespace(_tune_controller=there), ["one", "two"], 2) == "two"
    assert there._max_pending_trials == 3  # one more waits beside the one that has a worker to come
    assert choose(there, ["one"], 2) == "one"
    assert choose(there, [], 2) is None
    assert there._max_pending_trials == 2


def test_what_a_worker_has_had_before_goes_first() -> None:
    """Unless a worker of its own gets ready for it."""
    there = Controller({"two": "b"}, set())
    assert choose(there, ["one", "two", "three"], 2, lambda trial: trial in ("two", "three")) == "two"
    there = Controller({"two": "b"}, {"b"})
    assert choose(there, ["one", "two", "three"], 2, lambda trial: trial in ("two", "three")) == "three"
    assert choose(there, ["two"], 2, lambda trial: trial == "two") == "two"


def test_a_ray_without_what_is_looked_at_hands_workers_out_as_it_does() -> None:
    nothing: Any = object()
    assert choose(nothing, ["one", "two"], 2) == "one"
    assert choose(None, [], 2) is None


def test_as_many_trials_wait_as_there_are_cpus_also_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MOST, "auto")  # Ray's own word
    cpus = [1.0]
    most = Most(0.0, lambda: cpus[-1])
    assert most.number == 2
    for now, number in ((16.0, 16), (4.0, 16)):
        cpus.append(now)
        most.look()
        assert most.number == number
    assert Most(0.0, lambda: 1000.0).number == 64  # more are never free at the same moment


def test_for_an_autoscaler_as_many_wait_as_it_may_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it has."""
    monkeypatch.delenv(MOST, raising=False)
    cpus = [4.0]
    most = Most(300.0, lambda: cpus[-1])
    for now, number in ((4.0, 300), (299.0, 300), (300.0, 64), (100.0, 300)):
        cpus.append(now)
        most.look()
        assert most.number == number


def test_a_number_that_the_user_has_set_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MOST, "5")
    most = Most(32.0, lambda: 64.0)
    most.look()
    assert most.number == 5
