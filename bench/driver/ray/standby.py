"""Which waiting trial a free worker takes: not one that a worker of its own is getting ready for; how many wait.

Ray Tune hands a worker that has ended its pack to the first trial that waits, and throws away the worker that was being
started for that trial (2.55 to 2.60). Where packs are shorter than a worker's start, a node that joins late would never
get one. What this looks at is no public interface: in a Ray without it, workers are handed out as Ray does by itself.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from finebench.bench.scheduling.retries import begun_first
from finebench.bench.scheduling.slots import ahead

MOST = "TUNE_MAX_PENDING_TRIALS_PG"
"""By which Ray Tune is told how many trials may wait; a number that the user has set there stands."""


class Most:
    """How many trials may wait: as many as workers may end together (bench.scheduling.slots), and one for each of the
    `places` that an autoscaler may bring while there are fewer CPUs, since what waits is what it sees of the work.

    Ray keeps a worker for reuse only while a trial waits for it. With one waiting (its default for a searcher), the
    second of two workers that end together is thrown away, and starting another costs several seconds.
    """

    def __init__(self, places: float, cpus: Callable[[], float]) -> None:
        said = os.environ.get(MOST, "")  # Ray's own word for no number is auto
        self._cpus, self._stands, self._places, self._ahead = cpus, said.isdecimal(), int(places), 0
        self.number = int(said) if self._stands else 0
        self.look()

    def look(self) -> None:
        """The cluster may have other CPUs than before."""
        if self._stands:
            return
        there = self._cpus()
        self._ahead = max(self._ahead, ahead(there))
        self.number = max(self._ahead, self._places if there < self._places else 0)


def starting(controller: Any, waiting: Sequence[Any]) -> set[Any]:
    """The trials that wait and for which a worker with resources of its own is getting ready."""
    actors = getattr(controller, "_trial_to_actor", {})
    live = getattr(getattr(controller, "_actor_manager", None), "_live_actors_to_ray_actors_resources", {})
    return {trial for trial in waiting if trial in actors and actors[trial] in live}


def choose(
    controller: Any, waiting: Sequence[Any], most: int, begun: Callable[[Any], bool] = lambda trial: False
) -> Any:
    """Of trials that wait and have no worker getting ready the oldest that was `begun` before, else the oldest; the
    oldest of all where each has one; None where none waits.

    `most` trials may wait beside those whose worker is getting ready, so that free workers find one.
    """
    controller = getattr(controller, "_tune_controller", controller)  # Ray hands schedulers a wrapper of it
    ready = starting(controller, waiting)
    widen = getattr(controller, "update_max_pending_trials", None)
    if widen is not None and getattr(controller, "_max_pending_trials", None) != most + len(ready):
        widen(most + len(ready))
    free = [trial for trial in waiting if trial not in ready] if ready else waiting
    return begun_first(free or waiting, begun) if waiting else None
