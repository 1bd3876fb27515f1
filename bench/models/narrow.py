"""A small model of a large one's shape: as many layers, heads and modules, each narrower.

What an option of a tuner does to a model of seven billion parameters cannot be tried on it before every study; on this
one it can, since names, layers and the way they are joined are the same.
"""

from collections.abc import Mapping
from typing import Any

LARGEST = 2_000_000_000
"""Parameters of the largest model that is tried as it is: several copies have to fit into memory."""

HEAD_DIM = 8
"""Width of an attention head of the narrow model."""

VOCABULARY = 1024

_HEADS = ("num_attention_heads", "n_head", "num_heads")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
_WIDTHS = (
    *_WIDTH, "intermediate_size", "ffn_dim", "n_inner", "d_ff", "hidden_dim", "head_dim", "embedding_size",
    "word_embed_proj_dim",
)  # fmt: skip


def narrowed(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """A config (as config.json has it) of the same shape with heads of `HEAD_DIM`; None where its widths are not known
    by these names, or do not divide."""
    heads = next((config[key] for key in _HEADS if isinstance(config.get(key), int)), 0)
    width = next((config[key] for key in _WIDTH if isinstance(config.get(key), int)), 0)
    by = width // (heads * HEAD_DIM) if heads else 0
    widths = {key: config[key] for key in _WIDTHS if isinstance(config.get(key), int)}
    if by < 2 or any(value % by for value in widths.values()):
        return None
    ids = {key: value for key, value in config.items() if key.endswith("_token_id") and isinstance(value, int)}
    made = dict(config) | {key: value // by for key, value in widths.items()}
    return made | {key: value % VOCABULARY for key, value in ids.items()} | {"vocab_size": VOCABULARY}
