"""How trials train, what is held out to choose by, and what each may take of a machine."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from finebench.bench.methods import TUNABLE
from finebench.bench.study.parts.part import Part
from finebench.bench.study.schedules import schedule
from finebench.bench.util.errors import NAME, StudyError, choose

MOST_IN_PACK = 64
"""Trials that one process may train together: each adds its own trained tensors and optimiser."""


class Training(Part):
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


class Select(Part):
    """What part of the drawn training rows is kept for choices."""

    fraction: float = Field(default=0.1, gt=0, lt=1)
    at_least: int = Field(default=50, gt=0)
    scale: bool = True


UNITS = {"": 1, "MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
"""Bytes of the units that memory may be given in."""

SMALLEST = 0.0001
"""Of anything that Ray shares out: less than that it takes for nothing, or refuses."""

OWN_NAMES = ("CPU", "GPU", "memory", "object_store_memory", "accelerator_type", "node")
"""What Ray calls resources of its own, or begins their names with, up to a colon: none of them is a custom one."""

NODE_ID = "ray.io/node-id"
"""Ray's label that is another one on each node; a run uses it to leave nodes out."""

_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"([A-Za-z0-9.-]{{1,253}}/)?{_NAME}")
_SELECTOR = re.compile(rf"!?({_NAME}|in\({_NAME}(, ?{_NAME})*\))")


def _bytes(given: Any) -> Any:
    """Bytes of a number, or of a text such as "16GiB"; raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", given) if isinstance(given, str) else None
    if match is not None and match[2] in UNITS:
        return int(float(match[1]) * UNITS[match[2]])
    if isinstance(given, str):
        raise ValueError(f"memory is a number of bytes, or one with {', '.join(list(UNITS)[1:])}, e.g. 16GiB")
    return given


def _one_model(given: dict[str, Any]) -> dict[str, Any]:
    """What one model's trials get instead, as it is written; raises ValueError where it is wrong by itself."""
    known = Resources.model_fields.keys() - {"per_model"}
    for key in given.keys() - known:
        raise ValueError(choose("key", key, known))
    alone = "shard" in given and not given.keys() & {"gpu", "ranks"}  # the study's ranks, which are not known here
    Resources.model_validate(({"ranks": 2} if alone else {}) | given)
    return given


