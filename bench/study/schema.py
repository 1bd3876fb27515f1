"""The study file's model: what to run, closed to unknown keys, checked whole before anything starts.

`bench.study.load` reads YAML into it; `bench.study.plan` expands it into cells and trials.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from finebench.bench.methods import TUNABLE
from finebench.bench.study.budget import Budget, parse_duration
from finebench.bench.study.claim_kinds import KINDS, ClaimKind, kind
from finebench.bench.study.schedules import schedule
from finebench.bench.study.seeds import CONFIRM_BASE
from finebench.bench.util.errors import StudyError

FIRST_LOOK = 6
"""Seeds at the first of several looks, at least: pairs below which no claim gets a verdict."""

MOST_LOOKS = 20

MOST_IN_PACK = 64
"""Trials that one process may train together: each adds its own trained tensors and optimiser."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Training(_Part):
    """How every trial trains, whatever the method."""

    batch_size: int = Field(default=16, gt=0, le=4096, description="examples per optimiser step")
    max_length: int = Field(default=128, ge=8, le=8192, description="longest input in tokens (or the model's limit)")
    warmup: float = Field(default=0.06, ge=0, le=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's, not on biases and norms")
    schedule: str = Field(default="linear", description="of the learning rate after its warm-up")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where all GPUs of a run compute it in hardware, else fp32 (bench.study.precision)."""
    evals: int = Field(default=10, gt=0, le=1000, description="evaluations during training, evenly spaced")
    max_grad_norm: float = Field(default=1.0, gt=0, description="gradients are clipped to this norm")
    micro_batch: int | None = Field(default=None, gt=0, description="examples in memory at a time; same gradients")
    checkpointing: bool = Field(default=False, description="compute activations again instead of keeping them")
    class_weights: Literal["balanced"] | list[Annotated[float, Field(gt=0)]] | None = Field(
        default=None, description="in the loss: balanced (by how rare a class is), or one for each class"
    )

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, given: str) -> str:
        try:
            return schedule(given).name
        except StudyError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _smaller(self) -> Self:
        if self.micro_batch is not None and self.micro_batch >= self.batch_size:
            raise ValueError(f"micro_batch {self.micro_batch} is no part of a batch of {self.batch_size}; leave it out")
        return self


def split_point(point: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration as the method's own hyperparameters, and the training options tuned with them."""
    options = {name: point[name] for name in TUNABLE if name in point}
    return {name: value for name, value in point.items() if name not in TUNABLE}, options


class Select(_Part):
    """What part of the drawn training rows is kept for choices."""

    fraction: float = Field(default=0.1, gt=0, lt=1)
    at_least: int = Field(default=50, gt=0)
    scale: bool = True


class Resources(_Part):
    """What one trial gets: CPUs, a share of a GPU, and how many trials are trained together (both auto: measured)."""

    cpu: float = Field(default=1, gt=0)
    gpu: float | Literal["auto"] = "auto"
    pack: int | Literal["auto"] = "auto"

    @field_validator("gpu")
    @classmethod
    def _share(cls, gpu: float | str) -> float | str:
        if isinstance(gpu, float | int) and (gpu < 0 or (gpu > 1 and gpu != int(gpu))):
            raise ValueError("gpu is auto, 0, a share between 0 and 1, or a whole number of GPUs")
        return gpu

    @field_validator("pack")
    @classmethod
    def _pack(cls, pack: int | str) -> int | str:
        if isinstance(pack, int) and not 1 <= pack <= MOST_IN_PACK:
            raise ValueError(f"pack is auto, or how many trials are trained together, from 1 to {MOST_IN_PACK}")
        return pack


class CrossedSeeds(_Part):
    """Sources of randomness varied apart: every combination runs, so that variance can be shared out among them."""

    init: int = Field(default=1, ge=1, lt=CONFIRM_BASE)
    order: int = Field(default=1, ge=1, lt=CONFIRM_BASE)
    subset: int = Field(default=1, ge=1, lt=CONFIRM_BASE)


class UntilSettled(_Part):
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


class GridSearch(_Part):
    """Every point of every grid; with `confirm_seeds` the best and the default point are rerun on fresh seeds."""

    confirm_seeds: Fresh = 0


class OptunaSearch(_Part):
    """One Optuna study per cell: `trials` configurations, each told the mean over `seeds` seeds."""

    sampler: Literal["tpe", "random"] = "tpe"
    trials: int = Field(default=20, ge=1, le=100_000)
    seeds: int = Field(default=1, ge=1, lt=CONFIRM_BASE)
    confirm_seeds: Fresh = 5
    scheduler: Literal["none", "asha"] = "none"
    parallel: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = Field(
        default="auto", description="configurations of a cell under way at once; auto: what the machine has places for"
    )


class Search(_Part):
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
    def fresh(self) -> int | UntilSettled:
        """The same as it is written."""
        return (self.grid or self.optuna or GridSearch()).confirm_seeds


def number_of(seeds: int | list[int] | UntilSettled) -> int:
    """How many seeds there are, at most."""
    if isinstance(seeds, UntilSettled):
        return seeds.schedule[-1]
    return len(seeds) if isinstance(seeds, list) else seeds


class DataFiles(_Part):
    """The user's own files, one per split."""

    train: str
    validation: str


class DataSplit(_Part):
    """One file of the user's own, of whose rows a share is held out; rows of one group stay on one side."""

    file: str
    validation: float = Field(gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    group: str | None = None


class DataHub(_Part):
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


DATA: dict[str, type[_Part]] = {"two files": DataFiles, "one file": DataSplit, "the hub": DataHub}
"""Ways of giving a task its data, by the names under which Pydantic's findings speak of them."""


def _data(value: Any) -> str:
    keys = value if isinstance(value, Mapping) else type(value).model_fields if isinstance(value, _Part) else ()
    return "the hub" if "hub" in keys else "one file" if "file" in keys else "two files"


OwnData = Annotated[
    Annotated[DataFiles, Tag("two files")] | Annotated[DataSplit, Tag("one file")] | Annotated[DataHub, Tag("the hub")],
    Discriminator(_data),
]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class OwnTask(_Part):
    """A task of the user's own."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    data: OwnData
    text: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1, max_length=2)]
    label: str
    metric: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]


COSTS = (
    "trainable_params", "encoder_params", "delta_bytes", "train_seconds", "peak_memory_bytes", "train_flops",
    "energy_joules",
)  # fmt: skip
"""What a claim that says `cheaper` can be about; seconds of training where it does not say."""


class Claim(_Part):
    """A sentence the study exists to test; the report gives it a verdict."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    says: str
    a: str
    b: str | None = None
    fraction: float | None = Field(default=None, gt=0, le=1)
    budget: Budget | None = None
    margin: float | None = None
    factor: float | None = None
    cost: str | None = None
    over: Literal["seeds", "lr"] = "seeds"
    tasks: Literal["all", "pooled"] | list[str] = "all"
    given: Literal["not_collapsed"] | None = None
    scale: Literal["points", "gain"] = "points"
    note: str | None = None

    @field_validator("says")
    @classmethod
    def _known(cls, says: str) -> str:
        return kind(says).says

    @field_validator("margin", "factor", mode="before")
    @classmethod
    def _positive(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise ValueError(f"{info.field_name} is a number above 0")
        return value

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
    def kind(self) -> ClaimKind:
        """What kind of claim it is."""
        return kind(self.says)


class StoredPlugin(_Part):
    """A plugin as a study stores it: the file's name, and a hash of its text."""

    file: str
    hash: str = Field(pattern=r"^[0-9a-f]{16}$")


def _entry(value: Any) -> str:
    return "own" if isinstance(value, Mapping | OwnTask) else "built-in"


TaskEntry = Annotated[Annotated[str, Tag("built-in")] | Annotated[OwnTask, Tag("own")], Discriminator(_entry)]


class Study(_Part):
    """A whole study, frozen. Spaces are kept as written; `bench.study.load.check` has validated them."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    model: str = Field(default="embedded", min_length=1)
    tasks: list[TaskEntry] = Field(min_length=1)
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    fractions: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [1.0]
    seeds: int | list[int] | CrossedSeeds | UntilSettled = 5
    budget: Annotated[list[Budget], BeforeValidator(_as_list), Field(min_length=1)]
    search: Search = Search(grid=GridSearch())
    select: Select = Select()
    training: Training = Training()
    resources: Resources = Resources()
    trial_timeout: float = 3600.0
    retries: int = Field(default=2, ge=0, le=100)
    claims: list[Claim] = []
    plugins: list[StoredPlugin] = []

    @field_validator("trial_timeout", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> float:
        return parse_duration(value)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        if isinstance(value, UntilSettled) or (isinstance(value, Mapping) and value.keys() & UntilSettled.model_fields):
            return UntilSettled.model_validate(value)
        if isinstance(value, Mapping | CrossedSeeds):
            return CrossedSeeds.model_validate(value)
        named = value if isinstance(value, list) else [value]
        whole = all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one < CONFIRM_BASE for one in named)
        if not whole or not named or len(set(named)) < len(named):
            raise ValueError(
                f"seeds is a number from 1 to {CONFIRM_BASE - 1}, a list of different ones (e.g. [3, 7, 11]), "
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
