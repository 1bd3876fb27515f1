"""Seeds, and how configurations are searched for."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from finebench.bench.study.parts.part import Part
from finebench.bench.study.parts.seeds import CONFIRM_BASE

FIRST_LOOK = 6
"""Seeds at the first of several looks, at least: pairs below which no claim gets a verdict."""


MOST_LOOKS = 20


class CrossedSeeds(Part):
    """Sources of randomness varied apart: every combination runs, so that variance can be shared out among them."""

    init: int = Field(default=1, ge=1, lt=CONFIRM_BASE)
    order: int = Field(default=1, ge=1, lt=CONFIRM_BASE)
    subset: int = Field(default=1, ge=1, lt=CONFIRM_BASE)


class UntilSettled(Part):
    """Seeds that come in waves, until the study's claims are settled: how many there are at each look, or at most.

    With `most`, each look has half as many seeds again as the one before.
    """

    looks: list[int] | None = None
    most: int | None = None
    until: Literal["settled"] = "settled"

    @model_validator(mode="after")
    def _growing(self) -> Self:
        if (self.looks is None) == (self.most is None):
            raise ValueError("seeds until settled are given by exactly one of looks and most")
        given = self.looks or [FIRST_LOOK, self.most or 0]
        if given[0] < FIRST_LOOK or any(b <= a for a, b in pairwise(given)) or given[-1] >= CONFIRM_BASE:
            raise ValueError(
                f"looks are growing numbers of seeds from {FIRST_LOOK} up, such as [6, 9, 14, 21, 30], and most is "
                f"above {FIRST_LOOK}; both stay below {CONFIRM_BASE}"
            )
        if len(given) > MOST_LOOKS:
            raise ValueError(f"{len(given)} looks are more than the {MOST_LOOKS} that are allowed")
        return self

    @property
    def schedule(self) -> tuple[int, ...]:
        """Seeds at each look."""
        if self.looks is not None:
            return tuple(self.looks)
        made, most = [FIRST_LOOK], self.most or FIRST_LOOK
        while (then := -(-3 * made[-1] // 2)) < most:
            made.append(then)
        return (*made, most)


Fresh = Annotated[int, Field(ge=0, lt=CONFIRM_BASE)] | UntilSettled
"""Seeds of a confirm stage."""


Default = Annotated[bool, Field(description="whether the method's default is rerun on the fresh seeds too")]


class GridSearch(Part):
    """Every point of every grid; with `confirm_seeds` the best and, if `confirm_default`, the default are rerun on
    fresh seeds."""

    confirm_seeds: Fresh = 0
    confirm_default: Default = True


class OptunaSearch(Part):
    """One Optuna study per cell: `trials` configurations, each told the mean over `seeds` seeds."""

    sampler: Literal["tpe", "random"] = "tpe"
    trials: int = Field(default=20, ge=1, le=100_000)
    seeds: int = Field(default=1, ge=1, lt=CONFIRM_BASE)
    confirm_seeds: Fresh = 5
    confirm_default: Default = True
    scheduler: Literal["none", "asha"] = "none"
    parallel: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = Field(
        default="auto", description="configurations of a cell under way at once; auto: what the machine has places for"
    )


class Search(Part):
    """Either a grid or an Optuna search."""

    grid: GridSearch | None = None
    optuna: OptunaSearch | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, raw: Any) -> Any:
        return {raw: {}} if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.grid is None) == (self.optuna is None):
            raise ValueError("search is exactly one of grid and optuna")
        return self

    @property
    def confirm_seeds(self) -> int:
        """Fresh seeds, at most, on which the chosen configurations are rerun; 0 where nothing is rerun."""
        return number_of(self.fresh)

    @property
    def confirm_default(self) -> bool:
        """Whether the default configuration is rerun beside the chosen one."""
        return (self.grid or self.optuna or GridSearch()).confirm_default

    @property
    def reruns(self) -> int:
        """Configurations that a confirm stage reruns in each cell: the best and the default, unless the best is it."""
        return 1 + self.confirm_default

    @property
    def fresh(self) -> int | UntilSettled:
        """The same as it is written."""
        return (self.grid or self.optuna or GridSearch()).confirm_seeds


def number_of(seeds: int | list[int] | UntilSettled) -> int:
    """How many seeds there are, at most."""
    if isinstance(seeds, UntilSettled):
        return seeds.schedule[-1]
    return len(seeds) if isinstance(seeds, list) else seeds
