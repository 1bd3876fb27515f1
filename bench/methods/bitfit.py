"""BitFit (Ben Zaken, Goldberg and Ravfogel, 2022): train the bias terms and the task head."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from finebench.bench.methods import Method, MethodCost
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.bert_shapes import reach_above, role_shapes
from finebench.bench.models.module_roles import ROLES, fused, known_type, plays, role_regex, split_roles
from finebench.bench.util.errors import MethodError

if TYPE_CHECKING:
    from torch import nn

_BIAS_FREE = {
    "modernbert": ("attention_bias", "mlp_bias", "norm_bias"),
    "llama": ("attention_bias", "mlp_bias"),
    "mistral": (),
    "qwen3": ("attention_bias",),
    "gemma": ("attention_bias",),
    "gemma2": ("attention_bias",),
}
"""Model types without bias terms, unless one of these config keys turns some on."""


class BitFit(Method):
    """`terms` chooses which biases train: "all", or parts joined by "+", e.g. "query+intermediate" (the paper's
    subset).

    As in the authors' code, "all" includes the biases of every LayerNorm and of the pooler, and a choice of parts
    includes the pooler's bias. Unlike there, attention_output and output (feed-forward) can be chosen apart.
    """

    name: ClassVar[str] = "bitfit"
    summary: ClassVar[str] = "BitFit: bias terms and the head"
    paper: ClassVar[str] = "Ben Zaken, Goldberg and Ravfogel 2022, BitFit, arXiv:2106.10199"
    defaults_from: ClassVar[str] = "the authors' repository benzakenelad/BitFit: lr 1e-3, all bias terms"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-4, 5e-4, 1e-3, 2e-3]}

    lr: float = Field(default=1e-3, gt=0, lt=10, description="peak learning rate of AdamW")
    terms: str = Field(default="all", description='"all", or some of ' + ", ".join(ROLES) + ' joined by "+"')

    @field_validator("terms")
    @classmethod
    def _known_terms(cls, given: str) -> str:
        return given if given == "all" else "+".join(split_roles(given, ROLES, "bias term"))

    def unsuited(self, arch: Architecture) -> str | None:
        """Models without biases, and parts that a fused matrix cannot tell apart."""
        switches = _BIAS_FREE.get(arch.model_type)
        if switches is not None and not any(arch.raw.get(key) for key in switches):
            return "they have no bias terms"
        if self.terms == "all":
            return None
        if not known_type(arch.model_type):
            return "where they keep their layers is not known; terms: all applies"
        chosen = {"query", "key", "value"} & set(self.terms.split("+"))
        if fused(arch.model_type) and 0 < len(chosen) < 3:
            return "query, key and value share one bias there; choose query+key+value, or all"
        return None

    def cost(self, arch: Architecture) -> MethodCost:
        """All: (embedding LayerNorm, pooler) 2h + L (7h + m); parts: their outputs in every layer, and the pooler's
        h. A pooler that the weights do not bring is the head's.
        """
        h, m = arch.hidden, arch.intermediate
        pooler = h if arch.pooler else 0
        if self.terms == "all":
            return MethodCost(trainable=h + pooler + arch.layers * (7 * h + m))
        terms, shapes = self.terms.split("+"), role_shapes(arch)
        return MethodCost(
            trainable=pooler + arch.layers * sum(shapes[t][1] for t in terms), reach=reach_above(arch, terms[0])
        )

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Freeze all but the chosen biases and the head."""
        from finebench.bench.models.parameters import model_type, train_only
        from finebench.bench.models.pooler import is_pooler

        parts = None if self.terms == "all" else role_regex(model_type(model), tuple(self.terms.split("+")))

        def chosen(name: str) -> bool:
            module, _, leaf = name.rpartition(".")
            return leaf.endswith("bias") and (parts is None or is_pooler(module) or plays(parts, module))

        if train_only(model, chosen) == 0:
            raise MethodError(f"bitfit with terms {self.terms!r} finds no bias to train in a {model_type(model)} model")
        return model
