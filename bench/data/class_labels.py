"""Class labels of the user's files, as indices: classes are those of train, sorted, numbers by value."""

import ast
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from finebench.bench.data.rows import RawSplit, as_number, is_missing
from finebench.bench.util.errors import LONGEST, choose, shown

Key = str | int | bool

_TRUTH = {"true": True, "false": False}
_LISTS = re.compile(r"\[[\d\s.,]*\]")  # also as NumPy prints a vector, without commas


def unlabelled(raw: RawSplit, column: str) -> list[int]:
    """Rows whose label is -1, which is how data sets that declare their classes mark rows without one."""
    return [row for row, value in enumerate(raw.columns[column]) if as_number(value) == -1]


def read_classes(
    train: RawSplit, validation: RawSplit, column: str
) -> tuple[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
    """Class names in order, and both splits' class indices (int64).

    Names that a file declares for its numbers are used. Labels of two files are compared as what they are, else by
    their names, else by value where both are numbers: a CSV file has no types. Raises DataError at the first label that
    is missing, that train does not have, or that is of another type.
    """
    keys = [[_key(raw, row, column, v) for row, v in enumerate(raw.columns[column])] for raw in (train, validation)]
    truths = [_truths(found) for found in keys]
    keys = keys if None in truths else [[*(found or ())] for found in truths]
    classes = _sorted(train, column, keys[0])
    names = tuple(_named(train, column, classes))
    first = {_typed(key): i for i, key in enumerate(classes)}
    found = np.array([first[_typed(key)] for key in keys[0]], dtype=np.int64)
    return names, (found, _matched(train, validation, column, (classes, names), keys[1]))


def _matched(
    train: RawSplit, validation: RawSplit, column: str, known: tuple[Sequence[Key], tuple[str, ...]], keys: list[Key]
) -> np.ndarray:
    """The class indices of validation: by the first way of comparing that finds all of its labels."""
    classes, names = known
    best: list[int | None] = []
    for table, spelt in _tables(train, validation, column, classes, names, keys):
        found = [table.get(key) for key in spelt]
        if None not in found:
            return np.array(found, dtype=np.int64)
        if not best or found.count(None) < best.count(None):
            best = found
    row = best.index(None)
    label = next(iter(_named(validation, column, [keys[row]])))
    twin = next((name for name in names if folded(name) == folded(label)), None)
    if twin is not None and twin != label:
        raise validation.error(row, column, f"no row of train has this label; {apart(label, twin)}")
    has = f"{train.place} has other classes: {choose('class', label, [name[:LONGEST] for name in names[:50]])}"
    raise validation.error(row, column, f"no row of train has this label; {has}")


def _tables(
    train: RawSplit,
    validation: RawSplit,
    column: str,
    classes: Sequence[Key],
    names: tuple[str, ...],
    keys: list[Key],
) -> Iterator[tuple[Mapping[Any, int], list[Any]]]:
    """Ways of comparing, best first: a table of train's classes, and validation's labels as it has them."""
    declared = [raw.classes.get(column) for raw in (train, validation)]
    by_name = {name: i for i, name in enumerate(names)}
    if declared[0] != declared[1] and all(declared):  # one index may stand for another class there
        yield by_name, list(_named(validation, column, keys))
        return
    yield {_typed(key): i for i, key in enumerate(classes)}, [_typed(key) for key in keys]
    if len({isinstance(key, str) for key in keys}) > 1:
        return
    if isinstance(keys[0], str) or isinstance(classes[0], str):
        words, numbers = list(_named(validation, column, keys)), [_number(key) for key in keys]
        if declared[0]:
            _refuse_both(train, validation, column, (classes, names), (words, numbers))
        yield by_name, words
        yield _by_number(classes), numbers


def _refuse_both(
    train: RawSplit,
    validation: RawSplit,
    column: str,
    known: tuple[Sequence[Key], tuple[str, ...]],
    given: tuple[list[str], list[float | None]],
) -> None:
    """Raise DataError where all labels are names of classes, and numbers that stand for other classes as well."""
    classes, names = known
    by_name = {name: i for i, name in enumerate(names)}
    by_number = _by_number(classes)
    meant, other = [by_name.get(word) for word in given[0]], [by_number.get(number) for number in given[1]]
    if meant != other and None not in (*meant, *other):
        said = ", ".join(f"{key} {name}" for key, name in zip(classes[:20], names[:20], strict=True))
        both = f"label {given[0][0]} may be the name of a class of {train.place}, or a number that stands for one"
        raise validation.error(0, column, f"{both}: {said}")


def _by_number(classes: Sequence[Key]) -> dict[float | None, int]:
    """Indices of the classes that are numbers."""
    return {number: i for i, key in enumerate(classes) if (number := _number(key)) is not None}


def _number(key: Key) -> float | None:
    """The finite number that a label is or spells."""
    number = as_number(key)
    return number if number is not None and math.isfinite(number) else None


def _named(raw: RawSplit, column: str, keys: Sequence[Key]) -> Iterator[str]:
    """Labels by their names, where the file declares any."""
    names = raw.classes.get(column)
    for key in keys:
        yield names[key] if names and type(key) is int and 0 <= key < len(names) else str(key)


def _typed(key: Key) -> tuple[type, Key]:
    return type(key), key  # True == 1 in Python, and a class True is not a class 1


def _truths(keys: list[Key]) -> list[Key] | None:
    """Truth values, where every label is one or spells one, in capitals or not."""
    found = [key if isinstance(key, bool) else _TRUTH.get(str(key).lower()) for key in keys]
    return None if None in found else [bool(one) for one in found]


def _key(raw: RawSplit, row: int, column: str, value: Any) -> Key:
    """The class that a label names; whole floats are integers, as a column with gaps is often stored."""
    if is_missing(value):
        raise raw.error(row, column, "the label is missing")
    if _is_list(value):
        instead = "give each row one class, or each label a task of its own"
        raise raw.error(row, column, f"label {shown(value)} is a list: multi-label tasks are not supported; {instead}")
    if isinstance(value, str):
        if not raw.typed and value.strip().lower() == "nan":
            raise raw.error(row, column, f"the label is missing: {value!r} is what a missing number is written as")
        return value.strip()
    number = value if isinstance(value, bool | int) else as_number(value)
    if number is None or (isinstance(number, float) and not number.is_integer()):
        problem = "is not a class; for scores use a metric of regression" if number is not None else "is not a class"
        raise raw.error(row, column, f"label {shown(value)} {problem}")
    key = number if isinstance(number, bool) else int(number)
    names = raw.classes.get(column)
    if names and not 0 <= key < len(names):
        known = ", ".join(f"{i} {name}" for i, name in enumerate(names[:20]))
        raise raw.error(row, column, f"label {key} is none of the classes that the file declares: {known}")
    return key


def _is_list(value: Any) -> bool:
    """Whether a label is a list of labels, also one that was written as text."""
    if isinstance(value, str):
        text = value.strip()
        if text[:1] + text[-1:] not in ("[]", "()", "{}"):
            return False
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return _LISTS.fullmatch(text) is not None
    return isinstance(value, list | tuple | set | np.ndarray)


def _sorted(train: RawSplit, column: str, keys: list[Key]) -> list[Key]:
    """The classes of train in order; raises DataError where types are mixed or two labels spell one number."""
    first_rows: dict[Key, int] = {}
    for row, key in enumerate(keys):
        if type(key) is not type(keys[0]):
            mixed = f"{type(key).__name__}, where row 1 has {shown(keys[0])} of type {type(keys[0]).__name__}"
            raise train.error(row, column, f"label {shown(key)} is of type {mixed}")
        first_rows.setdefault(key, row)
    numbers = {key: number for key in first_rows if isinstance(key, str) and (number := _number(key)) is not None}
    if len(numbers) < len(first_rows):
        return sorted(first_rows)  # all of one type
    spelt: dict[float, Key] = {}
    for key, number in numbers.items():
        if number in spelt:
            raise train.error(first_rows[key], column, f"labels {spelt[number]!r} and {key!r} are the same number")
        spelt[number] = key
    return [spelt[number] for number in sorted(spelt)]


def folded(name: str) -> str:
    """What two spellings of one name have in common: case, space and Unicode form apart."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def apart(one: str, other: str) -> str:
    """In what two names differ that look alike, e.g. "'Yes' and 'yes' differ in case alone"."""
    ways: dict[str, Callable[[str], str]] = {
        "Unicode form": lambda name: unicodedata.normalize("NFKC", name),
        "case": str.casefold,
        "space": lambda name: "".join(name.split()),
    }
    alone = [way for way, same in ways.items() if same(one) == same(other)]
    shown_as = ascii if alone == ["Unicode form"] else repr
    return f"{shown_as(one)} and {shown_as(other)} differ in {alone[0] + ' alone' if alone else 'case, space or form'}"
