"""A model of which only the head is trained: its frozen encoder apart, what the head reads in its place.

    apart = split(model)             # None where part of the encoder is trained, or what the head reads is not known
    values = apart.read(batch)       # [B, H], dropout off, no graph
    with apart.detached():
        logits = model(**head_batch(values, ids)).logits

The rest of the model's own forward runs unchanged, on a stub in the encoder's place that hands over what was read.
Whether only the head is trained is read off requires_grad, whatever the method is called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions as Output

from finebench.bench.models.head_input import Read, read_of
from finebench.bench.models.pooler import is_pooler


def frozen_encoder(model: nn.Module) -> nn.Module | None:
    """The model's encoder where nothing of it but a pooler (which is then part of the head) is trained, else None.

    Models that PEFT wraps have trained parameters of their own around the encoder, and are left whole.
    """
    if not isinstance(model, PreTrainedModel) or not any(p.requires_grad for p in model.parameters()):
        return None
    encoder = getattr(model, model.base_model_prefix, None)
    if not isinstance(encoder, nn.Module):
        return None
    trained = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    return encoder if all(is_pooler(name) for name in trained) else None


def training_mode(model: nn.Module) -> None:
    """Dropout on, except in an encoder of which nothing is trained: a linear probe reads the same features at every
    step."""
    model.train()
    encoder = frozen_encoder(model)
    if encoder is not None:
        encoder.eval()


class _Stub(nn.Module):
    """Stands in the encoder's place and hands over what was read of it, given as `inputs_embeds` [B, 1, H].

    A pooler that is trained stays where it was, under its own names.
    """

    def __init__(self, encoder: nn.Module, pooling: bool) -> None:
        super().__init__()
        self._pooling = pooling
        if pooling:
            self.pooler = encoder.pooler
            self.pooler_activation = getattr(encoder, "pooler_activation", None)  # ALBERT's pooler is a bare matrix

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Output:
        pooled = inputs_embeds[:, 0]
        if self._pooling:
            activation = self.pooler_activation
            pooler = cast(nn.Module, self.pooler)
            pooled = pooler(inputs_embeds) if activation is None else activation(pooler(pooled))
        return Output(last_hidden_state=cast(Any, inputs_embeds), pooler_output=cast(Any, pooled))


@dataclass(frozen=True)
class Apart:
    """A model's frozen encoder and what its head reads of it; `pooling`: the encoder's pooler is trained with the
    head."""

    model: PreTrainedModel
    encoder: nn.Module
    kind: Read
    pooling: bool

    def detach(self) -> None:
        """Put the stub in the encoder's place; what is trained keeps its names, its order and its objects."""
        setattr(self.model, self.model.base_model_prefix, _Stub(self.encoder, self.pooling))

    def attach(self) -> None:
        """Put the encoder back."""
        setattr(self.model, self.model.base_model_prefix, self.encoder)

    @contextmanager
    def detached(self) -> Iterator[None]:
        """The model without its encoder, for as long as the block runs."""
        self.detach()
        try:
            yield
        finally:
            self.attach()

    @torch.no_grad()
    def read(self, batch: dict[str, Tensor]) -> Tensor:
        """What the head reads of each input of a batch, in the precision in which the encoder gives it: [B, H]."""
        self.encoder.eval()
        out = self.encoder(**batch)
        if self.kind == "pooled" and not self.pooling:
            return cast(Tensor, out.pooler_output)
        states: Tensor = out.last_hidden_state
        if self.kind == "mean":
            mask = batch["attention_mask"]
            return (states * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        if self.kind == "last":
            ids = batch["input_ids"]
            places = torch.arange(ids.shape[1], device=ids.device) * (ids != self.model.config.pad_token_id)
            return states[torch.arange(len(ids), device=ids.device), places.argmax(-1)]
        return states[:, 0]


def split(model: nn.Module) -> Apart | None:
    """The model's encoder apart, where only the head is trained and what it reads is known; else None."""
    encoder = frozen_encoder(model)
    if encoder is None or not isinstance(model, PreTrainedModel):
        return None
    kind = read_of(model.config.model_type, getattr(model.config, "classifier_pooling", "cls"))
    if kind is None:
        return None
    pooling = any(p.requires_grad for p in encoder.parameters())
    return None if pooling and kind != "pooled" else Apart(model, encoder, kind, pooling)


def head_batch(values: Tensor, text_id: int) -> dict[str, Tensor]:
    """What a model without its encoder is called with: vectors [B, H] as inputs of one token each, whose id (any but
    the padding's) says no more than that it is no padding."""
    ids = torch.full((len(values), 1), text_id, dtype=torch.int64, device=values.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "inputs_embeds": values.unsqueeze(1)}
