"""How trials train, what is held out to choose by, and what each may take of a machine."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from finebench.bench.methods import TUNABLE
from finebench.bench.study.parts.part import Part
from finebench.bench.study.schedules import schedule
from finebench.bench.util.errors import StudyError

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


class Resources(Part):
    """What one trial gets: CPUs, a share of a GPU, and how many trials are trained together (both auto: measured).

    A trial on several GPUs, or several `ranks`, divides each batch among as many processes, with `cpu` CPUs each.
    """

    cpu: float = Field(default=1, gt=0, description="CPUs, of each rank")
    gpu: float | Literal["auto"] = Field(default="auto", description="a share of a GPU, or how many: one for each rank")
    pack: int | Literal["auto"] = Field(default="auto", description="trials that are trained together")
    ranks: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        default="auto", description="processes that divide each batch; auto: as many as whole GPUs, else one"
    )
    shard: Literal["none", "full"] = Field(
        default="none", description="full: each rank holds its part of the model alone (FSDP2)"
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
        return gpu

    @field_validator("pack")
    @classmethod
    def _pack(cls, pack: int | str) -> int | str:
        if isinstance(pack, int) and not 1 <= pack <= MOST_IN_PACK:
            raise ValueError(f"pack is auto, or how many trials are trained together, from 1 to {MOST_IN_PACK}")
        return pack

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
