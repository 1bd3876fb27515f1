"""A claim of a study."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.claim_kinds import KINDS, ClaimKind, kind
from finebench.bench.study.parts.part import Part
from finebench.bench.util.errors import LONGEST_NAME, NAME, choose, shown

COSTS = (
    "trainable_params", "encoder_params", "delta_bytes", "train_seconds", "peak_memory_bytes", "train_flops",
    "energy_joules",
)  # fmt: skip
"""What a claim that says `cheaper` can be about; seconds of training where it does not say."""


class Claim(Part):
    """A sentence the study exists to test; the report gives it a verdict. Further keys are those of its kind alone."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})

    id: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    says: str
    a: str
    b: str | None = None
    fraction: float | None = Field(default=None, gt=0, le=1)
    budget: Budget | None = None
    margin: float | None = None
    factor: float | None = None
    cost: str | None = None
    over: Literal["seeds", "lr"] = "seeds"
    tasks: Literal["all", "pooled"] | Annotated[list[str], Field(min_length=1)] = "all"
    given: Literal["not_collapsed"] | None = None
    scale: Literal["points", "gain"] = "points"
    note: str | None = None

    @field_validator("says")
    @classmethod
    def _known(cls, says: str) -> str:
        return kind(says).says

    @field_validator("tasks")
    @classmethod
    def _once(cls, tasks: str | list[str]) -> str | list[str]:
        twice = [one for one in tasks if tasks.count(one) > 1] if isinstance(tasks, list) else []
        if twice:
            raise ValueError(f"{shown(twice[0])} stands there twice")
        return tasks

    @field_validator("margin", "factor", mode="before")
    @classmethod
    def _positive(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise ValueError(f"{info.field_name} is a number above 0")
        return value

    @model_validator(mode="after")
    def _further(self) -> Self:
        """A key that is neither a claim's nor its kind's is none."""
        further = self.kind.more.model_fields
        known = (*type(self).model_fields, *further)
        wrong = [key for key in self.model_extra or {} if key not in further]
        if wrong:
            raise ValidationError.from_exception_data(
                "claim",
                [{"type": "value_error", "input": key, "ctx": {"error": choose("key", key, known)}} for key in wrong],
            )
        self.kind.more.model_validate(
            self.model_extra or {}
        )  # what it raises is worded with the study's other findings
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [key for key in self.kind.needs if getattr(self, key) is None]
        if missing:
            raise ValueError(f"a claim that says {self.says!r} needs {' and '.join(missing)}")
        wrong = [key for key, has in (("scale", self.scale == "gain"), ("given", self.given)) if has]
        if self.kind.may_be_given(self) and wrong == ["given"]:
            return self
        if wrong and not self.kind.of_means:
            means = ", ".join(name for name, one in KINDS.items() if one.of_means)
            raise ValueError(f"a claim that says {self.says!r} has no {wrong[0]}; it is for {means}")
        return self

    @property
    def own(self) -> Part:
        """The further keys of its kind, with their defaults."""
        return self.kind.more.model_validate(self.model_extra or {})

    @property
    def kind(self) -> ClaimKind:
        """What kind of claim it is."""
        return kind(self.says)
