"""On which side a model's inputs are padded: found by trying, for each model, before anything is trained.

    side = padding_side(model, sample(model, tokenizer), pad_id)     # "right", "left", or a ModelError

Most classifiers read the first token, or look for the last one that is no padding, and take their padding on the right.
XLNet reads the last position whatever stands there, and is padded on the left. A model that gives something else
whenever its input is padded would depend on which rows share a batch, and is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from finebench.bench.data.tokenize import Tokens, collate
from finebench.bench.models.parameters import head_parameter_names
from finebench.bench.util.device_faults import out_of_memory
from finebench.bench.util.errors import ModelError

Side = Literal["right", "left"]


class CannotTell(ModelError):
    """The model or its tokenizer takes no rows, or gives nothing finite: a fault of its own, to be told apart."""


SHORT, LONG = 3, 24
"""Tokens of the two rows on which a model is tried, its special ones aside."""

_OF_SPREAD, _OF_SIZE = 1e-3, 1e-5
"""Padding changes an output that moves by more than this share of the distance between two inputs' outputs, beyond
what rounding in float32 moves it."""


def padding_side(model: PreTrainedModel, tokens: Tokens, pad_id: int) -> Side:
    """The side on which `tokens`, rows of different length, can be padded without changing what the model gives for
    them.

    Raises ModelError where there is none, and CannotTell where the model cannot take the rows.
    """
    kind = model.config.model_type
    try:
        for side in ("right", "left"):
            if not padding_changes(model, tokens, pad_id, side):
                return side
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError, AssertionError) as error:
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:300]
        raise CannotTell(f"this {kind} model cannot classify two texts of different length: {reason}") from error
    raise ModelError(
        f"padding changes what this {kind} model gives for a text, on the right as on the left: its predictions would "
        "depend on which rows share a batch"
    )


@torch.no_grad()
def padding_changes(model: PreTrainedModel, tokens: Tokens, pad_id: int, side: Side) -> bool:
    """Whether a row's logits are others when it is padded on this side to the length of a longer one.

    Tried with weights in the head that let every feature through; the model is left as it was.
    """
    rows = np.argsort(tokens.lengths, kind="stable")[[0, -1]]
    placed = replace(tokens, left=side == "left")
    training = model.training
    model.eval()
    try:
        with _telling_head(model):
            short, long = (_logits(model, placed, rows[[i]], pad_id)[0] for i in (0, 1))
            padded = _logits(model, placed, rows, pad_id)[0]
    finally:
        model.train(training)
    if not (short.isfinite().all() and long.isfinite().all()):
        raise CannotTell(f"this {model.config.model_type} model gives outputs that are not finite")
    moved, spread, size = (float(torch.linalg.vector_norm(x)) for x in (padded - short, long - short, short))
    return not moved <= _OF_SPREAD * spread + _OF_SIZE * size


def _logits(model: PreTrainedModel, tokens: Tokens, rows: Any, pad_id: int) -> Tensor:
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(tokens, rows, pad_id).items()}
    logits: Tensor = model(**batch).logits
    return logits.double()


@contextmanager
def _telling_head(model: PreTrainedModel) -> Iterator[None]:
    """The model with random matrices in its head, as large as keeps their input's size: one that begins at zero says
    the same of every input."""
    matrices = [p for name, p in model.named_parameters() if name in head_parameter_names(model) and p.ndim >= 2]
    before = [matrix.detach().clone() for matrix in matrices]
    generator = torch.Generator().manual_seed(0)
    try:
        for matrix in matrices:
            matrix.copy_(torch.randn(matrix.shape, generator=generator) * matrix.shape[-1] ** -0.5)
        yield
    finally:
        for matrix, own in zip(matrices, before, strict=True):
            matrix.copy_(own)


def sample(model: PreTrainedModel, tokenizer: Any) -> Tokens:
    """Two rows of different length, of ordinary tokens between the special ones that the tokenizer puts around a
    text."""
    begin, end = _around(tokenizer)
    special = {*tokenizer.all_special_ids}
    rows = min(len(tokenizer), int(getattr(model.config.get_text_config(), "vocab_size", len(tokenizer))))
    ordinary = [token for token in range(rows) if token not in special]
    if not ordinary:
        raise ModelError(f"the tokenizer of this {model.config.model_type} model knows no token but special ones")
    picked = [ordinary[i * len(ordinary) // LONG] for i in range(LONG)]
    ids = [*begin, *picked[-SHORT:], *end, *begin, *picked, *end]
    around = len(begin) + len(end)
    return Tokens(np.array(ids, dtype=np.int32), np.cumsum([0, SHORT + around, LONG + around]), None)


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before a text and after it."""
    try:
        ids = list(tokenizer("a", return_attention_mask=False)["input_ids"])
    except Exception as error:  # what tokenizers raise is an Exception and no more
        raise CannotTell(f"its tokenizer fails on a text: {' '.join(str(error).split())[:300]}") from error
    special = [token in tokenizer.all_special_ids and token != tokenizer.unk_token_id for token in ids]
    first = special.index(False) if False in special else len(ids)
    last = len(ids) - special[::-1].index(False) if False in special else len(ids)
    return ids[:first], ids[last:]
