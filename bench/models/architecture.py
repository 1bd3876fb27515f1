"""What a model's config.json says about its shape: enough to count parameters and FLOPs without building it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finebench.bench.models.pooler import brings_pooler
from finebench.bench.util.errors import ModelError, shown

MAX_CONFIG_BYTES = 10_000_000
MOST, MOST_LAYERS = 100_000_000, 1_000
"""Sizes beyond which a config is no model's: a few bytes of a stranger's must not ask for all of the memory."""

_SHIFTED_POSITIONS = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert", "data2vec-text"),
    *("longformer", "mpnet", "ibert", "esm", "luke", "markuplm", "lilt", "layoutlmv3"),
}
"""Model types whose position table begins after the padding's id, 1 unless the config says otherwise: its rows up to
there are no positions."""


@dataclass(frozen=True)
class Architecture:
    """Shape of an encoder or decoder, read from its config.

    `bert_like` is true where BERT's closed forms hold exactly (model_type "bert"); others are counted by building the
    model on the meta device. `raw` is the whole config. `pooler` is false where the weights bring no trained pooler, so
    that the one the architecture may have counts as head.
    """

    model_type: str
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocab: int
    positions: int
    types: int
    raw: dict[str, Any]
    pooler: bool = True

    @property
    def max_tokens(self) -> int | None:
        """Longest input the model has positions for; None where its positions are not a table (rotary, relative)."""
        if self.positions <= 0 or self.raw.get("position_embedding_type", "absolute") != "absolute":
            return None
        if self.model_type not in _SHIFTED_POSITIONS:
            return self.positions
        padding = self.raw.get("pad_token_id")
        return self.positions - (padding if isinstance(padding, int) else 1) - 1

    @property
    def bert_like(self) -> bool:
        """Whether BERT's closed forms hold exactly."""
        return self.model_type == "bert"


def read_architecture(folder: Path) -> Architecture:
    """Read `config.json` of a model folder, and from its weights whether they bring a pooler.

    Raises ModelError naming the file and what is missing.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise ModelError(f"model folder {str(folder)!r} does not exist")
    if not path.is_file():
        raise ModelError(f"model folder {str(folder)!r} has no config.json{_below(folder)}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise ModelError(f"{path}: more than {MAX_CONFIG_BYTES:,} bytes; this is no model config")
        raw = json.loads(data)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON: {error}") from error
    return replace(from_config(raw, str(path)), pooler=brings_pooler(folder))


def _below(folder: Path) -> str:
    """Where the model seems to be instead, e.g. in the 0_Transformer of sentence-transformers."""
    files = (path for path in folder.glob("*/config.json") if path.is_file())
    configs = (path for path in files if b"model_type" in path.read_bytes()[:MAX_CONFIG_BYTES])
    found = sorted(path.parent for path in configs)
    return f"; {', '.join(map(str, found[:5]))} has one: give that as the model" if found else ""


def from_config(raw: dict[str, Any], where: str) -> Architecture:
    """Build an Architecture from a config dictionary; `where` is named in errors."""
    if not isinstance(raw, dict) or not isinstance(raw.get("model_type"), str):
        raise ModelError(f"{where}: key 'model_type' is missing; this is not a Hugging Face model config")

    def number(*keys: str, default: int = 0) -> int:
        found = next(((key, int(raw[key])) for key in keys if isinstance(raw.get(key), int)), None)
        if found is None:
            return default
        most = MOST_LAYERS if "layer" in found[0] else MOST
        if not -1 <= found[1] <= most:
            raise ModelError(f"{where}: {found[0]}: a number up to {most:,} is needed, not {shown(found[1])}")
        return found[1]

    hidden = number("hidden_size", "n_embd", "dim")
    return Architecture(
        model_type=raw["model_type"],
        hidden=hidden,
        layers=number("num_hidden_layers", "n_layer", "n_layers"),
        heads=number("num_attention_heads", "n_head", "n_heads"),
        intermediate=number("intermediate_size", "n_inner", "hidden_dim", default=4 * hidden),
        vocab=number("vocab_size"),
        positions=number("max_position_embeddings", "n_positions"),
        types=number("type_vocab_size"),
        raw=raw,
    )
