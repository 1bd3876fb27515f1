"""VeRA (Kopiczko, Blankevoort and Asano, 2024): trained scales around frozen random matrices, through peft."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, field_validator

from finebench.bench.methods import Method
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.module_roles import ROLES, known_type, same_roles, split_roles

if TYPE_CHECKING:
    from torch import nn


class Vera(Method):
    """W + diag(b) B diag(d) A with B and A random, frozen and shared by all layers; b and d are trained."""

    name: ClassVar[str] = "vera"
    summary: ClassVar[str] = "VeRA: scales around shared random projections, and the head"
    paper: ClassVar[str] = "Kopiczko, Blankevoort and Asano 2024, VeRA, arXiv:2310.11454"
    defaults_from: ClassVar[str] = (
        "r and d_initial: peft's VeraConfig; query+value as in the paper; lr: ours, for vectors"
    )
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-3, 4e-3, 1e-2]}

    lr: float = Field(default=4e-3, gt=0, lt=10, description="peak learning rate of AdamW")
    r: int = Field(default=256, ge=1, description="rank of the random projections")
    d_initial: float = Field(default=0.1, gt=0, description="what d starts at")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the update's input")
    projection_key: int = Field(default=0, ge=0, description="seed of the random projections")
    target: str = Field(default="query+value", description="some of " + ", ".join(ROLES) + ' joined by "+"')

    @field_validator("target")
    @classmethod
    def _known_target(cls, given: str) -> str:
        return "+".join(split_roles(given, ROLES, "target"))

    def resolved(self, arch: Architecture) -> Self:
        """With a matrix that plays several roles named once."""
        return self.model_copy(update={"target": same_roles(self.target, arch.model_type)})

    def unsuited(self, arch: Architecture) -> str | None:
        """Models whose matrices cannot be named."""
        return None if known_type(arch.model_type) else "where they keep their layers is not known"

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Put the updates in; train their scales and the head."""
        from finebench.bench.methods._peft.adapter import backbone_regex, tune
        from finebench.bench.models.parameters import model_type

        where = backbone_regex(model, model_type(model), tuple(self.target.split("+")))
        options = {"r": self.r, "d_initial": self.d_initial, "vera_dropout": self.dropout}
        return tune(model, "VERA", target_modules=where, projection_prng_key=self.projection_key, **options)
