"""LayerNorm tuning (Zhao et al., 2024): the encoder's normalisation gains and biases, through peft."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finebench.bench.methods import Method, MethodCost
from finebench.bench.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


class LayerNorm(Method):
    """Every normalisation layer of the encoder, the embeddings' included; peft trains a copy beside each frozen one."""

    name: ClassVar[str] = "layernorm"
    summary: ClassVar[str] = "LayerNorm tuning: normalisation gains and biases, and the head"
    paper: ClassVar[str] = (
        "Zhao et al. 2024, Tuning LayerNorm in attention, arXiv:2312.11420; Houlsby et al. 2019, section 3.5"
    )
    defaults_from: ClassVar[str] = "lr: ours, as for BitFit, which trains vectors too; neither paper gives one for GLUE"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-4, 5e-4, 1e-3, 2e-3]}

    lr: float = Field(default=1e-3, gt=0, lt=10, description="peak learning rate of AdamW")

    def cost(self, arch: Architecture) -> MethodCost:
        """2h for the embeddings' norm and for each of two per layer; the frozen originals stay beside the trained
        copies.
        """
        norms = 2 * arch.hidden * (2 * arch.layers + 1)
        return MethodCost(trainable=norms, inserted=norms)

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Train copies of the encoder's normalisation layers, and the head."""
        from finebench.bench.methods._peft.adapter import modules_of_class, tune

        return tune(model, "LN_TUNING", target_modules=modules_of_class(model, "Norm"))
