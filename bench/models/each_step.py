"""What a method wants of the training loop at every step: a term of the loss, a call after the update.

    attach(model, calls)         # a method's `apply`, where it inserts something that wants it
    calls = calls_of(model)      # the training loop; None for most models

Runs whose models have such calls are trained alone, never in packs.
"""

from typing import Protocol

from torch import Tensor, nn

_NAME = "_finebench_each_step"

EARLY = 1_000_000_000
"""Steps of a run whose first ones are measured or tried, where no run is under way."""


class StepCalls(Protocol):
    """What the training loop calls, in this order: `begin` once, then at each step the others."""

    read: frozenset[str]
    """The method's options that only this schedule reads."""

    def begin(self, steps: int) -> None:
        """A run of so many steps begins, or goes on."""

    def penalty(self) -> Tensor | None:
        """A term to add to the loss, from the state of the last forward pass; a scalar."""

    def before(self) -> None:
        """Gradients are there; those of what rests may be dropped."""

    def after(self, step: int) -> None:
        """The optimiser has taken step `step` (1-based), and gradients are still there."""

    def state(self) -> dict[str, Tensor]:
        """All that later calls rest on, beside the trained tensors."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`; raises ValueError where it does not fit, and then has changed nothing."""

    def rehearse(self, calls: int) -> list[int]:
        """Begin a run that is nothing but a trial of the schedule; returns the numbers of the steps to take."""


def attach(model: nn.Module, calls: StepCalls) -> None:
    """Let the training loop make these calls for a model."""
    setattr(model, _NAME, calls)


def calls_of(model: nn.Module) -> StepCalls | None:
    """The calls that a model wants, or None."""
    found: StepCalls | None = getattr(model, _NAME, None)
    return found
