"""Class labels of the user's files, as indices: classes are those of train, sorted, numbers by value."""

from typing import Any

import numpy as np

from bench.errors import choose
from bench.rows import RawSplit, as_number, is_missing

Key = str | int | bool


def read_classes(
    train: RawSplit, validation: RawSplit, column: str
) -> tuple[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
    """Class names in order, and both splits' class indices (int64).

    A CSV file has no types: where the labels of one split are text and those of the other are not, they are compared as
    they are spelled. Raises DataError at the first label that is missing, that train does not have, or that is of
    another type.
    """
    keys = [[_key(raw, row, column, v) for row, v in enumerate(raw.columns[column])] for raw in (train, validation)]
    classes = _sorted(train, column, keys[0])
    index: dict[object, int] = {_typed(key): i for i, key in enumerate(classes)}
    if {isinstance(key, str) for key in keys[1]} == {not isinstance(classes[0], str)}:
        index |= {_typed(str(key)): i for i, key in enumerate(classes)}
        keys[1] = [str(key) for key in keys[1]]
    for row, key in enumerate(keys[1]):
        if _typed(key) not in index:
            known = f"{train.place} has other classes: {choose('class', str(key), map(str, classes[:50]))}"
            raise validation.error(row, column, f"no row of train has this label; {known}")
    first, second = (np.array([index[_typed(key)] for key in found], dtype=np.int64) for found in keys)
    return tuple(str(key) for key in classes), (first, second)


def _typed(key: Key) -> tuple[type, Key]:
    return type(key), key  # True == 1 in Python, and a class True is not a class 1


def _key(raw: RawSplit, row: int, column: str, value: Any) -> Key:
    """The class that a label names; whole floats are integers, as a column with gaps is often stored."""
    if is_missing(value):
        raise raw.error(row, column, "the label is missing")
    if isinstance(value, str):
        if value.strip().lower() == "nan":
            raise raw.error(row, column, f"the label is missing: {value!r} is what a missing number is written as")
        return value.strip()
    if isinstance(value, bool | int):
        return value
    number = as_number(value)
    if number is not None and number.is_integer():
        return int(number)
    problem = "is not a class; for scores use a metric of regression" if number is not None else "is not a class"
    raise raw.error(row, column, f"label {value!r} {problem}")


def _sorted(train: RawSplit, column: str, keys: list[Key]) -> list[Key]:
    """The classes of train in order; raises DataError where types are mixed or two labels spell one number."""
    first_rows: dict[Key, int] = {}
    for row, key in enumerate(keys):
        if type(key) is not type(keys[0]):
            mixed = f"{type(key).__name__}, where row 1 has {keys[0]!r} of type {type(keys[0]).__name__}"
            raise train.error(row, column, f"label {key!r} is of type {mixed}")
        first_rows.setdefault(key, row)
    numbers = {key: number for key in first_rows if isinstance(key, str) and (number := as_number(key)) is not None}
    if len(numbers) < len(first_rows):
        return sorted(first_rows)  # all of one type
    spelt: dict[float, Key] = {}
    for key, number in numbers.items():
        if number in spelt:
            raise train.error(first_rows[key], column, f"labels {spelt[number]!r} and {key!r} are the same number")
        spelt[number] = key
    return [spelt[number] for number in sorted(spelt)]
