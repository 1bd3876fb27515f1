"""Randomly initialised models of every supported family, small enough to build in milliseconds."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from finebench.bench.models.architecture import Architecture, from_config

_SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
_DISTILBERT = {
    "vocab_size": 64,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": 64,
}
_DEBERTA = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_buckets": 8,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_DEBERTA_V1 = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "max_relative_positions": 8,
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_MODERN = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2, "local_attention": 8}
_GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": 0}

CONFIGS: dict[str, dict[str, Any]] = {
    "bert": _SHAPE,
    "roberta": _SHAPE,
    "distilbert": _DISTILBERT,
    "electra": _SHAPE | {"embedding_size": 32},
    "deberta-v2": _SHAPE | _DEBERTA,
    "albert": _SHAPE | {"embedding_size": 16},
    "modernbert": _SHAPE | _MODERN,
    "gpt2": _GPT2,
    "llama": _SHAPE | {"num_key_value_heads": 4},
    "qwen2": _SHAPE | {"num_key_value_heads": 4},
}
DECODERS = ("gpt2", "llama", "qwen2")

OTHERS: dict[str, dict[str, Any]] = {
    "deberta": _SHAPE | _DEBERTA_V1,
    "mistral": _SHAPE | {"num_key_value_heads": 2, "sliding_window": 4},
    "xlnet": {"vocab_size": 64, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64, "pad_token_id": 0},
    "t5": {
        "vocab_size": 64,
        "d_model": 32,
        "d_kv": 8,
        "num_heads": 4,
        "num_layers": 2,
        "d_ff": 64,
        "pad_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 0,
    },
}
"""Families with something of their own: a mask of another type, a window, another side for padding, tied tensors."""


def tiny_model(kind: str, num_labels: int = 2, **changes: Any) -> PreTrainedModel:
    """A model in evaluation mode, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, num_labels=num_labels, **(CONFIGS | OTHERS)[kind] | changes)
        return AutoModelForSequenceClassification.from_config(config).eval()


def tiny_architecture(kind: str, **changes: Any) -> Architecture:
    """The same model's shape."""
    return from_config({"model_type": kind} | CONFIGS[kind] | changes, "tiny")


def tiny_batch(kind: str = "bert", batch: int = 3, length: int = 9) -> dict[str, torch.Tensor]:
    """Token ids with one padded row."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 64, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    ids[1, length - 3 :] = mask[1, length - 3 :] = 0
    found = {"input_ids": ids, "attention_mask": mask}
    return found | ({"token_type_ids": torch.zeros_like(ids)} if kind in ("bert", "electra", "albert") else {})
