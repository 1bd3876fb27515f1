"""Layer-wise learning rates (Howard and Ruder, 2018): full fine-tuning that changes lower layers less."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finebench.bench.methods.full import Full
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.module_roles import known_type
from finebench.bench.util.errors import MethodError

if TYPE_CHECKING:
    from torch import nn


class Layerwise(Full):
    """The head, the pooler and what else follows the top layer learn at `lr`, each layer at `decay` times the rate of
    the one above it, the embeddings one below the lowest layer.

    ELECTRA's code (Clark et al., 2020) leaves out one depth between its head and its top layer; here is none.
    """

    name: ClassVar[str] = "layerwise"
    summary: ClassVar[str] = "full fine-tuning, with lower learning rates for lower layers"
    paper: ClassVar[str] = "Howard and Ruder 2018, ULMFiT, arXiv:1801.06146; Clark et al. 2020, ELECTRA"
    defaults_from: ClassVar[str] = "ELECTRA, appendix B: decay 0.8 and lr 1e-4 for the base model"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [5e-5, 1e-4, 3e-4]}

    lr: float = Field(default=1e-4, gt=0, lt=10, description="peak learning rate of AdamW; that of the head")
    decay: float = Field(default=0.8, gt=0, le=1, description="learning rate of a layer over that of the one above it")

    def unsuited(self, arch: Architecture) -> str | None:
        """Models whose layers cannot be told apart."""
        if arch.model_type == "albert":
            return "their layers share one set of weights"
        return None if known_type(arch.model_type) else "where they keep their layers is not known"

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Train every parameter of a model whose layers can be told apart."""
        _layers(model)
        return super().apply(model)

    def param_groups(self, model: "nn.Module") -> list[tuple[list[str], float]]:
        """A group for each depth below the head."""
        layers, prefix = _layers(model)
        names = [name for name, _ in model.named_parameters()]
        first = next(index for index, name in enumerate(names) if name.startswith(prefix))
        below: dict[int, list[str]] = {depth: [] for depth in range(1, layers + 2)}
        for index, name in enumerate(names):
            if name.startswith(prefix):
                below[layers - int(name.removeprefix(prefix).partition(".")[0])].append(name)
            elif index < first or "embeddings" in name:
                below[layers + 1].append(name)
        return [(group, self.decay**depth) for depth, group in below.items()]


def _layers(model: "nn.Module") -> tuple[int, str]:
    """How many layers a model has, and how the names of their parameters begin."""
    from torch import nn

    number = getattr(model.config, "num_hidden_layers", None)
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return len(module), f"{name}."
    raise MethodError(f"layerwise finds no list of {number} layers in a {type(model).__name__}")
