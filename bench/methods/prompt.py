"""Prompt tuning (Lester, Al-Rfou and Constant, 2021): trained embeddings before the text, through peft."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finebench.bench.methods import Method
from finebench.bench.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn

_LAST_TOKEN = ("gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "smollm3", "olmo2")


class Prompt(Method):
    """`tokens` embeddings in front of the text; an encoder's pooled position is then the first of them."""

    name: ClassVar[str] = "prompt"
    summary: ClassVar[str] = "prompt tuning: trained embeddings before the text, and the head"
    paper: ClassVar[str] = "Lester, Al-Rfou and Constant 2021, The power of scale for prompt tuning, arXiv:2104.08691"
    defaults_from: ClassVar[str] = (
        "20 tokens: the paper's smallest length that is close to its best; lr: ours (its 0.3 is for Adafactor)"
    )
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-3, 1e-2, 3e-2]}

    lr: float = Field(default=1e-2, gt=0, lt=10, description="peak learning rate of AdamW")
    tokens: int = Field(default=20, ge=1, description="length of the prompt")

    @property
    def positions(self) -> int:
        """The prompt takes up positions of its own."""
        return self.tokens

    def unsuited(self, arch: Architecture) -> str | None:
        """Decoders, which classify at the last token that their input ids show, and have none to look at here."""
        if arch.model_type in _LAST_TOKEN:
            return "they find the last token by its id, and embedded prompts come without ids"
        return self.too_long(arch)

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Train the prompt and the head."""
        from finebench.bench.methods._peft.adapter import tune

        return tune(model, "PROMPT_TUNING", num_virtual_tokens=self.tokens)
