"""LoRA (Hu et al., 2022): low-rank updates beside frozen matrices, through peft."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, field_validator

from finebench.bench.methods import Method, MethodCost
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.bert_shapes import reach_above, role_shapes
from finebench.bench.models.module_roles import ROLES, known_type, same_roles, split_roles

if TYPE_CHECKING:
    from torch import nn


class Lora(Method):
    """W + (alpha / r) B A on the matrices in `target`; where a model fuses query, key and value, the fused matrix is
    meant.
    """

    name: ClassVar[str] = "lora"
    summary: ClassVar[str] = "LoRA: low-rank updates of chosen matrices, and the head"
    paper: ClassVar[str] = "Hu et al. 2022, LoRA, arXiv:2106.09685"
    defaults_from: ClassVar[str] = "microsoft/LoRA, GLUE runs of RoBERTa-base: r 8, alpha 16, query+value, lr 4e-4"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [2e-4, 4e-4, 1e-3, 2e-3]}
    magnitude: ClassVar[bool] = False

    lr: float = Field(default=4e-4, gt=0, lt=10, description="peak learning rate of AdamW")
    r: int = Field(default=8, ge=1, description="rank of the update")
    alpha: float = Field(default=16.0, gt=0, description="the update is scaled by alpha / r")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the update's input")
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

    def cost(self, arch: Architecture) -> MethodCost | None:
        """r (inputs + outputs) per matrix."""
        targets, shapes = self.target.split("+"), role_shapes(arch)
        inserted = arch.layers * sum(self.r * sum(shapes[role]) for role in targets)
        reach = reach_above(arch, targets[0])
        return MethodCost(
            trainable=inserted, inserted=inserted, inserted_matmul=inserted, trained_matmul=inserted, reach=reach
        )

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Put the updates in; train them and the head."""
        from finebench.bench.methods._peft.adapter import backbone_regex, tune
        from finebench.bench.models.parameters import model_type

        where = backbone_regex(model, model_type(model), tuple(self.target.split("+")))
        options = {"r": self.r, "lora_alpha": self.alpha, "lora_dropout": self.dropout, "use_dora": self.magnitude}
        return tune(model, "LORA", target_modules=where, **options)
