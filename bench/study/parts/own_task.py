"""A task of the user's own: files or a data set of the hub, columns, metrics."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from finebench.bench.study.parts.part import Part
from finebench.bench.util.errors import LONGEST_NAME, NAME


class DataFiles(Part):
    """The user's own files, one per split."""

    train: str
    validation: str


class DataSplit(Part):
    """One file of the user's own, of whose rows a share is held out; rows of one group stay on one side."""

    file: str
    validation: float = Field(gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    group: str | None = None


class DataHub(Part):
    """A data set of the hub, and the names of its splits; or the share of the train split's rows that is held out."""

    hub: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    config: str | None = None
    revision: str | None = None
    train: str = "train"
    validation: str | float = "validation"
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    group: str | None = None

    @model_validator(mode="after")
    def _share(self) -> Self:
        if isinstance(self.validation, float) and not 0 < self.validation < 1:
            raise ValueError(f"validation is the name of a split, or a share between 0 and 1, not {self.validation:g}")
        if isinstance(self.validation, str) and (self.seed, self.group) != (None, None):
            key = "group" if self.seed is None else "seed"
            raise ValueError(f"{key} is for a share that is held out, e.g. validation: 0.2")
        return self


DATA: dict[str, type[Part]] = {"two files": DataFiles, "one file": DataSplit, "the hub": DataHub}
"""Ways of giving a task its data, by the names under which Pydantic's findings speak of them."""


def _data(value: Any) -> str:
    keys = value if isinstance(value, Mapping) else type(value).model_fields if isinstance(value, Part) else ()
    return "the hub" if "hub" in keys else "one file" if "file" in keys else "two files"


OwnData = Annotated[
    Annotated[DataFiles, Tag("two files")] | Annotated[DataSplit, Tag("one file")] | Annotated[DataHub, Tag("the hub")],
    Discriminator(_data),
]


def as_list(value: Any) -> Any:
    """One stands for a list of one."""
    return value if isinstance(value, list) else [value]


class OwnTask(Part):
    """A task of the user's own."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME)
    data: OwnData
    text: Annotated[list[str], BeforeValidator(as_list), Field(min_length=1, max_length=2)]
    label: str
    metric: Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
