"""Padding changes no output: it stands on the side that the model's head needs, or the model is refused."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finebench.bench.data.tokenize import Tokens, collate
from finebench.bench.models.freeze_check import FreezeAudit
from finebench.bench.models.load import load_backbone
from finebench.bench.models.padding import padding_changes, padding_side, sample
from finebench.bench.training.worker.messages import Share, Shipment
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util.errors import ModelError
from tests.bench.tiny import tiny_prepared
from tests.bench.tiny_models import CONFIGS, OTHERS, tiny_model

EMBEDDED = Path(__file__).resolve().parents[3] / "bench" / "data" / "embedded" / "model"


def rows(*lengths: int) -> Tokens:
    """Rows of these lengths that end as T5's do."""
    ids = np.random.default_rng(0).integers(3, 60, sum(lengths)).astype(np.int32)
    offsets = np.cumsum([0, *lengths])
    ids[offsets[1:] - 1] = 2
    return Tokens(ids, offsets, None)


@pytest.mark.parametrize("kind", [*CONFIGS, *OTHERS])
def test_every_family_has_its_side(kind: str) -> None:
    model = tiny_model(kind)
    audit = FreezeAudit(model)
    side = padding_side(model, rows(5, 20), 0)
    assert side == ("left" if kind == "xlnet" else "right")
    assert audit.check(model) == []
    assert audit.idle(model) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("kind", ["bert", "gpt2", "xlnet"])
def test_the_other_side_is_seen_to_be_wrong(kind: str) -> None:
    """By a long row's padding of a short one, whichever comes first."""
    wrong: Any = "right" if kind == "xlnet" else "left"
    assert padding_changes(tiny_model(kind), rows(5, 20), 0, wrong)
    assert padding_changes(tiny_model(kind), rows(20, 5), 0, wrong)


def test_a_head_that_begins_at_zero_hides_nothing() -> None:
    model = tiny_model("xlnet")
    nn.init.zeros_(model.logits_proj.weight)
    assert padding_side(model, rows(5, 20), 0) == "left"
    assert not model.logits_proj.weight.any()


def blind_to_its_mask(model: Any) -> Any:
    """A model that reads padding like text."""
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: (args, kwargs | {"attention_mask": torch.ones_like(kwargs["attention_mask"])}),
        with_kwargs=True,
    )
    return model


def test_a_model_that_reads_padding_is_refused() -> None:
    with pytest.raises(ModelError, match="padding changes what this bert model gives for a text"):
        padding_side(blind_to_its_mask(tiny_model("bert")), rows(5, 20), 0)


def test_a_model_that_cannot_take_the_rows_is_refused_in_one_message() -> None:
    """T5 wants an end-of-text token in every row."""
    tokens = dataclasses.replace(rows(5, 20), ids=np.full(25, 7, dtype=np.int32))
    tokens.ids[3] = 2
    with pytest.raises(ModelError, match="this t5 model cannot classify two texts of different length: "):
        padding_side(tiny_model("t5"), tokens, 0)


def test_batches_are_padded_on_the_tokens_side() -> None:
    tokens = Tokens(np.array([1, 2, 3, 4], np.int32), np.array([0, 1, 4]), np.array([1, 1, 0, 1], np.uint8), left=True)
    batch = collate(tokens, np.array([0, 1]), pad_id=9)
    assert batch["input_ids"].tolist() == [[9, 9, 1], [2, 3, 4]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1], [1, 0, 1]]


def folder_of(kind: str, folder: Path) -> Path:
    """A model folder with the embedded tokenizer."""
    tiny_model(kind, vocab_size=2048).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(EMBEDDED / name, folder / name)
    return folder


def test_predictions_of_xlnet_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    """From the folder to the logits of a task's rows."""
    ready = tiny_prepared()
    cache = WorkerCache(Shipment("tiny", str(folder_of("xlnet", tmp_path)), ready.tasks, timeout=60.0), Share())
    task = ready.tasks["mini-cola"]
    found = cache.backbone(task)
    assert (found.side, found.tokenizer.padding_side) == ("left", "left")
    tokens = cache.tokens(task, "score", 32)
    picked = np.argsort(tokens.lengths, kind="stable")[:: len(tokens) // 8]
    with torch.no_grad():
        together = found.model(**collate(tokens, picked, found.pad_id)).logits
        alone = torch.cat(
            [found.model(**collate(tokens, picked[[i]], found.pad_id)).logits for i in range(len(picked))]
        )
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_a_folder_whose_model_reads_padding_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "finebench.bench.models.padding._logits",
        lambda model, tokens, rows, pad_id: torch.ones(len(rows), 2) * len(rows),
    )
    with pytest.raises(ModelError, match=r"model folder .*: padding changes what this bert model"):
        load_backbone(folder_of("bert", tmp_path), 2, False)


def test_the_sample_stands_between_the_tokenizers_own_tokens() -> None:
    found = load_backbone(EMBEDDED, 2, False)
    tokens = sample(found.model, found.tokenizer)
    special = set(found.tokenizer.all_special_ids)
    for begin, end in zip(tokens.offsets, tokens.offsets[1:], strict=False):
        row = tokens.ids[begin:end].tolist()
        assert (row[0], row[-1]) == (found.tokenizer.cls_token_id, found.tokenizer.sep_token_id)
        assert not special & set(row[1:-1])
