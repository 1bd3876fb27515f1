"""A study replayed on slots: by hand, whole, and full to the end."""

from typing import Any

import numpy as np
import pytest

from finebench.bench.scheduling.simulation.clock import Node, Simulated, Site, alike, simulate
from finebench.bench.scheduling.simulation.simulated_plan import planned
from finebench.bench.study.plan import Plan
from tests.bench.tiny import tiny_study
from tests.benchmarks.slots import replay, site


class Draws:
    """In place of a generator: slots in their order, and nodes that are taken away at known times."""

    def __init__(self, *gaps: float) -> None:
        self.gaps = list(gaps)

    def permutation(self, number: int) -> range:
        """In order."""
        return range(number)

    def exponential(self, mean: float) -> float:
        """The next gap; after the last one nothing is taken away."""
        return self.gaps.pop(0) if self.gaps else 1e9


def replayed(where: Site, seconds: float = 60.0, draw: Any = None, **changes: Any) -> Simulated:
    plan = Plan(tiny_study(**{"methods": {"full": {"lr": [1e-3]}}} | changes))
    found = simulate(
        planned(plan, dict.fromkeys(plan.cells(), seconds), where.slots), lambda trial: seconds, where, draw or Draws()
    )
    if not plan.study.waves:
        assert found.trials == plan.count()
    return found


def test_rounds_of_trials_and_the_start_of_workers() -> None:
    """Five trials of a minute on two slots are three rounds, after seven seconds."""
    found = replayed(alike(2), seeds=5)
    assert found == Simulated(seconds=7 + 3 * 60, bound=150, busy=pytest.approx(300 / 374), trials=5, lost=0)


def test_a_slow_node_takes_fewer_trials() -> None:
    """Of six minutes a node of full speed trains four; the bound is what both do together."""
    found = replayed(Site((Node(1), Node(1, 0.5)), start=0.0), seeds=6)
    assert (found.seconds, found.bound, found.busy) == (240, 240, 1)
    assert replayed(Site((Node(1), Node(1, 0.5)), start=0.0), seeds=2).bound == 120  # as long as one of a slow node


def test_a_lost_nodes_trial_goes_on_from_its_checkpoint() -> None:
    """Taken away after 50 s, there again after 10 more: of 20 s since the checkpoint nothing is left."""
    where = Site((Node(1),), preempted=1.0, away=10.0, start=5.0, checkpoint=30.0)
    found = replayed(where, draw=Draws(5 + 50.0))
    assert (found.seconds, found.lost, found.trials) == (5 + 50 + 10 + 5 + 30, 1, 1)
    assert found.busy == pytest.approx(60 / 100)


def test_what_was_begun_goes_before_what_waits() -> None:
    """Two slots, four trials: what the lost node had is ended before the last one begins."""
    where = Site((Node(1), Node(1)), preempted=1.0, away=1e6, start=0.0)
    found = replayed(where, seeds=4, draw=Draws(45.0, 1e9))
    assert found.seconds == 60 + 30 + 60 + 60


@pytest.mark.parametrize(
    "search",
    [
        {"grid": {"confirm_seeds": 3}},
        {"optuna": {"trials": 5, "seeds": 2, "confirm_seeds": 2, "sampler": "random"}},
        {"optuna": {"trials": 5, "seeds": 2, "confirm_seeds": 0, "parallel": 1}},
    ],
)
def test_every_stage_of_a_search_is_part_of_it(search: dict[str, Any]) -> None:
    """A default that is no grid point, so that a confirm stage has two configurations."""
    assert replayed(alike(4), search=search, methods={"full": {"lr": [3e-3, 4e-3]}}).lost == 0


def test_one_configuration_at_a_time_keeps_one_slot_busy() -> None:
    """A search with `parallel: 1` in one cell: four configurations of two seeds each."""
    search = {"optuna": {"trials": 4, "seeds": 2, "confirm_seeds": 0, "parallel": 1}}
    methods = {"full": {"lr": {"loguniform": [1e-4, 1e-2]}}}
    assert replayed(Site((Node(8),), start=0.0), search=search, methods=methods).seconds == 4 * 2 * 60


def test_waves_wait_for_each_other() -> None:
    """Six seeds, a look, and three more."""
    claim = {"id": "c", "says": "better", "a": "full", "b": "bitfit"}
    methods = {"full": {"lr": [1e-3]}, "bitfit": {"lr": [1e-3]}}
    changes = {"seeds": {"looks": [6, 9]}, "claims": [claim], "methods": methods}
    found = replayed(Site((Node(16),), start=0.0), **changes)
    assert (found.seconds, found.trials) == (120, 18)


@pytest.mark.parametrize("slots", [1, 3, 30, 100, 300, 400, 500, 662, 1000])
def test_slots_stay_full_to_the_end(slots: int) -> None:
    """doering2024 on nodes of two speeds of which one in twenty is taken away each hour: within 10 %."""
    found = replay(site(slots, slow=0.5, preempted=0.05), draw=slots)
    assert found.trials == 1728
    assert found.seconds <= 1.1 * found.bound


@pytest.mark.slow
def test_slots_stay_full_whatever_their_number_and_speeds() -> None:
    """From 1 to 1,000, and slow nodes from a third to nearly the speed of the others."""
    draw = np.random.default_rng(18)
    for slots in [*range(1, 21), *draw.integers(21, 1001, size=60)]:
        where = site(int(slots), slow=float(draw.uniform(0.33, 0.95)), preempted=0.05)
        found = replay(where, draw=int(slots))
        assert found.seconds <= 1.1 * found.bound, where


def test_breadth_first_to_the_end_would_leave_slots_idle() -> None:
    """What the order's end is for."""
    where = site(300, slow=0.5, preempted=0.05)
    before, now = replay(where, draw=1, breadth_first=True), replay(where, draw=1)
    assert before.seconds > 1.3 * before.bound
    assert now.seconds <= 1.1 * now.bound
