"""Models and data that the GPU's settings need and that can be made anywhere: random weights, MRPC-shaped sentences.

Random weights do the same arithmetic as trained ones, so for speed they will do; no score of theirs means anything.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WORDS = 2000
TRAIN, VALIDATION = 3668, 408
"""MRPC's rows."""

SHAPES: dict[str, dict[str, int]] = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
}


def _words() -> list[str]:
    return [f"w{k}" for k in range(WORDS)]


def make_model(shape: str, folder: Path) -> Path:
    """Write a BERT of a shape, with BERT's vocabulary size and a word-level vocabulary, as from_pretrained reads it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    path = folder / shape
    path.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_words()]
    (path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizerFast(vocab=str(path / "vocab.txt")).save_pretrained(path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = len(vocabulary) if shape == "tiny" else 30_522
        BertForSequenceClassification(BertConfig(vocab_size=size, **SHAPES[shape])).save_pretrained(path)
    return path


def make_task(length: int, folder: Path, rows: tuple[int, int] = (TRAIN, VALIDATION)) -> dict[str, Any]:
    """Write pairs of sentences whose tokens reach from half of `length` up to it; returns the study's task entry.

    The label says whether the second sentence is the first one shuffled, so that there is something to learn.
    """
    generator = np.random.default_rng(length)
    words, files = np.array(_words()), {}
    for split, count in zip(("train", "validation"), rows, strict=True):
        labels = generator.integers(0, 2, count)
        first, second = [], []
        for label in labels:
            each = int(generator.integers(length // 4, (length - 3) // 2 + 1))  # [CLS] and two [SEP] are added
            one = generator.choice(words, each)
            other = generator.permutation(one) if label else generator.choice(words, each)
            first.append(" ".join(one))
            second.append(" ".join(other))
        path = folder / f"pairs-{length}" / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"sentence1": first, "sentence2": second, "label": labels}), path)
        files[split] = str(path)
    return {
        "name": f"pairs-{length}",
        "data": files,
        "text": ["sentence1", "sentence2"],
        "label": "label",
        "metric": ["accuracy"],
    }
