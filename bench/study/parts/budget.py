"""How long a trial trains: epochs with a floor of steps, steps, seconds, or FLOPs."""

import json
import math
import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

UNITS = ("epochs", "steps", "seconds", "flops")


class Budget(BaseModel):
    """Exactly one of epochs, steps, seconds and FLOPs; `min_steps` is a floor for epochs.

    Fixed epochs on little data starve slow learners, so a study of data fractions sets `min_steps` or counts in steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    epochs: float | None = Field(default=None, gt=0, le=10_000)
    min_steps: int | None = Field(default=None, gt=0, le=100_000_000)
    steps: int | None = Field(default=None, gt=0, le=100_000_000)
    seconds: float | None = Field(default=None, gt=0, le=10_000_000)
    flops: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        given = [unit for unit in UNITS if getattr(self, unit) is not None]
        if len(given) != 1:
            raise ValueError(f"a budget has exactly one of {', '.join(UNITS)}; got {', '.join(given) or 'none'}")
        if self.min_steps is not None and self.epochs is None:
            raise ValueError("min_steps goes with epochs only")
        return self

    @property
    def canonical(self) -> str:
        """JSON with sorted keys and without what is not set: what stands in the `budget` column."""
        return json.dumps(self.model_dump(exclude_none=True), sort_keys=True)

    @property
    def fixed(self) -> bool:
        """Whether the number of steps follows from the data alone (epochs or steps)."""
        return self.epochs is not None or self.steps is not None

    def to_steps(
        self,
        n_fit: int,
        batch_size: int,
        *,
        steps_per_second: float = 0.0,
        flops_per_step: float = 0.0,
        flops_before: float = 0.0,
    ) -> int:
        """Optimiser steps of a trial with `n_fit` examples; a seconds budget needs `steps_per_second` (a calibration),
        a FLOP budget `flops_per_step`, and `flops_before` the first one where work comes before it."""
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return max(math.ceil(self.epochs * math.ceil(n_fit / batch_size)), self.min_steps or 1)
        if self.seconds is not None:
            if steps_per_second <= 0:
                raise ValueError("a seconds budget needs a calibration")
            return max(1, math.floor(self.seconds * steps_per_second))
        if flops_per_step <= 0 or self.flops is None:
            raise ValueError("a FLOP budget needs the FLOPs of one step")
        return max(1, math.floor((self.flops - flops_before) / flops_per_step))


def budget_words(canonical: str) -> str:
    """A budget in words, e.g. "epochs 3, min_steps 200"; a stranger's text that is no budget stays as it is."""
    try:
        return ", ".join(f"{unit} {amount:g}" for unit, amount in json.loads(canonical).items())
    except (ValueError, AttributeError, TypeError):
        return canonical


_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d)?$")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def parse_duration(value: object) -> float:
    """Seconds of "90s", "30m", "1h", "2d" or a plain number of seconds; raises ValueError."""
    match = (
        _DURATION.match(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    )
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"a duration is a positive number with s, m, h or d, e.g. 90s or 1h; got {value!r}")
    return float(match[1]) * _SECONDS[match[2]]
