"""A task proposed for a user's file: which columns are texts, which is the label, and by what metric it is scored.

A guess that the study file shows and its writer mends; what cannot be guessed is asked for in a message.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finebench.bench.data.leakage import check_own
from finebench.bench.data.readers import read_file
from finebench.bench.data.rows import RawSplit, as_number, is_missing
from finebench.bench.data.task_data import load_task, user_task
from finebench.bench.tasks import HeldOut, OneFile
from finebench.bench.util.errors import DataError

LABELS = (
    "label", "labels", "target", "class", "category", "sentiment", "score", "rating", "stars", "intent", "topic",
    "emotion", "polarity", "y",
)  # fmt: skip
"""Names by which a label column goes, best first."""

MOST_CLASSES = 50
"""Numbers with more different values than this are scores, and text with more is no label."""

HELD_OUT = 0.2


@dataclass(frozen=True)
class Proposal:
    """One own task as a study writes it."""

    text: tuple[str, ...]
    label: str
    metrics: tuple[str, ...]


def propose(path: Path) -> Proposal:
    """Read a file and guess what is to be learnt from it.

    Raises DataError where it cannot be read, or no column can be the text or the label.
    """
    raw = read_file(path, None)
    texts = _texts(raw)
    label = _label(raw, texts)
    if label is None or not (left := [name for name in texts if name != label]):
        what = "label: one with 2 or more values, each in several rows" if label is None else "text"
        raise DataError(f"{path}: no column looks like a {what}; columns: {', '.join(raw.columns)}")
    regression = label not in raw.classes and _is_scores(raw.columns[label])
    found = Proposal(tuple(left[:2]), label, ("pearson", "rmse") if regression else ("macro_f1", "accuracy"))
    _try(path, found)
    return found


def _try(path: Path, found: Proposal) -> None:
    """Raise DataError where the task that is proposed could not be run."""
    source = OneFile(str(path), HeldOut(HELD_OUT))
    try:
        check_own(load_task(user_task("proposed", source, found.text, found.label, found.metrics), None))
    except DataError as error:
        columns = f"text {', '.join(found.text)}, label {found.label}"
        raise DataError(f"{error} (the columns taken are {columns})") from error


def _texts(raw: RawSplit) -> list[str]:
    """Columns of texts, in the file's order: those of several words; if there are none, the one of the longest."""
    words: dict[str, float] = {}
    for name, values in raw.columns.items():
        filled = [value for value in values if not is_missing(value)]
        text = filled and all(isinstance(value, str) for value in filled)
        if text and not all(as_number(value) is not None for value in filled):
            words[name] = sum(len(value.split()) for value in filled) / len(filled)
    long = [name for name, mean in words.items() if mean >= 3]
    return long or sorted(words, key=lambda name: -words[name])[:1]


def _label(raw: RawSplit, texts: Sequence[str]) -> str | None:
    """The column that is called like a label, else the one of the fewest values that are not all the same."""
    by_name = {name.strip().lower(): name for name in reversed(raw.columns)}
    named = [by_name[name] for name in LABELS if name in by_name]
    kinds = {name: len({str(value) for value in raw.columns[name]}) for name in raw.columns if name not in texts}
    few = {name: count for name, count in kinds.items() if 2 <= count <= min(MOST_CLASSES, len(raw) // 2)}
    return next(iter([*named, *sorted(few, key=lambda name: few[name])]), None)


def _is_scores(values: list[Any]) -> bool:
    """Whether labels are numbers on a scale: not whole, or too many for classes."""
    numbers = [as_number(value) for value in values if not is_missing(value)]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return False
    return len(set(known)) > MOST_CLASSES or any(not number.is_integer() for number in known)


def flow(found: Proposal, path: str, name: str) -> str:
    """The task as lines of a study file."""
    columns = ", ".join(map(quoted, found.text))
    return "\n".join(
        (
            f"  - name: {name}",
            f"    data: {{file: {quoted(path)}, validation: {HELD_OUT:g}}}",
            f"    text: [{columns}]",
            f"    label: {quoted(found.label)}",
            f"    metric: [{', '.join(found.metrics)}]",
        )
    )


def quoted(text: str) -> str:
    """A scalar of YAML: plain where that is safe, else in double quotation marks, which JSON's are."""
    plain = text.replace("_", "").replace("-", "").replace(".", "").replace("/", "")
    word = plain.isascii() and plain.isalnum() and text[0].isalpha() and text.lower() not in _RESERVED
    return text if word else json.dumps(text)


_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
