"""What a frozen encoder makes of each row, computed once and kept from trial to trial.

Rows are computed for exactly the set that a trial uses, in a fixed order of batches, so that a row's features do not
depend on what ran before in a reused worker. With them stands what computing them took: a trial is charged for its
features whether it computed or reused them.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finebench.bench.data.tokenize import Tokens, eval_batches
from finebench.bench.models.frozen_encoder import head_batch

STORE_BYTES = 512 * 2**20
"""Features that a process keeps: 512 MiB, e.g. all of MNLI for a hidden size of 340."""


@dataclass(frozen=True)
class Features:
    """Rows of a tokenised split as their features: `values` [n, H] float32 on the CPU, `places` [len(tokens)] each
    row's number in it (-1: not there). Its lengths are those of the tokens, so that batches are the same ones."""

    tokens: Tokens
    values: Tensor
    places: NDArray[np.int64]
    seconds: float

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row: [len(tokens)]."""
        return self.tokens.lengths

    def batch(self, rows: NDArray[np.int64], pad_id: int, among: NDArray[np.int64] | None = None) -> dict[str, Tensor]:
        """What a model without its encoder is called with for these rows; none is padded, whatever it is `among`."""
        return head_batch(self.values[torch.from_numpy(self.places[rows])], pad_id + 1)


def compute(
    read: Callable[[NDArray[np.int64]], Tensor], tokens: Tokens, rows: NDArray[np.int64], batch_size: int
) -> Features:
    """The features of `rows`, the longest first in batches of `batch_size`; `read` gives [B, H] for the rows of one
    batch."""
    begin = time.perf_counter()
    places = np.full(len(tokens), -1, dtype=np.int64)
    values: Tensor | None = None
    for picked in eval_batches(tokens.lengths[rows], batch_size):
        found = read(rows[picked])
        if found.dtype != torch.float64:
            found = found.float()
        if values is None:
            values = torch.empty((len(rows), found.shape[1]), dtype=found.dtype)
        values[torch.from_numpy(picked)] = found.cpu()
    if values is None:
        raise ValueError("no rows to compute features of")
    places[rows] = np.arange(len(rows))
    return Features(tokens, values, places, time.perf_counter() - begin)


def rows_digest(rows: NDArray[np.int64]) -> str:
    """A hash of row numbers in their order."""
    return hashlib.blake2b(np.ascontiguousarray(rows).data, digest_size=16).hexdigest()


class FeatureStore:
    """Features by key, least recently used dropped first, at most `limit` bytes of them."""

    def __init__(self, limit: int = STORE_BYTES) -> None:
        self.limit = limit
        self._kept: OrderedDict[Any, Features] = OrderedDict()

    def get(self, key: Any, make: Callable[[], Features]) -> Features:
        """The features of a key, made where they are not there; what exceeds the limit by itself is not kept."""
        found = self._kept.get(key)
        if found is None:
            found = make()
            if _bytes(found) <= self.limit:
                self._kept[key] = found
                while sum(map(_bytes, self._kept.values())) > self.limit:
                    self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found


def _bytes(features: Features) -> int:
    return features.values.nbytes + features.places.nbytes
