"""RESULTS/plan.json, read with suspicion: what was planned, and on which data and model."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from finebench.bench.study.findings import sentences
from finebench.bench.util.errors import ResultsError

MAX_BYTES = 256 * 2**20


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)  # keys that we do not know are another version's


class _Cell(_Part):
    task: str
    method: str
    fraction: float = Field(gt=0, le=1)
    budget: str
    stage: str
    planned: int = Field(ge=0, lt=2**53)
    configurations: int | None = Field(default=None, ge=0, lt=2**53)
    beyond: list[str] = []


class _Identities(_Part):
    training_version: int
    model: str
    tasks: dict[str, str]
    methods: dict[str, int]
    ranks: dict[str, Annotated[int, Field(ge=2, lt=2**31)]] = {}
    """On how many ranks each method trains that does so on several."""
    in_shards: list[str] = []
    """Those of them whose model is divided too."""


class _Task(_Part):
    """What bench.data.facts says of a task's data."""

    train_rows: int = Field(ge=0)
    score_rows: int = Field(ge=0)
    classes: list[str]
    train_counts: list[int]
    score_counts: list[int]
    positive: str | None = None
    notes: list[str] = []

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if not len(self.classes) == len(self.train_counts) == len(self.score_counts):
            raise ValueError("each class needs its rows in both splits")
        return self


class _Plan(_Part):
    cells: list[_Cell]
    study: str | None = None
    data: str | None = None
    model_folder: str | None = None
    precision: Literal["fp32", "bf16"] | None = None
    identities: list[_Identities] = []
    tasks: dict[str, _Task] = {}
    looks: list[list[int]] = []
    """Each schedule under which the claims were looked at, of seeds in waves."""
    asked: list[str] = []
    """A digest of what each of those looks was of: the claims, and what decides their configurations."""
    shards: list[Annotated[str, Field(pattern=r"^\d{1,9}/\d{1,9}$")]] = []
    """Which parts of the study were run into this folder, where that was not all of it."""
    copying: list[str] = []
    """Those of them that a merge has begun to copy, and has not told the end of."""
    parallel: dict[str, Annotated[int, Field(ge=1, lt=2**31)]] = {}


def parse_plan(data: bytes, where: str) -> dict[str, Any]:
    """The plan as a dictionary of known types; raises ResultsError naming file and key."""
    try:
        return _Plan.model_validate(json.loads(data)).model_dump()
    except ValidationError as error:
        raise ResultsError(f"{where}: {sentences(error)[0]}") from error
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{where}: not valid JSON: {error}") from error
