"""Full fine-tuning (Devlin et al., 2019): every parameter of the encoder and the head is trained."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finebench.bench.methods import Method, MethodCost
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.bert_shapes import encoder_matmul, encoder_parameters

if TYPE_CHECKING:
    from torch import nn


class Full(Method):
    """Train everything; the learning rates are those that BERT's paper tried."""

    name: ClassVar[str] = "full"
    summary: ClassVar[str] = "full fine-tuning: every parameter"
    paper: ClassVar[str] = "Devlin et al. 2019, BERT, arXiv:1810.04805"
    defaults_from: ClassVar[str] = (
        "lr: BERT paper, appendix A.3 (5e-5, 3e-5, 2e-5); 2e-5 as in Hugging Face's GLUE example"
    )
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [2e-5, 3e-5, 5e-5]}

    lr: float = Field(default=2e-5, gt=0, lt=10, description="peak learning rate of AdamW")

    def cost(self, arch: Architecture) -> MethodCost:
        """All parameters; every matmul weight gets a gradient."""
        return MethodCost(trainable=encoder_parameters(arch), trained_matmul=encoder_matmul(arch))

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Train every parameter."""
        return model.requires_grad_(True)
