"""Tokens equal the tokenizer's own, the cache survives damage, and batches hold every row once."""

import errno
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finebench.bench.data import token_cache
from finebench.bench.data.embedded import MODEL_DIR
from finebench.bench.data.task_data import TaskData, load_task
from finebench.bench.data.token_cache import tokenizer_key
from finebench.bench.data.tokenize import Tokens, cached_tokens, collate, epoch_order, eval_batches, tokenize
from finebench.bench.tasks import task
from finebench.bench.util.errors import DataError, ModelError
from finebench.bench.util.user_cache import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL_DIR)


@pytest.fixture(scope="module")
def pairs() -> TaskData:
    return load_task(task("mini-mrpc"), None)


def equal(one: Tokens, other: Tokens) -> bool:
    names = ("ids", "offsets", "type_ids")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


# tokens


@pytest.mark.parametrize("max_length", [12, 128])
def test_tokens_are_the_tokenizers_own(tokenizer: Any, pairs: TaskData, max_length: int) -> None:
    texts = tuple(column[:40] for column in pairs.train.texts)
    found = tokenize(tokenizer, texts, max_length)
    assert (found.ids.dtype, found.offsets.dtype) == (np.int32, np.int64)
    for row, (first, second) in enumerate(zip(*texts, strict=True)):
        own = tokenizer(first, second, truncation="longest_first", max_length=max_length)
        span = slice(found.offsets[row], found.offsets[row + 1])
        assert found.ids[span].tolist() == own["input_ids"]
        assert found.type_ids is not None
        assert found.type_ids[span].tolist() == own["token_type_ids"]
    assert len(found) == 40
    assert found.lengths.max() <= max_length


def test_chunks_make_no_difference(tokenizer: Any, pairs: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = tuple(column[:50] for column in pairs.train.texts)
    whole = tokenize(tokenizer, texts, 64)
    monkeypatch.setattr("finebench.bench.data.tokenize.CHUNK", 7)
    assert equal(tokenize(tokenizer, texts, 64), whole)


def test_the_longer_text_of_a_pair_is_cut_first(tokenizer: Any) -> None:
    found = tokenize(tokenizer, (["the dog sleeps"], ["the dog sees " * 30]), 16)
    first = tokenizer("the dog sleeps")["input_ids"]
    assert found.ids[: len(first)].tolist() == first
    assert found.lengths.tolist() == [16]


def test_no_room_for_text_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"training\.max_length 4 leaves no room for text: 3 tokens"):
        tokenize(tokenizer, (["a"], ["b"]), 4)


class Bare:
    """A tokenizer as GPT-2's: one token a character, nothing between two texts, no type ids."""

    model_input_names = ("input_ids", "attention_mask")

    def num_special_tokens_to_add(self, pair: bool) -> int:
        return 0

    def __call__(self, *texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
        assert not options["return_token_type_ids"]
        return {"input_ids": [[ord(c) for c in "".join(row)] for row in zip(*texts, strict=True)]}


def test_a_tokenizer_without_separator_gets_a_line_break() -> None:
    found = tokenize(Bare(), (["ab"], ["c"]), 8)
    assert "".join(map(chr, found.ids)) == "ab\nc"
    assert found.type_ids is None
    assert set(collate(found, np.array([0]), 0)) == {"input_ids", "attention_mask"}


def test_a_text_without_any_token_is_refused_by_row() -> None:
    with pytest.raises(DataError, match=r"^reviews\.csv, row 2: the text has no token in this model's vocabulary"):
        tokenize(Bare(), (["a", ""],), 8, place=lambda row: f"reviews.csv, row {row + 1}")


# the cache


def test_the_cache_gives_back_what_was_tokenised(tokenizer: Any, pairs: TaskData, cache: Path) -> None:
    direct = tokenize(tokenizer, pairs.score.texts, 32)
    for _ in range(2):
        assert equal(cached_tokens(pairs, "score", MODEL_DIR, 32), direct)
    (entry,) = (path for path in cache.iterdir() if path.is_dir())
    assert sorted(path.name for path in entry.iterdir()) == ["checksum.json", "ids.npy", "offsets.npy", "type_ids.npy"]


def test_a_second_call_neither_tokenises_nor_copies(pairs: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_tokens(pairs, "score", MODEL_DIR, 32)
    monkeypatch.setattr("finebench.bench.data.tokenize.tokenize", lambda *args: pytest.fail("tokenised again"))
    found = cached_tokens(pairs, "score", MODEL_DIR, 32)
    assert isinstance(found.ids.base, np.memmap)
    assert type(found.ids) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        found.ids[0] = 0


def test_every_input_has_an_entry_of_its_own(pairs: TaskData, cache: Path, tmp_path: Path) -> None:
    import shutil

    changed = tmp_path / "model"
    shutil.copytree(MODEL_DIR, changed, ignore=shutil.ignore_patterns("*.safetensors"))
    (changed / "tokenizer_config.json").write_text((changed / "tokenizer_config.json").read_text() + "\n")
    for args in (("score", MODEL_DIR, 32), ("score", MODEL_DIR, 16), ("train", MODEL_DIR, 32), ("score", changed, 32)):
        cached_tokens(pairs, *args)
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 4


@pytest.mark.parametrize(("model_type", "given"), [("bert", True), ("distilbert", False), ("roberta", False)])
def test_type_ids_are_given_only_to_models_that_take_them(
    pairs: TaskData, tmp_path: Path, model_type: str, given: bool
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((MODEL_DIR / name).read_bytes())
    sizes = {"bert": {}, "distilbert": {}, "roberta": {"type_vocab_size": 1}}[model_type]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **sizes}))
    found = cached_tokens(pairs, "score", tmp_path, 32)
    assert (found.type_ids is not None) == given
    assert np.array_equal(found.ids, cached_tokens(pairs, "score", MODEL_DIR, 32).ids)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "foreign", "pickle"])
