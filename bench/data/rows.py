"""Rows of one split as they were read, each able to say where it stands; free of heavy imports."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from finebench.bench.tasks import Task
from finebench.bench.util.errors import DataError, choose, shown

Columns = Sequence[str] | None
"""Names of the columns wanted of a file; None: all of them."""


@dataclass(frozen=True)
class RawSplit:
    """Columns of one split. `place` is what a message calls it, as a rule a file; `lines` are physical line numbers.

    `typed` says whether the file tells text from numbers and from nothing (a CSV file does not); `classes` has, by
    column, the names that it declares for class indices; `numbers` the rows' numbers in the file, where some are left
    out.
    """

    place: str
    columns: dict[str, list[Any]]
    lines: Sequence[int] | None = None
    typed: bool = True
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def error(self, row: int, column: str, problem: str) -> DataError:
        """A DataError about one cell; `row` counts from 0 here and from 1 in the message."""
        return DataError(f"{self.place}, {self.row(row)}, column {column!r}: {problem}")

    def row(self, row: int) -> str:
        """A row as messages call it; `row` counts from 0."""
        line = f" (line {self.lines[row]})" if self.lines is not None else ""
        return f"row {row + 1 if self.numbers is None else self.numbers[row]}{line}"

    def take(self, rows: Sequence[int]) -> "RawSplit":
        """Some of the rows, which keep their numbers."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        lines = None if self.lines is None else [self.lines[row] for row in rows]
        numbers = [row + 1 if self.numbers is None else self.numbers[row] for row in rows]
        return replace(self, columns=columns, lines=lines, numbers=numbers)


def named_once(found: Sequence[str]) -> list[str]:
    """The columns that can be told by their names."""
    return [name for name, count in Counter(found).items() if count == 1]


def check_columns(path: Path, found: Sequence[str], wanted: Iterable[str], hint: str = "") -> None:
    """Raise DataError where a wanted column is not there, or stands there more than once."""
    counts = Counter(found)
    for name in wanted:
        if name not in counts:
            raise DataError(f"{path}: {choose('column', name, set(found))}{hint}")
        if counts[name] > 1:
            raise DataError(f"{path}: column {name!r} stands more than once among the columns: {', '.join(found)}")


@dataclass(frozen=True)
class Split:
    """One split: one or two lists of texts, and labels [n]: int64 class indices, or float64 scores.

    `numbers` are the rows' numbers in their file, where they are not 1 to n.
    """

    texts: tuple[Sequence[str], ...]
    labels: np.ndarray
    numbers: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TaskData:
    """A task with its data. `fingerprint` is a hash of the texts and labels of both splits; `notes` are what reading
    them left out."""

    task: Task
    train: Split
    score: Split
    label_names: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()

    @property
    def num_labels(self) -> int:
        """Outputs that a model's head needs: the number of classes, or 1 for regression."""
        return len(self.label_names) if self.task.kind == "classification" else 1


def read_texts(raw: RawSplit, column: str, allow_empty: bool, allow_missing: bool = False) -> list[str]:
    """A column of texts; raises DataError at the first cell that is missing, empty or not Unicode text.

    What is missing is empty where that is allowed.
    """
    values = raw.columns[column]
    if allow_missing:
        values = ["" if is_nothing(value) else value for value in values]
    for row, value in enumerate(values):
        if is_nothing(value):
            raise raw.error(row, column, "the text is missing")
        if not isinstance(value, str):
            raise raw.error(row, column, f"{shown(value)} is not a text but of type {type(value).__name__}")
        if not allow_empty and not value.strip():
            raise raw.error(row, column, "the text is empty")
        if not value.isascii() and not _encodable(value):
            raise raw.error(row, column, "the text holds half a surrogate pair and is not valid Unicode")
    return values


def is_nothing(value: Any) -> bool:
    """Whether a cell holds nothing: null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


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
        raise raw.error(row, column, f"label {shown(value)} is not a number, and the metric is one of regression")
    if not math.isfinite(number):
        raise raw.error(row, column, f"label {value!r} is not finite")
    return number


def is_missing(value: Any) -> bool:
    """Whether a label is absent: null, NaN, or only white space."""
    return is_nothing(value) or (isinstance(value, str) and not value.strip())


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
