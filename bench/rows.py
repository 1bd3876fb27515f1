"""Rows of one split as they were read, each able to say where it stands; free of heavy imports."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from bench.errors import DataError


@dataclass(frozen=True)
class RawSplit:
    """Columns of one split. `place` is what a message calls it, as a rule a file; `lines` are physical line numbers."""

    place: str
    columns: dict[str, list[Any]]
    lines: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def error(self, row: int, column: str, problem: str) -> DataError:
        """A DataError about one cell; `row` counts from 0 here and from 1 in the message."""
        line = f" (line {self.lines[row]})" if self.lines is not None else ""
        return DataError(f"{self.place}, row {row + 1}{line}, column {column!r}: {problem}")


@dataclass(frozen=True)
class Split:
    """One split: one or two lists of texts, and labels [n]: int64 class indices, or float64 scores."""

    texts: tuple[list[str], ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read_texts(raw: RawSplit, column: str, allow_empty: bool) -> list[str]:
    """A column of texts; raises DataError at the first cell that is missing, empty or not Unicode text."""
    values = raw.columns[column]
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            raise raw.error(row, column, "the text is missing")
        if not isinstance(value, str):
            raise raw.error(row, column, f"{value!r} is not a text but of type {type(value).__name__}")
        if not allow_empty and not value.strip():
            raise raw.error(row, column, "the text is empty")
        if not value.isascii() and not _encodable(value):
            raise raw.error(row, column, "the text holds half a surrogate pair and is not valid Unicode")
    return values


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_scores(raw: RawSplit, column: str) -> np.ndarray:
    """A column of finite numbers, float64; raises DataError at the first that is not."""
    return np.array(
        [_score(raw, row, column, value) for row, value in enumerate(raw.columns[column])], dtype=np.float64
    )


def _score(raw: RawSplit, row: int, column: str, value: Any) -> float:
    if is_missing(value):
        raise raw.error(row, column, "the label is missing")
    number = as_number(value)
    if number is None:
        raise raw.error(row, column, f"label {value!r} is not a number, and the metric is one of regression")
    if not math.isfinite(number):
        raise raw.error(row, column, f"label {value!r} is not finite")
    return number


def is_missing(value: Any) -> bool:
    """Whether a label is absent: null, NaN, or only white space."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def as_number(value: Any) -> float | None:
    """The number that a cell is or spells; None for anything else, truth values and `1_000` among it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        return None
    if isinstance(value, int | float | Decimal | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None


def fingerprint(splits: Sequence[Split]) -> str:
    """A hash of all texts and labels, the same on every machine and from every file format."""
    digest = hashlib.blake2b(digest_size=16)
    for split in splits:
        digest.update(f"{len(split)},{len(split.texts)},{split.labels.dtype.kind};".encode())
        for column in split.texts:
            encoded = [text.encode() for text in column]
            digest.update(np.array([len(text) for text in encoded], dtype="<i8").tobytes())
            digest.update(b"".join(encoded))
        digest.update(split.labels.astype("<i8" if split.labels.dtype.kind == "i" else "<f8").tobytes())
    return digest.hexdigest()
