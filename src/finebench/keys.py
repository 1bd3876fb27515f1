"""The keys of a study file as types: what `fb.Study(…)` and `results.claim(…)` take, for editors and type checkers.

    budget: fb.keys.Budget = {"epochs": 3, "min_steps": 200}

Each is a plain dict. Names, needs and choices are those of the study file (a test holds them to it); what they mean
stands in its reference. Bounds and names of tasks and methods are checked when the study is made.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Required, TypeAlias, TypedDict

Path: TypeAlias = str | PathLike[str]
"""A file or folder; a relative one is taken from the working directory."""

Space: TypeAlias = Mapping[str, Any]
"""A method's hyperparameters by name: a value is fixed, a list a grid, a `Distribution` for a search; `resources` and
`per_task` beside them. Which names there are is the method's business (`finebench methods NAME`)."""


class Distribution(TypedDict, total=False):
    """What a search draws a hyperparameter from: one of these."""

    uniform: Sequence[float]
    loguniform: Sequence[float]
    int: Sequence[float]
    choice: Sequence[Any]


class Budget(TypedDict, total=False):
    """How long a trial trains: exactly one of epochs, steps, seconds and flops; `min_steps` goes with epochs."""

    epochs: float
    min_steps: int
    steps: int
    seconds: float
    flops: float


class Files(TypedDict):
    """Data of an own task: a file for each split."""

    train: Path
    validation: Path


class OneFile(TypedDict, total=False):
    """Data of an own task: one file, of whose rows the share `validation` is held out."""

    file: Required[Path]
    validation: Required[float]
    seed: int
    group: str | None


class Hub(TypedDict, total=False):
    """Data of an own task: a data set of the hub; `validation` is a split's name, or the share that is held out."""

    hub: Required[str]
    config: str | None
    revision: str | None
    train: str
    validation: str | float
    seed: int | None
    group: str | None


class Task(TypedDict):
    """A task of one's own."""

    name: str
    data: Files | OneFile | Hub
    text: str | Sequence[str]
    label: str
    metric: str | Sequence[str]


class CrossedSeeds(TypedDict, total=False):
    """Sources of randomness varied apart: every combination runs."""

    init: int
    order: int
    subset: int


class UntilSettled(TypedDict, total=False):
    """Seeds that come in waves until the claims are settled: exactly one of looks and most."""

    looks: Sequence[int] | None
    most: int | None
    until: Literal["settled"]


class GridSearch(TypedDict, total=False):
    """Every point of every grid."""

    confirm_seeds: int | UntilSettled
    confirm_default: bool


class OptunaSearch(TypedDict, total=False):
    """One Optuna study for each cell."""

    sampler: Literal["tpe", "random"]
    trials: int
    seeds: int
    confirm_seeds: int | UntilSettled
    confirm_default: bool
    scheduler: Literal["none", "asha"]
    parallel: Literal["auto"] | int


class Search(TypedDict, total=False):
    """Exactly one of the two."""

    grid: GridSearch | None
    optuna: OptunaSearch | None


class Select(TypedDict, total=False):
    """What part of the drawn training rows is kept for choices."""

    fraction: float
    at_least: int
    scale: bool


class Training(TypedDict, total=False):
    """How every trial trains, whatever the method."""

    batch_size: int
    max_length: int
    warmup: float
    weight_decay: float
    schedule: str
    precision: Literal["auto", "fp32", "bf16"]
    evals: int
    max_grad_norm: float
    micro_batch: int | None
    checkpointing: bool
    class_weights: Literal["balanced"] | Sequence[float] | None


class Resources(TypedDict, total=False):
    """What one trial gets: CPUs, a share of a GPU or several, how many trials are trained together, how many ranks
    divide each batch, and on which nodes. The same keys under `per_model` hold for one model."""

    cpu: float
    gpu: float | Literal["auto"]
    pack: int | Literal["auto"]
    accelerator: str | None
    memory: int | str | None
    custom: Mapping[str, float] | None
    labels: Mapping[str, str] | None
    per_model: Mapping[str, Mapping[str, Any]] | None
    ranks: int | Literal["auto"]
    shard: Literal["none", "full"]


class Statement(TypedDict, total=False):
    """What a claim says; which keys a kind of claim needs is the kind's business."""

    says: Required[str]
    a: Required[str]
    b: str | None
    fraction: float | None
    budget: Budget | None
    margin: float | None
    factor: float | None
    cost: str | None
    over: Literal["seeds", "lr"]
    tasks: Literal["all", "pooled"] | Sequence[str]
    given: Literal["not_collapsed"] | None
    scale: Literal["points", "gain"]
    note: str | None


class Claim(Statement, total=False):
    """A claim of a study."""

    id: Required[str]


class Study(TypedDict, total=False):
    """A whole study."""

    name: Required[str]
    model: Path
    tasks: Required[Sequence[str | Task]]
    methods: Required[Mapping[str, Space]]
    fractions: Sequence[float]
    seeds: int | Sequence[int] | CrossedSeeds | UntilSettled
    budget: Required[Budget | Sequence[Budget]]
    search: Literal["grid", "optuna"] | Search
    select: Select
    training: Training
    resources: Resources
    trial_timeout: str | float
    retries: int
    claims: Sequence[Claim]
    plugins: Sequence[Path]
