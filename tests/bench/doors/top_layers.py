"""Train the head and the last layers of the encoder, the lower of them more slowly."""

from typing import Any, ClassVar

from pydantic import Field

from finebench.bench.methods import Method


class TopLayers(Method):
    """`layers` counts from the top; the layer below another learns at `decay` times its rate."""

    name: ClassVar[str] = "top_layers"
    summary: ClassVar[str] = "the last layers and the head"
    paper: ClassVar[str] = "an example"
    defaults_from: ClassVar[str] = "chosen by hand"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-4, 3e-4]}

    lr: float = Field(default=1e-4, gt=0, lt=10, description="peak learning rate of AdamW")
    layers: int = Field(default=1, ge=1, description="how many layers are trained")
    decay: float = Field(default=0.5, gt=0, le=1, description="learning rate of a layer over that of the one above")

    def _names(self, model: Any, depth: int) -> list[str]:
        layer = model.config.num_hidden_layers - 1 - depth
        return [name for name, _ in model.named_parameters() if f".layer.{layer}." in name]

    def apply(self, model: Any) -> Any:
        """Freeze what is below."""
        from finebench.bench.models.parameters import train_only

        chosen = {name for depth in range(self.layers) for name in self._names(model, depth)}
        train_only(model, chosen.__contains__)
        return model

    def param_groups(self, model: Any) -> list[tuple[list[str], float]]:
        """A group for each layer; the head, which is in none, learns at `lr`."""
        return [(self._names(model, depth), self.decay**depth) for depth in range(self.layers)]
