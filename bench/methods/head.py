"""Linear probe: the pretrained encoder stays frozen, only the task head is trained.

Dropout is off in the frozen encoder (the head keeps its own): it computes each row's features once, and the head trains
and predicts on them. Linear probing has always meant fixed features, and a step then costs next to nothing; a trial is
charged for computing its features once, also where it finds them computed by another trial. What comes out is what the
full forward pass with the encoder in evaluation mode gives; families whose head's input is not known
(bench.models.head_input) run that.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finebench.bench.methods import Method, MethodCost
from finebench.bench.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


class Head(Method):
    """Train the head alone, on the frozen encoder's features (without dropout in the encoder): the lower bound that
    every method has to beat."""

    name: ClassVar[str] = "head"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "linear probe: the head alone, on a frozen encoder"
    paper: ClassVar[str] = (
        "Alain and Bengio 2017, Understanding intermediate layers using linear classifier probes, arXiv:1610.01644"
    )
    defaults_from: ClassVar[str] = (
        "lr: ours; a fresh head on frozen features takes larger steps than any encoder weight would"
    )
    prepays: ClassVar[bool] = True
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-4, 1e-3, 5e-3, 1e-2]}

    lr: float = Field(default=1e-3, gt=0, lt=10, description="peak learning rate of AdamW")

    def cost(self, arch: Architecture) -> MethodCost:
        """Nothing in the encoder is trained, so nothing of it is back-propagated."""
        return MethodCost(trainable=0, reach=0.0)

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Freeze all but the head."""
        from finebench.bench.models.parameters import train_only

        train_only(model, lambda name: False)
        return model
