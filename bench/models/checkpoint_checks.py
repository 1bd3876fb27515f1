"""What can be told of a model folder without torch: are its weights and vocabulary there, and does it ask for what is
refused?

A study is checked so before anything starts; the loader (bench.models.load) checks the same and has the last word.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from safetensors import SafetensorError, safe_open

from finebench.bench.models.architecture import Architecture
from finebench.bench.util.errors import ModelError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")
RESIZE = "resize the model to its tokenizer (model.resize_token_embeddings(len(tokenizer))) and save both"
_WRAPPERS = {
    "_orig_mod": "torch.compile",
    "module": "DistributedDataParallel",
    "_fsdp_wrapped_module": "FullyShardedDataParallel",
    "_checkpoint_wrapped_module": "torch's checkpoint_wrapper",
}
"""What a training script wraps a model in, by the part that it adds to the names of its weights."""


def check_folder(folder: Path, shape: Architecture) -> None:
    """Raise ModelError naming the folder or file where the model cannot be used."""
    refuse_code(shape.raw, folder)
    file = weights_file(folder)
    refuse_giants(shape, folder)
    for part in _parts(file):
        _check_whole(part)
    _refuse_padding(shape.raw, folder)
    if lacking := _lacking_vocabulary(folder):
        raise ModelError(f"model folder {str(folder)!r} has no {lacking}; save the tokenizer beside the model")


def missing_from(folder: Path) -> list[str]:
    """What a folder lacks to be a whole model: files that are not there, lead nowhere, or are cut short."""
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    try:
        for part in _parts(weights_file(folder)):
            _check_whole(part)
    except ModelError as error:
        missing.append(str(error))
    lacking = _lacking_vocabulary(folder)
    return missing + ([lacking] if lacking else [])


def why_absent(unexpected: Iterable[str], raw: dict[str, Any]) -> str:
    """Words on why weights of the encoder were not found, from the names that the file has instead and the config."""
    names = sorted(unexpected)
    wrapper = next((part for name in names for part in name.split(".") if part in _WRAPPERS), None)
    if wrapper is not None:
        return (
            f"; the file names them with {wrapper + '.'!r}, as {_WRAPPERS[wrapper]} does: save the model that it "
            f"wraps, e.g. model.{wrapper}.save_pretrained(…)"
        )
    if raw.get("quantization_config"):
        return quantised(raw)
    return f"; the file holds others, e.g. {names[0]}" if names else ""


def quantised(raw: dict[str, Any]) -> str:
    """Words on a checkpoint whose config says that it is quantised; empty for any other."""
    found = raw.get("quantization_config")
    if not found:
        return ""
    way = found.get("quant_method") if isinstance(found, dict) else None
    kind = f" ({way})" if isinstance(way, str) else ""
    return (
        f"; config.json says that its weights are quantised{kind}: install the library that reads them, or use the "
        "checkpoint that is not quantised"
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


def _refuse_padding(raw: dict[str, Any], folder: Path) -> None:
    """Refuse a padding token that the model has no row for: it was added to the tokenizer alone."""
    padding, size = raw.get("pad_token_id"), raw.get("vocab_size")
    if isinstance(padding, int) and isinstance(size, int) and padding >= size > 0:
        raise ModelError(
            f"{folder / 'config.json'}: pad_token_id {padding} is none of the model's {size:,} tokens (0 to "
            f"{size - 1}); {RESIZE}, or make one of them the padding token"
        )


def _lacking_vocabulary(folder: Path) -> str | None:
    """What keeps a folder from having a vocabulary; None where it has one."""
    found = {path.name for pattern in _VOCABULARIES for path in folder.glob(pattern) if path.is_file()}
    if not found:
        return f"vocabulary: none of {', '.join(_VOCABULARIES)}"
    if found == {"vocab.json"} and not (folder / "merges.txt").is_file():
        return "merges.txt, without which vocab.json is half a vocabulary"
    return None


def refuse_giants(shape: Architecture, folder: Path) -> None:
    """Refuse a config that describes a far larger model than the folder's weights before it is built."""
    weights = (path for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern))
    there = sum(path.stat().st_size for path in weights if path.is_file())
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
    """Raise ModelError where a file of weights is cut short: the header of safetensors says how long it must be, and
    the zip that torch.save writes ends with a directory."""
    if file.suffix == ".bin":
        with file.open("rb") as stream:
            if stream.read(2) == b"PK" and not is_zipfile(file):
                raise ModelError(f"{file}: the model cannot be loaded: the file is cut short")
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="np"):
            pass
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: the model cannot be loaded: {' '.join(str(error).split())[:400]}") from error
