"""Texts to tokens, once per node, and tokens to batches, without padding to a fixed length.

    tokens = cached_tokens(task, "train", Path("model"), max_length=128)
    for rows in epoch_order(tokens.lengths, batch_size=16, order_seed=1, epoch=0):
        batch = collate(tokens, rows, pad_id=0)

Batches depend on (order seed, epoch) alone, so that every method sees the same ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from finebench.bench.data.task_data import TaskData
from finebench.bench.data.token_cache import Tokenised, cached, split_key
from finebench.bench.tasks import Files, OneFile
from finebench.bench.util.errors import DataError, ModelError

__all__ = ["Tokens", "cached_tokens", "collate", "epoch_order", "eval_batches", "tokenize"]

Rows = NDArray[np.int64]

MEGABATCH = 50
"""At most so many batches are sorted by length together: with that many, padding nearly vanishes."""

MIXING = 8
"""An epoch has at least so many groups that are sorted apart, so that who meets whom stays random.

Were a small training set sorted as one, each row would meet the same rows in every epoch and under every order seed,
and the spread over data orders would be understated. Of 330 rows with MRPC's lengths in batches of 16, 64 % of a row's
companions recurred in the next epoch where all were sorted together (1.06 times the tokens with padding), 15 % with 4
groups (1.15 times), 8 % with 8 (1.32), 4 % without sorting (1.57), which is chance.
"""

CHUNK = 20_000
"""Texts tokenised at a time, which bounds the memory that the tokenizer's own objects take."""

_NAMESPACE = 0x46425F33  # "FB_3": keeps these streams apart from any other use of the same small integers


@dataclass(frozen=True)
class Tokens:
    """A tokenised split, flat: row i is `ids[offsets[i]:offsets[i + 1]]`.

    `ids` int32 [total], `offsets` int64 [n + 1], `type_ids` uint8 [total] for tokenizers that tell texts apart.
    `left`: batches are padded on the left, as the model needs it (bench.models.padding).
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    type_ids: NDArray[np.uint8] | None
    left: bool = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, special ones included: [n]."""
        return np.diff(self.offsets)

    def batch(self, rows: Rows, pad_id: int, among: Rows | None = None) -> dict[str, torch.Tensor]:
        """What a model is called with for these rows: see `collate`."""
        return collate(self, rows, pad_id, among)


def tokenize(
    tokenizer: Any,
    texts: tuple[Sequence[str], ...],
    max_length: int,
    type_ids: bool = True,
    place: Callable[[int], str] = lambda row: f"the data, row {row + 1}",
) -> Tokens:
    """Tokenise one or two parallel lists of texts, cutting the longer of a pair first.

    Type ids are kept where the tokenizer gives them, unless `type_ids` is off. A tokenizer that puts nothing between
    two texts (GPT-2's) gets a line break there. Raises DataError where `max_length` leaves no room for text, and where
    nothing is left of a row; `place` says which one that is, from its number here (0 is the first).
    """
    pair = len(texts) == 2
    special = tokenizer.num_special_tokens_to_add(pair=pair)
    if max_length < special + len(texts):
        raise DataError(
            f"training.max_length {max_length} leaves no room for text: {special} tokens mark beginning and end"
        )
    if pair and special == tokenizer.num_special_tokens_to_add(pair=False):
        texts = (texts[0], ["\n" + text for text in texts[1]])
    typed = type_ids and "token_type_ids" in tokenizer.model_input_names
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.uint8]] = []
    lengths: list[int] = []
    for start in range(0, len(texts[0]), CHUNK):
        encoded = tokenizer(
            *(column[start : start + CHUNK] for column in texts),
            truncation="longest_first" if pair else True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=typed,
        )
        lengths += [len(row) for row in encoded["input_ids"]]
        ids.append(_flat(encoded["input_ids"], np.int32))
        if typed:
            types.append(_flat(encoded["token_type_ids"], np.uint8))
    if 0 in lengths:
        raise DataError(
            f"{place(lengths.index(0))}: the text has no token in this model's vocabulary; leave the row "
            "out, or take another model"
        )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(np.concatenate(ids), offsets, np.concatenate(types) if typed else None)


def _flat(rows: list[list[int]], dtype: Any) -> NDArray[Any]:
    return np.fromiter(chain.from_iterable(rows), dtype=dtype)


