"""Whether a checkpoint brings a trained pooler, read from its safetensors files without torch.

BERT-shaped classifiers read the first token through a pooler. Many checkpoints hold none (masked language models), and
many encoders trained for sentence similarity hold one that no loss ever reached: it was drawn at random when training
began, its biases are still exactly zero and weight decay has shrunk its weights. Such a pooler is worth no more than a
missing one, and frozen it does harm: a method that trains neither it nor a bias of it sees next to nothing of the
encoder. Either way it is drawn anew from the trial's seed and trained as part of the head.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def is_pooler(name: str) -> bool:
    """Whether a parameter of a backbone belongs to its pooler."""
    return "pooler" in name.split(".")


def brings_pooler(folder: Path) -> bool:
    """Whether the folder's weights hold a pooler that has been trained; True where they are in no safetensors file.

    The loader reads the weights themselves and has the last word (bench.models.load); this is for counting beforehand.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return True
    biases = [bias for file in files for bias in _biases(file)]
    return any(biases)


def _biases(file: Path) -> list[bool]:
    """For every pooler bias of a file, whether any of its values is other than zero; a damaged file has none, and is
    refused when it is loaded."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > MAX_HEADER_BYTES:
                return []
            header: dict[str, Any] = json.loads(stream.read(length))
            found = []
            for name, entry in header.items():
                if is_pooler(name) and name.endswith("bias") and entry["dtype"] in _TYPES:
                    begin, end = entry["data_offsets"]
                    stream.seek(8 + length + begin)
                    # -0.0 has a sign bit, in BF16 too, whose bits are read as they are
                    found.append(bool(np.frombuffer(stream.read(end - begin), _TYPES[entry["dtype"]]).any()))
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError):
        return []
