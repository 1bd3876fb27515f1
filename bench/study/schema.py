"""The study file's model: what to run, closed to unknown keys, checked whole before anything starts.

`bench.study.load` reads YAML into it; `bench.study.plan` expands it into cells and trials.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
)

from finebench.bench.study.parts.budget import Budget, parse_duration
from finebench.bench.study.parts.claim import Claim
from finebench.bench.study.parts.own_task import OwnTask, as_list
from finebench.bench.study.parts.part import Part
from finebench.bench.study.parts.search import CrossedSeeds, GridSearch, Search, UntilSettled
from finebench.bench.study.parts.seeds import CONFIRM_BASE
from finebench.bench.study.parts.training import Resources, Select, Training
from finebench.bench.util.errors import LONGEST_NAME, NAME


class StoredPlugin(Part):
    """A plugin as a study stores it: the file's name, and a hash of its text."""

    file: str
    hash: str = Field(pattern=r"^[0-9a-f]{16}$")


def _entry(value: Any) -> str:
    return "own" if isinstance(value, Mapping | OwnTask) else "built-in"


TaskEntry = Annotated[Annotated[str, Tag("built-in")] | Annotated[OwnTask, Tag("own")], Discriminator(_entry)]


class Study(Part):
    """A whole study, frozen. Spaces are kept as written; `bench.study.load.check` has validated them."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    model: str = Field(default="embedded", min_length=1)
    tasks: list[TaskEntry] = Field(min_length=1)
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    fractions: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = Field(default=[1.0])
    seeds: int | list[int] | CrossedSeeds | UntilSettled = 5
    budget: Annotated[list[Budget], BeforeValidator(as_list), Field(min_length=1)]
    search: Search = Search(grid=GridSearch())
    select: Select = Select()
    training: Training = Training()
    resources: Resources = Resources()
    trial_timeout: float = 3600.0
    retries: int = Field(default=2, ge=0, le=100)
    claims: list[Claim] = Field(default=[])
    plugins: list[StoredPlugin] = Field(default=[])

    @field_validator("trial_timeout", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> float:
        return parse_duration(value)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        parts = (CrossedSeeds, UntilSettled)
        if isinstance(value, Mapping) and all(value.keys() & part.model_fields for part in parts):
            raise ValueError("either {init: n, order: n, subset: n} or {most: 30, until: settled} is needed, not both")
        if isinstance(value, UntilSettled) or (isinstance(value, Mapping) and value.keys() & UntilSettled.model_fields):
            return UntilSettled.model_validate(value)
        if isinstance(value, Mapping | CrossedSeeds):
            return CrossedSeeds.model_validate(value)
        named = value if isinstance(value, list) else [value]
        whole = all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one < CONFIRM_BASE for one in named)
        if not whole or not named or len(set(named)) < len(named):
            raise ValueError(
                f"a number from 1 to {CONFIRM_BASE - 1}, a list of different ones (e.g. [3, 7, 11]), "
                f"{{init: n, order: n, subset: n}}, or {{most: 30, until: settled}}"
            )
        return value

    @property
    def waves(self) -> UntilSettled | None:
        """The seeds that come in waves, the study's or the confirm stage's; None where none do."""
        if isinstance(self.search.fresh, UntilSettled):
            return self.search.fresh
        return self.seeds if isinstance(self.seeds, UntilSettled) else None

    @property
    def task_names(self) -> list[str]:
        """Names of all tasks, in order."""
        return [entry if isinstance(entry, str) else entry.name for entry in self.tasks]
