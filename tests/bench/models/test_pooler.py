"""Whether weights bring a trained pooler, read from safetensors without torch."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from finebench.bench.models.pooler import brings_pooler


def folder(path: Path, **tensors: torch.Tensor) -> Path:
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, path / "model.safetensors")
    return path


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_zero_biases_are_no_pooler_in_any_type(tmp_path: Path, dtype: torch.dtype) -> None:
    weight, bias = torch.ones(4, 4, dtype=dtype), torch.zeros(4, dtype=dtype)
    assert not brings_pooler(folder(tmp_path, bert__pooler__dense__weight=weight, bert__pooler__dense__bias=bias))
    bias[2] = 1e-3
    assert brings_pooler(folder(tmp_path, bert__pooler__dense__weight=weight, bert__pooler__dense__bias=bias))


def test_a_pooler_is_found_by_its_part_of_the_name(tmp_path: Path) -> None:
    assert not brings_pooler(folder(tmp_path, spooler__dense__bias=torch.ones(4)))
    assert brings_pooler(folder(tmp_path, pooler__bias=torch.ones(4)))


def test_shards_are_read_together(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"pooler.dense.bias": torch.ones(2)}, tmp_path / "model-00002-of-00002.safetensors")
    assert brings_pooler(tmp_path)


def test_a_folder_without_safetensors_is_taken_to_bring_one(tmp_path: Path) -> None:
    assert brings_pooler(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\xff" * 64, (9).to_bytes(8, "little") + b"[1, 2, 3]", (2).to_bytes(8, "little") + b"{"]
)
def test_damaged_files_bring_none_and_raise_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert not brings_pooler(tmp_path)
