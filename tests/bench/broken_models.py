"""Model folders that load for nobody or fail in every trial, each broken in one way, from tiny models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tests.bench.tiny_models import tiny_model

EMBEDDED = Path(__file__).resolve().parents[2] / "bench" / "data" / "embedded" / "model"
VOCABULARY = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


def sound(folder: Path, kind: str = "bert") -> Path:
    """A tiny model of a family with the embedded model's vocabulary and an embedding for all of it."""
    model = tiny_model(kind, vocab_size=len(AutoTokenizer.from_pretrained(EMBEDDED)))
    model.save_pretrained(folder)
    for name in VOCABULARY:
        shutil.copy(EMBEDDED / name, folder / name)
    return folder


def copied(folder: Path) -> Path:
    """The embedded model."""
    shutil.copytree(EMBEDDED, folder, dirs_exist_ok=True)
    return folder


def set_config(folder: Path, **changes: object) -> None:
    """Change keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def added_token(folder: Path) -> None:
    """A token was added to the tokenizer, the model was not resized."""
    tokenizer = AutoTokenizer.from_pretrained(copied(folder))
    tokenizer.add_tokens(["searcher"])
    tokenizer.save_pretrained(folder)


def padding_beyond(folder: Path, kind: str = "bert") -> None:
    """A padding token was added to the tokenizer alone."""
    tokenizer = AutoTokenizer.from_pretrained(sound(folder, kind))
    tokenizer.add_special_tokens({"pad_token": "<padding>"})
    tokenizer.save_pretrained(folder)


def padding_beyond_config(folder: Path) -> None:
    """The same, and told to the config."""
    padding_beyond(folder, "gpt2")
    set_config(folder, pad_token_id=json.loads((folder / "config.json").read_text())["vocab_size"])


def no_padding(folder: Path) -> None:
    """Neither padding nor end token."""
    tokenizer = AutoTokenizer.from_pretrained(sound(folder, "gpt2"))
    for name in ("pad_token", "eos_token"):
        setattr(tokenizer, name, None)
    tokenizer.save_pretrained(folder)


def renamed(wrap: Callable[[str], str]) -> Callable[[Path], None]:
    """All weights under other names."""

    def make(folder: Path) -> None:
        file = sound(folder) / "model.safetensors"
        save_file({wrap(name): tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})

    return make


def renamed_bin(folder: Path) -> None:
    """Weights under DDP's prefix in a .bin file."""
    file = sound(folder) / "model.safetensors"
    torch.save({f"module.{name}": tensor for name, tensor in load_file(file).items()}, folder / "pytorch_model.bin")
    file.unlink()


def quantised(way: str, **options: object) -> Callable[[Path], None]:
    """A checkpoint that says it is quantised, in a way whose library is not installed."""

    def make(folder: Path) -> None:
        set_config(sound(folder), quantization_config={"quant_method": way, **options})

    return make


def not_a_number(folder: Path) -> None:
    """One weight of the encoder is NaN."""
    file = sound(folder) / "model.safetensors"
    weights = load_file(file)
    weights["bert.encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})


def few_positions(folder: Path) -> None:
    """Fewer positions than the config says: weights and config disagree with what the texts need."""
    model = tiny_model("bert", vocab_size=len(AutoTokenizer.from_pretrained(EMBEDDED)), max_position_embeddings=12)
    model.config.position_embedding_type = "relative_key"
    model.save_pretrained(folder)
    for name in VOCABULARY:
        shutil.copy(EMBEDDED / name, folder / name)


CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "token added": (added_token, r"its tokenizer has token 'searcher' with id \d+, .* row \d+; resize the model"),
    "padding added": (padding_beyond, r"padding token '<padding>' has id \d+, and the model embeds ids 0 to"),
    "padding added, decoder": (lambda folder: padding_beyond(folder, "gpt2"), r"padding token '<padding>' has id \d+"),
    "padding in config": (padding_beyond_config, r"config.json: pad_token_id \d+ is none of the model's"),
    "neither": (no_padding, "neither a padding nor an end-of-text token"),
    "compiled": (renamed(lambda name: f"_orig_mod.{name}"), r"names them with '_orig_mod\.', as torch.compile does"),
    "compiled inside": (renamed(lambda name: name.replace("bert.", "bert._orig_mod.")), "as torch.compile does"),
    "ddp": (renamed(lambda name: f"module.{name}"), r"names them with 'module\.', as DistributedDataParallel does"),
    "ddp, bin": (renamed_bin, r"pytorch_model.bin: .* as DistributedDataParallel does"),
    "other names": (renamed(lambda name: f"net.0.{name}"), r"the file holds others, e\.g\. net\.0\."),
    "bitsandbytes": (quantised("bitsandbytes", load_in_4bit=True), r"weights are quantised \(bitsandbytes\): install"),
    "gptq": (quantised("gptq", bits=4), r"weights are quantised \(gptq\): install"),
    "awq": (quantised("awq", bits=4, group_size=32), r"weights are quantised \(awq\): install"),
    "compressed": (quantised("compressed-tensors"), r"quantised \(compressed-tensors\): install"),
    "nan": (not_a_number, "outputs that are not finite on .* are its weights sound"),
    "positions": (few_positions, "the model fails on .* rows? .*: (IndexError|RuntimeError)"),
}
"""How a folder is made, and what the one message says of it."""
