"""What can be told of a model folder without torch: are its weights and vocabulary there, and does it ask for what is
refused?

A study is checked so before anything starts; the loader (bench.model) checks the same and has the last word.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from bench.architecture import Architecture
from bench.errors import ModelError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")


def check_folder(folder: Path, shape: Architecture) -> None:
    """Raise ModelError naming the folder or file where the model cannot be used."""
    refuse_code(shape.raw, folder)
    file = weights_file(folder)
    refuse_giants(shape, folder)
    for part in _parts(file):
        _check_whole(part)
    if not any(path.is_file() for pattern in _VOCABULARIES for path in folder.glob(pattern)):
        raise ModelError(
            f"model folder {str(folder)!r} has no vocabulary: none of {', '.join(_VOCABULARIES)}; "
            "save the tokenizer beside the model"
        )


def weights_file(folder: Path) -> Path:
    """The weights of a folder, safetensors before .bin; raises ModelError naming what was looked for."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"model folder {str(folder)!r} has no weights: none of {', '.join(_WEIGHTS)}")


def refuse_code(raw: dict[str, Any], folder: Path) -> None:
    """Refuse a config that asks, at any depth, for code of its own or for kernels from the hub, and adapters, whose
    base would be loaded from wherever they say."""
    parts: list[Any] = [raw]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            for key, value in part.items():
                kernel = key.endswith("_implementation") and "/" in str(value)
                if value and (key == "auto_map" or kernel):
                    raise ModelError(
                        f"{folder / 'config.json'}: key {key!r} asks for code that comes with the model; "
                        "it is never run"
                    )
        parts.extend(part.values() if isinstance(part, dict) else part if isinstance(part, list) else ())
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"model folder {str(folder)!r} holds an adapter (adapter_config.json), not a model")


def refuse_giants(shape: Architecture, folder: Path) -> None:
    """Refuse a config that describes a far larger model than the folder's weights before it is built."""
    there = sum(path.stat().st_size for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern))
    layer = 4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate
    asked = shape.hidden * (shape.vocab + shape.positions) + shape.layers * layer
    if asked > 100 * max(there, 1_000_000):  # a parameter takes half a byte or more, and layers may share theirs
        raise ModelError(
            f"{folder / 'config.json'}: describes a model of about {asked:,} parameters; "
            f"its weights have {there:,} bytes"
        )


def _parts(file: Path) -> list[Path]:
    """The files that hold the weights: the file itself, or those that an index names."""
    if file.suffix != ".json":
        return [file]
    try:
        named = json.loads(file.read_bytes())["weight_map"].values()
        parts = sorted({file.parent / str(name) for name in named})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file}: not an index of weights ({type(error).__name__})") from error
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise ModelError(f"{file}: names weights that are not there: {', '.join(missing[:5])}")
    return parts


def _check_whole(file: Path) -> None:
    """Raise ModelError where a safetensors file is cut short or is none; its header says how long it must be."""
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="np"):
            pass
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: the model cannot be loaded: {' '.join(str(error).split())[:400]}") from error
