"""Ray Tune's keeper of workers, changed in one point: whatever Ray says of a lost worker is an error of its trial.

Ray's own (up to 2.60 at least) knows the errors of an actor and of its code. For any other, such as the memory
monitor's OutOfMemoryError, it raises, which ends the whole experiment with all of its trials.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller


class Actors(RayActorManager):
    """Takes every error of Ray's for the loss of the worker."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        super()._actor_task_failed(tracked_actor_task, exception)


@contextmanager
def losses_are_outcomes() -> Iterator[None]:
    """Let experiments that begin here use it."""
    controller: Any = tune_controller  # which makes one for each experiment
    before = controller.RayActorManager
    controller.RayActorManager = Actors
    try:
        yield
    finally:
        controller.RayActorManager = before