def cached_tokens(
    task_data: TaskData,
    split_name: str,
    folder: Path,
    max_length: int,
    note: Callable[[str], None] = lambda text: None,
) -> Tokens:
    """One split ("train" or "score") tokenised by the model folder's tokenizer: from the node's cache, or into it.

    The arrays are memory-mapped, so that processes of one node share them; where that cannot be, `note` is told.
    """
    split = {"train": task_data.train, "score": task_data.score}[split_name]

    def build() -> Tokenised:
        tokenizer, type_ids = _tokenizer(folder)
        tokens = tokenize(tokenizer, split.texts, max_length, type_ids, partial(row_of, task_data, split_name))
        return Tokenised(tokens.ids, tokens.offsets, tokens.type_ids)

    found = cached(split_key(task_data, split_name, folder, max_length), len(split), build, note)
    return Tokens(found.ids, found.offsets, found.type_ids)


def row_of(task_data: TaskData, split_name: str, row: int) -> str:
    """What a message calls a row of a split (0 is the first): its file, and its number there."""
    return f"{place_of(task_data, split_name)}, row {row_number(task_data, split_name, row)}"


def row_number(task_data: TaskData, split_name: str, row: int) -> int:
    """The number that a row of a split (0 is the first) has in its file."""
    numbers = getattr(task_data, split_name).numbers
    return row + 1 if numbers is None else int(numbers[row])


def place_of(task_data: TaskData, split_name: str) -> str:
    """What a message calls a split ("train" or "score"): its file, where the task has files of its own."""
    source = task_data.task.source
    if isinstance(source, Files):
        return source.train if split_name == "train" else source.validation
    if isinstance(source, OneFile):
        return source.file
    whole = split_name == "train" or task_data.task.held_out is not None
    return f"task {task_data.task.name!r}, {'train' if whole else 'validation'}"


def _tokenizer(folder: Path) -> tuple[Any, bool]:
    """The folder's tokenizer, and whether its model takes type ids: some (DistilBERT) fail on them."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"model folder {folder}: its tokenizer cannot be loaded: {reason}") from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # without vocabulary files transformers 5 makes a tokenizer that knows no word, and says nothing
        raise ModelError(f"model folder {folder}: no vocabulary; tokenizer.json or the model's own files are needed")
    return tokenizer, int(getattr(config, "type_vocab_size", 0)) > 1


def _keys(seed: int, epoch: int) -> Callable[[int], NDArray[np.uint64]]:
    """A stream of random sort keys: raw words of PCG64, whose stream NumPy promises to keep."""
    return np.random.PCG64(np.random.SeedSequence([_NAMESPACE, seed, epoch])).random_raw


def epoch_order(lengths: NDArray[Any], batch_size: int, order_seed: int, epoch: int) -> list[Rows]:
    """Batches of one epoch, as positions in `lengths` [n]; each position once, the last partial batch kept.

    Positions are shuffled; those that fill no whole batch are the partial one; the others are cut into groups of whole
    batches, sorted by length within each, and cut into batches. All batches are then shuffled.
    """
    keys = _keys(order_seed, epoch)
    order = np.argsort(keys(len(lengths)), kind="stable")
    whole = len(order) // batch_size
    rest = order[whole * batch_size :]
    order = order[: whole * batch_size]
    group = np.arange(len(order)) // (batch_size * max(1, min(MEGABATCH, whole // MIXING)))
    order = order[np.lexsort((np.asarray(lengths)[order], group))]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    batches += [rest] if len(rest) else []
    return [batches[i] for i in np.argsort(keys(len(batches)), kind="stable")]


def eval_batches(lengths: NDArray[Any], batch_size: int) -> list[Rows]:
    """Batches for evaluation, as positions in `lengths` [n], the longest first."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def collate(tokens: Tokens, rows: Rows, pad_id: int, among: Rows | None = None) -> dict[str, torch.Tensor]:
    """A batch of `rows`, padded to the longest of them on the tokens' side: int64 tensors [len(rows), longest].

    `input_ids` and `attention_mask`, and `token_type_ids` where the tokenizer gives them. Rows that are padded on the
    left are moved by it, and with them their dropout: as a part of the rows `among`, they stand where they do there.
    """
    lengths = tokens.lengths[rows]
    longest = lengths.max() if among is None or not tokens.left else tokens.lengths[among].max()
    columns = np.arange(longest)
    starts = (longest - lengths if tokens.left else np.zeros_like(lengths))[:, None]
    mask = (columns >= starts) & (columns < starts + lengths[:, None])
    places = (tokens.offsets[rows][:, None] + columns - starts)[mask]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = tokens.ids[places]
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}
    if tokens.type_ids is not None:
        types = np.zeros(mask.shape, dtype=np.int64)
        types[mask] = tokens.type_ids[places]
        batch["token_type_ids"] = torch.from_numpy(types)
    return batch
