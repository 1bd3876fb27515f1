"""DoRA (Liu et al., 2024): LoRA on a matrix's direction, with a trained magnitude per output, through peft."""

from typing import Any, ClassVar

from pydantic import Field

from finebench.bench.methods import MethodCost
from finebench.bench.methods.lora import Lora
from finebench.bench.models.architecture import Architecture


class Dora(Lora):
    """LoRA's hyperparameters; the magnitudes start at the norms of the frozen matrix."""

    name: ClassVar[str] = "dora"
    summary: ClassVar[str] = "DoRA: LoRA with trained magnitudes, and the head"
    paper: ClassVar[str] = "Liu et al. 2024, DoRA, arXiv:2402.09353"
    defaults_from: ClassVar[str] = (
        "as for lora, so that the two differ by the magnitudes alone; the paper has no GLUE runs"
    )
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [2e-4, 4e-4, 1e-3, 2e-3]}
    magnitude: ClassVar[bool] = True

    lr: float = Field(default=4e-4, gt=0, lt=10, description="peak learning rate of AdamW")

    def cost(self, arch: Architecture) -> MethodCost | None:
        """Left to the built model: the norm of W + BA costs FLOPs that grow with steps, not with tokens."""
        return None