def test_a_damaged_entry_is_made_again(pairs: TaskData, cache: Path, damage: str) -> None:
    before = cached_tokens(pairs, "score", MODEL_DIR, 32).ids.tolist()
    (entry,) = (path for path in cache.iterdir() if path.is_dir())
    file = entry / "ids.npy"
    data = file.read_bytes()
    if damage == "truncate":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "remove":
        (entry / "checksum.json").unlink()
    elif damage == "foreign":
        np.save(file, np.arange(3))
    else:
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    assert cached_tokens(pairs, "score", MODEL_DIR, 32).ids.tolist() == before
    assert file.read_bytes() == data
    assert not [path for path in cache.iterdir() if path.name.startswith("_")]


def test_many_readers_at_once_tokenise_once(pairs: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def slow(*args: Any) -> Tokens:
        calls.append(1)
        time.sleep(0.1)
        return tokenize(*args)

    monkeypatch.setattr("finebench.bench.data.tokenize.tokenize", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_tokens(pairs, "score", MODEL_DIR, 24), range(4)))
    assert len(calls) == 1
    assert all(equal(one, found[0]) for one in found)


def test_a_cache_folder_that_cannot_be_written_is_named_and_done_without(
    pairs: TaskData, tmp_path: Path, monkeypatch: Any
) -> None:
    wanted = cached_tokens(pairs, "score", MODEL_DIR, 32)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path / "file"))
    notes: list[str] = []
    assert equal(cached_tokens(pairs, "score", MODEL_DIR, 32, notes.append), wanted)
    (note,) = notes
    assert re.fullmatch(r"cache folder .*/file/tokens: cannot be written: Not a directory; each .*", note)
    assert "FINEBENCH_CACHE=DIR" in note


def test_a_disk_that_fills_while_the_cache_is_written_costs_no_trial(
    pairs: TaskData, tmp_path: Path, monkeypatch: Any
) -> None:
    wanted, notes = cached_tokens(pairs, "score", MODEL_DIR, 32), list[str]()

    def full(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(np, "save", full)
    assert equal(cached_tokens(pairs, "score", MODEL_DIR, 32, notes.append), wanted)
    assert "cannot be written: No space left on device; each worker" in notes[0]
    assert [path.name for path in (tmp_path / "tokens").iterdir() if not path.name.endswith(".lock")] == []


def test_a_folder_without_a_tokenizer_is_named(pairs: TaskData, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="no vocabulary"):
        cached_tokens(pairs, "score", tmp_path, 32)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="its tokenizer cannot be loaded"):
        cached_tokens(pairs, "score", tmp_path, 32)


