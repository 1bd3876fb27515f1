"""(IA)³ (Liu et al., 2022): trained scales on keys, values and the feed-forward part's inner units, through peft."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finebench.bench.methods import Method, MethodCost
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.bert_shapes import reach_above
from finebench.bench.models.module_roles import known_type

if TYPE_CHECKING:
    from torch import nn


class IA3(Method):
    """One vector per key, value and input of the feed-forward output; all start at one.

    Where a model fuses query, key and value, the fused output is scaled (as peft does for GPT-2).
    """

    name: ClassVar[str] = "ia3"
    summary: ClassVar[str] = "(IA)³: scales on keys, values and feed-forward units, and the head"
    paper: ClassVar[str] = (
        "Liu et al. 2022, Few-shot parameter-efficient fine-tuning is better and cheaper, arXiv:2205.05638"
    )
    defaults_from: ClassVar[str] = "r-three/t-few: lr 3e-3 on key, value and the feed-forward units"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-3, 3e-3, 1e-2]}

    lr: float = Field(default=3e-3, gt=0, lt=10, description="peak learning rate of AdamW")

    def unsuited(self, arch: Architecture) -> str | None:
        """Models whose matrices cannot be named."""
        return None if known_type(arch.model_type) else "where they keep their layers is not known"

    def cost(self, arch: Architecture) -> MethodCost:
        """L (2h + m) scales; no matrix is inserted or trained."""
        scales = arch.layers * (2 * arch.hidden + arch.intermediate)
        return MethodCost(trainable=scales, inserted=scales, reach=reach_above(arch, "key"))

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Put the scales in; train them and the head."""
        from finebench.bench.methods._peft.adapter import backbone_regex, tune
        from finebench.bench.models.parameters import model_type

        kind = model_type(model)
        every = backbone_regex(model, kind, ("key", "value", "output"))
        return tune(model, "IA3", target_modules=every, feedforward_modules=backbone_regex(model, kind, ("output",)))
