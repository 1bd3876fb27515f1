"""Tasks of the user's own: declared in a study, read from files or the hub, checked whole."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finebench.bench.data.class_labels import read_classes, unlabelled
from finebench.bench.data.leakage import texts_of
from finebench.bench.data.rows import RawSplit, Split, TaskData, fingerprint, is_missing, read_scores, read_texts
from finebench.bench.data.splits import hold_out
from finebench.bench.metrics import METRICS, metric, scored_once
from finebench.bench.tasks import Files, HeldOut, Hub, OneFile, Task
from finebench.bench.util.errors import DataError, StudyError


def user_task(
    name: str, source: Files | OneFile | Hub, text: Sequence[str], label: str, metrics: Sequence[str]
) -> Task:
    """Declare a task on the user's data; its kind follows from its metrics, the first of which is the main one.

    Raises StudyError for a bad name, column or metric; the data are read by `bench.data.task_data.load_task`.
    """
    from finebench.bench.tasks import tasks

    where = f"task {name!r}"
    if name in tasks():
        raise StudyError(f"{where}: a built-in task has this name; choose another")
    if not 1 <= len(text) <= 2 or len({*text, label}) != len(text) + 1:
        raise StudyError(f"{where}: text is one or two columns, none twice and none the label: {list(text)}, {label!r}")
    if not metrics or len(set(metrics)) != len(metrics):
        raise StudyError(f"{where}: metric is a name or a list of different names, not {list(metrics)}")
    try:
        found = [metric(one) for one in metrics]
    except StudyError as error:
        raise StudyError(f"{where}: {error}") from error
    if len({one.kind for one in found}) > 1:
        kinds = ", ".join(f"{one.name} ({one.kind})" for one in found)
        raise StudyError(f"{where}: metrics of classification and of regression do not mix: {kinds}")
    if not found[0].main:
        raise StudyError(
            f"{where}: a constant predictor gets the best {found[0].name} there is, so it cannot be the main metric; "
            f"put another one first, e.g. metric: [accuracy, {found[0].name}]"
        )
    summary = "a task of your own"
    return Task(name, found[0].kind, tuple(text), label, scored_once(where, metrics), source, summary=summary, own=True)


def columns_of(task: Task) -> tuple[str, ...]:
    """The columns that are read of a task's data."""
    group = task.held_out.group if task.held_out else None
    return tuple(dict.fromkeys((*task.text, task.label, *([] if group is None else [group]))))


def check_apart(task: Task, source: Files) -> None:
    """Raise DataError where both splits are one file."""
    if Path(source.train).resolve() == Path(source.validation).resolve():
        raise DataError(
            f"task {task.name!r}: {source.train} is both train and validation; nothing would be held out; "
            f"{{file: {Path(source.train).name}, validation: 0.2}} holds out a part of it"
        )


def own_data(task: Task, raw: Sequence[RawSplit]) -> TaskData:
    """A task's data from its two splits as they were read, or from the one that is to be divided."""
    notes: list[str] = []
    declared = next((one.classes[task.label] for one in raw if task.label in one.classes), ())
    raw = [_labelled(one, task.label, declared, notes) for one in raw]
    train, score = raw[0], raw[-1]
    texts = [_texts(one, task) for one in raw]
    names: tuple[str, ...] = ()
    if task.kind == "classification":
        names, labels = read_classes(train, score, task.label)
        _check_binary(task, train, names)
    else:
        labels = (read_scores(train, task.label), read_scores(score, task.label))
    for one, values in zip(raw, labels, strict=False):
        if len(np.unique(values)) < 2:
            raise DataError(
                f"{one.place}, column {task.label!r}: all {len(one)} labels are equal; nothing can be learnt"
            )
    splits = [Split(text, values, one.numbers) for text, values, one in zip(texts, labels, raw, strict=False)]
    if task.held_out is not None:
        splits = _divided(task, task.held_out, train, splits[0], names)
    return TaskData(task, splits[0], splits[1], names, fingerprint(splits), tuple(notes))


def _labelled(raw: RawSplit, column: str, declared: Sequence[str], notes: list[str]) -> RawSplit:
    """The rows that have a label, where one of the files declares the classes; a note on those that are left out."""
    without = set(unlabelled(raw, column)) if declared and "-1" not in declared else set()
    if not without:
        return raw
    said = f"-1, which is none of the declared classes ({', '.join(declared[:10])})"
    if len(without) == len(raw):
        raise raw.error(0, column, f"no row has a label: all are {said}")
    notes.append(f"{raw.place}: {len(without):,} of {len(raw):,} rows are left out, without a label: {said}")
    return raw.take([row for row in range(len(raw)) if row not in without])


def _texts(raw: RawSplit, task: Task) -> tuple[list[str], ...]:
    """The text columns; of two, one may be empty."""
    pair = len(task.text) == 2
    texts = tuple(read_texts(raw, column, allow_empty=pair, allow_missing=pair) for column in task.text)
    for row, both in enumerate(zip(*texts, strict=True)):
        if not "".join(both).strip():
            also = f" and that of column {task.text[1]!r} are" if pair else " is"
            raise raw.error(row, task.text[0], f"the text{also} empty")
    return texts


def _divided(task: Task, held: HeldOut, raw: RawSplit, whole: Split, names: tuple[str, ...]) -> list[Split]:
    """Rows as those to train on and those held out."""
    groups = _same_texts(whole) if held.group is None else _groups(raw, held.group)
    parts = hold_out(whole.labels, task.kind == "regression", held.share, held.seed, groups)
    shares = f"validation: {held.share:g}" + (f", group: {held.group}" if held.group else "")
    for part, what in zip(parts, ("to train on", "to score on"), strict=True):
        if len(np.unique(whole.labels[part])) < 2:
            left = "no row" if len(part) == 0 else f"rows of one label only ({len(part)})"
            raise DataError(f"{raw.place}: {shares} leaves {left} {what}; give another share or seed")
    absent = np.setdiff1d(np.arange(len(names)), whole.labels[parts[0]])
    if len(absent):
        raise DataError(
            f"{raw.place}: {shares} leaves no row of class {names[absent[0]]!r} to train on; it is too rare"
        )
    return [_part(whole, part) for part in parts]


def _same_texts(whole: Split) -> list[object] | None:
    """Rows of equal texts as groups, lest one be trained on and its twin scored; None where no two are equal."""
    texts: list[object] = list(texts_of(whole))
    return texts if len(set(texts)) < len(texts) else None


def _groups(raw: RawSplit, column: str) -> list[object]:
    for row, value in enumerate(raw.columns[column]):
        if is_missing(value) or isinstance(value, list | dict):
            raise raw.error(row, column, "the group is missing" if is_missing(value) else f"{value!r} is no group")
    return list(raw.columns[column])


def _part(whole: Split, rows: np.ndarray) -> Split:
    numbers = [int(row) + 1 if whole.numbers is None else whole.numbers[row] for row in rows]
    return Split(tuple([column[row] for row in rows] for column in whole.texts), whole.labels[rows], numbers)


def _check_binary(task: Task, train: RawSplit, names: tuple[str, ...]) -> None:
    for one in task.metrics:
        if metric(one).binary and len(names) > 2:
            others = [found.name for found in METRICS.values() if found.kind == "classification" and not found.binary]
            raise DataError(
                f"task {task.name!r}: metric {one!r} is for two classes, and {train.place} has {len(names)} "
                f"({', '.join(names[:10])}); metrics for more: {', '.join(sorted(others, key=lambda n: one not in n))}"
            )
