"""LoRA+ (Hayou et al., 2024): LoRA whose B matrices learn faster than its A matrices."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finebench.bench.methods.lora import Lora

if TYPE_CHECKING:
    from torch import nn


class LoraPlus(Lora):
    """LoRA's hyperparameters, and `ratio`: the learning rate of B over that of A, which is `lr`.

    The head learns at `lr`, as in peft's own LoRA+ optimiser; the authors' code also raises the rate of biases, of
    which none is trained here.
    """

    name: ClassVar[str] = "lora_plus"
    summary: ClassVar[str] = "LoRA+: LoRA with a higher learning rate for B, and the head"
    paper: ClassVar[str] = "Hayou et al. 2024, LoRA+, arXiv:2402.12354"
    defaults_from: ClassVar[str] = (
        "ratio 16: the paper's rule of thumb; the rest as for lora, with a lower lr since B's is 16 times as high"
    )
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [5e-5, 1e-4, 2e-4, 4e-4]}

    lr: float = Field(default=1e-4, gt=0, lt=10, description="peak learning rate of AdamW; that of A and of the head")
    ratio: float = Field(default=16.0, gt=0, le=1e4, description="learning rate of B over that of A")

    def param_groups(self, model: "nn.Module") -> list[tuple[list[str], float]]:
        """B at `ratio` times the learning rate."""
        return [([name for name, p in model.named_parameters() if p.requires_grad and ".lora_B." in name], self.ratio)]
