"""Rows that stand where they must not: scored rows in train, and equal texts with different labels."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from finebench.bench.data.rows import Split, TaskData
from finebench.bench.tasks import Embedded, Files, Hub, Task
from finebench.bench.util.errors import DataError, shown

Texts = tuple[str, ...]


def leaked(data: TaskData) -> int:
    """Rows of `score` whose texts stand in `train`, white space apart and a pair's two texts in either order."""
    trained = {tuple(sorted(texts)) for texts in texts_of(data.train)}
    return sum(tuple(sorted(texts)) in trained for texts in texts_of(data.score))


def contradicting(split: Split) -> int:
    """Rows whose texts also stand in the split with another label."""
    labels: defaultdict[Texts, Counter[float]] = defaultdict(Counter)
    for texts, label in zip(texts_of(split), split.labels.tolist(), strict=True):
        labels[texts][label] += 1
    return sum(counts.total() for counts in labels.values() if len(counts) > 1)


def check_own(data: TaskData) -> None:
    """Raise DataError where a user's own data can be read, and yet no study can use them: validation that holds nothing
    but rows of train, and a class with a single row, of which none would be left to select on."""
    if not data.task.own:
        return
    train, validation = places(data.task)
    trained, scored = (Counter(_rows(split)) for split in (data.train, data.score))
    if scored.keys() <= trained.keys():
        raise DataError(f"task {data.task.name!r}: {_repeated(data.task, trained == scored)}")
    counts = np.bincount(data.train.labels, minlength=len(data.label_names)) if data.label_names else np.zeros(0)
    for alone in np.flatnonzero(counts == 1):
        row = int(np.flatnonzero(data.train.labels == alone)[0])
        number = row + 1 if data.train.numbers is None else data.train.numbers[row]
        place, name = f"{train}, row {number}, column {data.task.label!r}", shown(data.label_names[alone])
        beside = f" outside {validation}" if data.task.held_out else ""
        raise DataError(f"{place}: class {name} has this one row{beside}; two are needed, to fit on and to select on")


def _repeated(task: Task, whole: bool) -> str:
    """What is wrong where no scored row is new; `whole`: where the splits are copies of each other."""
    train, validation = places(task)
    nothing = "scores on the rows that were trained on mean nothing"
    if task.held_out is not None:
        return (
            f"{validation} holds nothing but rows that stand in the rest of it too, in another group; {nothing}: leave "
            f"the repeated rows out, or leave out group, so that rows of equal texts stay together"
        )
    copy = "is a copy of" if whole else "holds nothing but rows of"
    return f"{validation} {copy} {train}; {nothing}: hold rows out of train"


def places(task: Task) -> tuple[str, str]:
    """What messages call the two splits of a task."""
    source = task.source
    if isinstance(source, Files):
        return source.train, source.validation
    if isinstance(source, Hub):
        first, *others = (f"{source.path} ({name})" for name in source.splits.values())
        return first, others[0] if others else f"the part held out of {first}"
    if isinstance(source, Embedded):
        return f"{source.name} (train)", f"{source.name} (validation)"
    return source.file, f"the part held out of {source.file}"


def _rows(split: Split) -> Iterator[tuple[Texts, float]]:
    yield from zip(texts_of(split), split.labels.tolist(), strict=True)


def texts_of(split: Split) -> Iterator[Texts]:
    """Each row's texts, with white space made alike."""
    for texts in zip(*split.texts, strict=True):
        yield tuple(" ".join(text.split()) for text in texts)