class Resources(Part):
    """What one trial gets: CPUs, a share of a GPU, and how many trials are trained together (both auto: measured); and
    which nodes of a cluster it may run on.

    A trial on several GPUs, or several `ranks`, divides each batch among as many processes: all else is then of each.
    Of all this only `ranks` and `shard` are part of a trial's id.
    """

    cpu: float = Field(default=1, ge=SMALLEST, description="CPUs, of each rank")
    gpu: float | Literal["auto"] = Field(default="auto", description="a share of a GPU, or how many: one for each rank")
    pack: int | Literal["auto"] = Field(default="auto", description="trials that are trained together")
    ranks: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        default="auto", description="processes that divide each batch; auto: as many as whole GPUs, else one"
    )
    shard: Literal["none", "full"] = Field(
        default="none", description="full: each rank holds its part of the model alone (FSDP2)"
    )
    accelerator: str | None = Field(default=None, pattern=NAME, description="type of GPU, as Ray calls it, e.g. H100")
    memory: Annotated[int, Field(gt=0, le=2**50), BeforeValidator(_bytes, json_schema_input_type=int | str)] | None = (
        Field(default=None, description="of a node, kept for one pack: bytes, or e.g. 16GiB")
    )
    custom: dict[str, Annotated[float, Field(ge=SMALLEST)]] | None = Field(
        default=None, description="amounts of resources that nodes were started with (ray start --resources)"
    )
    labels: dict[str, str] | None = Field(
        default=None, description="of the node: a value, !value, in(a, b) or !in(a, b) for each label"
    )
    per_model: dict[str, Annotated[dict[str, Any], AfterValidator(_one_model)]] | None = Field(
        default=None, description="by name of a model: what its trials get instead"
    )

    @property
    def number(self) -> int:
        """How many ranks a trial has."""
        if self.ranks != "auto":
            return self.ranks
        return int(self.gpu) if self.gpu != "auto" and self.gpu > 1 else 1

    @property
    def each(self) -> float | Literal["auto"]:
        """What each rank gets of a GPU."""
        return 1.0 if self.gpu != "auto" and self.gpu > 1 else self.gpu

    @field_validator("gpu")
    @classmethod
    def _share(cls, gpu: float | str) -> float | str:
        if isinstance(gpu, float | int) and (gpu < 0 or (gpu > 1 and gpu != int(gpu))):
            raise ValueError("gpu is auto, 0, a share between 0 and 1, or a whole number of GPUs")
        if isinstance(gpu, float | int) and 0 < gpu < SMALLEST:
            raise ValueError(f"gpu is auto, 0, or at least {SMALLEST:g}, Ray's smallest part of anything")
        return gpu

    @field_validator("pack")
    @classmethod
    def _pack(cls, pack: int | str) -> int | str:
        if isinstance(pack, int) and not 1 <= pack <= MOST_IN_PACK:
            raise ValueError(f"pack is auto, or how many trials are trained together, from 1 to {MOST_IN_PACK}")
        return pack

    @field_validator("custom")
    @classmethod
    def _custom(cls, custom: dict[str, float] | None) -> dict[str, float] | None:
        taken = [name for name in custom or {} if not name or name.partition(":")[0] in OWN_NAMES]
        if taken:
            raise ValueError(
                f"{taken[0]!r} is Ray's own name of a resource; cpu, gpu, accelerator and memory are keys of resources"
            )
        return custom

    @field_validator("labels")
    @classmethod
    def _labels(cls, labels: dict[str, str] | None) -> dict[str, str] | None:
        for name, selector in (labels or {}).items():
            if name == NODE_ID:
                raise ValueError(f"{NODE_ID} is another one in each cluster; label nodes with ray start --labels")
            if not _LABEL.fullmatch(name) or not _SELECTOR.fullmatch(selector):
                raise ValueError(f"a label's name has a value, !value, in(a, b) or !in(a, b); got {name}: {selector!r}")
        return labels

    @model_validator(mode="after")
    def _some_gpu(self) -> Self:
        if self.accelerator is not None and self.gpu == 0:
            raise ValueError(f"accelerator: {self.accelerator} is a type of GPU, and gpu: 0 asks for none")
        return self

    def of(self, model: str) -> "Resources":
        """What a trial of one model gets. Raises ValidationError where what stands there for it does not go with the
        rest."""
        own = (self.per_model or {}).get(model, {})
        return Resources.model_validate(self.model_dump(exclude={"per_model"}) | own)

    def gpus(self, there: float) -> float:
        """The share of a GPU that each rank gets, before anything is measured, where there are so many of them now:
        `auto` takes a whole one where there is one, and waits for one whose type is named."""
        return (1.0 if there > 0 or self.waits_for_gpu else 0.0) if self.gpu == "auto" else float(self.each)

    @property
    def waits_for_gpu(self) -> bool:
        """Whether a trial does not start without a GPU."""
        return self.accelerator is not None or self.gpu not in ("auto", 0)

    @property
    def beside(self) -> dict[str, float]:
        """What Ray reserves beside CPUs and GPUs, by Ray's names. A node has one of its accelerator's type, of which
        Ray's own convention takes a thousandth."""
        typed = {} if self.accelerator is None else {f"accelerator_type:{self.accelerator}": 0.001}
        return typed | ({} if self.memory is None else {"memory": float(self.memory)}) | (self.custom or {})

    @model_validator(mode="after")
    def _on_ranks(self) -> Self:
        number = self.number
        if self.gpu != "auto" and self.gpu > 0 and number > 1 and self.gpu != number:
            raise ValueError(f"{number} ranks train on one GPU each, so gpu is {number}, 0 or auto, not {self.gpu:g}")
        if self.gpu != "auto" and self.gpu > 1 and number == 1:
            raise ValueError(f"one rank trains on one GPU: leave ranks out, or ask for gpu: 1, not {self.gpu:g}")
        if number > 1 and self.pack not in ("auto", 1):
            raise ValueError(f"pack {self.pack}: a trial on several ranks is trained alone; leave pack out")
        if self.shard == "full" and number == 1:
            raise ValueError("shard: full divides a model among ranks: it needs gpu: 2 or more, or ranks: 2 or more")
        return self