@pytest.mark.parametrize("package", ["transformers", "tokenizers", "sentencepiece"])
def test_another_version_of_what_makes_tokens_has_entries_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """Either may make other tokens of a text, also from one and the same tokenizer.json."""
    before = tokenizer_key(MODEL_DIR, ["x"])
    real = token_cache.version
    monkeypatch.setattr(token_cache, "version", lambda name: "0.0" if name == package else real(name))
    assert tokenizer_key(MODEL_DIR, ["x"]) != before


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["FINEBENCH_CACHE"])
    monkeypatch.delenv("FINEBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/finebench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/finebench"


# batches

lengths_ = st.lists(st.integers(1, 60), min_size=1, max_size=400).map(np.array)


@settings(deadline=None)
@given(lengths_, st.integers(1, 33), st.integers(0, 2**62), st.integers(0, 50))
def test_an_epoch_holds_every_row_once(lengths: np.ndarray, size: int, seed: int, epoch: int) -> None:
    batches = epoch_order(lengths, size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes = sorted(len(batch) for batch in batches)
    assert set(sizes[1:]) <= {size}
    assert sizes[0] == (len(lengths) % size or size)
    again = epoch_order(lengths, size, seed, epoch)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))


def test_the_order_differs_by_seed_and_by_epoch_and_is_the_same_for_ever() -> None:
    lengths = np.arange(100) % 9 + 1
    orders = [np.concatenate(epoch_order(lengths, 8, seed, epoch)).tolist() for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert len({tuple(order) for order in orders}) == 3
    assert orders[0][:12] == GOLDEN_ORDER


GOLDEN_ORDER = [81, 90, 73, 55, 74, 23, 52, 26, 45, 64, 28, 83]


def test_bucketing_removes_padding_and_keeps_the_order_random() -> None:
    lengths = np.random.default_rng(0).integers(5, 120, 4000)
    batches = epoch_order(lengths, 16, 3, 0)
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded / lengths.sum() < 1.1  # 1.88 without bucketing
    means = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2


@pytest.mark.parametrize("count", [330, 990, 3300])
def test_who_meets_whom_changes_with_epoch_and_seed_also_in_little_data(count: int) -> None:
    lengths = np.random.default_rng(0).normal(53, 17, count).clip(12, 128).astype(int)

    def companions(seed: int, epoch: int) -> np.ndarray:
        met = np.zeros((count, count), dtype=bool)
        for batch in epoch_order(lengths, 16, seed, epoch):
            met[np.ix_(batch, batch)] = True
        return met & ~np.eye(count, dtype=bool)

    first = companions(1, 0)
    for other in (companions(1, 1), companions(2, 0)):
        assert (first & other).sum() / first.sum() < 0.1  # two thirds where all of 330 rows are sorted together


def test_the_partial_batch_is_drawn_at_random() -> None:
    lengths = np.arange(1, 331)
    partial = [min(epoch_order(lengths, 16, seed, 0), key=len) for seed in range(40)]
    assert {len(batch) for batch in partial} == {330 % 16}
    mean = np.mean([lengths[batch].mean() for batch in partial])
    assert abs(mean - 165.5) < 4 * 95.3 / np.sqrt(400)  # sd of one length, 40 batches of 10


@settings(deadline=None)
@given(lengths_, st.integers(1, 33))
def test_eval_batches_hold_every_row_once_longest_first(lengths: np.ndarray, size: int) -> None:
    order = np.concatenate(eval_batches(lengths, size))
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) <= 0).all()


def test_a_batch_is_padded_to_its_longest_row() -> None:
    tokens = Tokens(
        np.arange(1, 7, dtype=np.int32), np.array([0, 1, 4, 6]), np.array([0, 0, 0, 1, 0, 1], dtype=np.uint8)
    )
    batch = collate(tokens, np.array([2, 0]), pad_id=9)
    assert batch["input_ids"].tolist() == [[5, 6], [1, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1], [0, 0]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    assert collate(tokens, np.array([1]), pad_id=9)["input_ids"].tolist() == [[2, 3, 4]]


def test_a_batch_equals_the_tokenizers_own_padding(tokenizer: Any, pairs: TaskData) -> None:
    texts = tuple(column[:16] for column in pairs.train.texts)
    found = collate(tokenize(tokenizer, texts, 64), np.arange(16), tokenizer.pad_token_id)
    own = tokenizer(*texts, padding=True, truncation="longest_first", max_length=64, return_tensors="pt")
    assert set(found) == set(own)
    assert all(torch.equal(found[name], own[name]) for name in found)


def test_importing_the_layer_does_not_import_transformers() -> None:
    code = "import sys, finebench.bench.data.tokenize\n"
    code += "assert not {'transformers', 'datasets', 'pyarrow', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
