"""Ray Tune's keeper of workers, changed in one point: whatever Ray says of a lost worker is an error of its trial.

Ray's own (up to 2.60 at least) knows the errors of an actor and of its code. For any other, such as the memory
monitor's OutOfMemoryError, it raises, which ends the whole experiment with all of its trials.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError

from finebench.bench.driver.ray.ray_parts import needed, part

_CONTROLLER, _KEEPERS = "ray.tune.execution.tune_controller", "ray.air.execution._internal"
_WHY = "by which a lost worker ends its trial and not the run"


def _patient(keeper: Any) -> Any:
    """Ray's keeper of workers, made to take every error of Ray's for the loss of the worker."""

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        keeper._actor_task_failed(self, tracked_actor_task, exception)

    return type("PatientActorManager", (keeper,), {"_actor_task_failed": failed})


@contextmanager
def losses_are_outcomes() -> Iterator[None]:
    """Let experiments that begin here use it; raises InputError where this Ray has no place for it."""
    needed(_KEEPERS, "RayActorManager", "_actor_task_failed", why=_WHY)
    before = needed(_CONTROLLER, "RayActorManager", why=_WHY)
    controller = part(_CONTROLLER)  # which makes one for each experiment
    controller.RayActorManager = _patient(before)
    try:
        yield
    finally:
        controller.RayActorManager = before
