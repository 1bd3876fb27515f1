"""A task's data, read and checked whole: generated, from GLUE-shaped Parquet, from the hub, or from the user's files.

The task's validation split becomes `score`; `fit` and `select` are drawn from `train` alone (bench.splits).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.classes import read_classes
from bench.errors import DataError, StudyError
from bench.files import read_file
from bench.metrics import METRICS, metric
from bench.rows import RawSplit, Split, fingerprint, read_scores, read_texts
from bench.tasks import Embedded, Files, Hub, Task

__all__ = ["Split", "TaskData", "check_own", "load_task", "user_task"]


@dataclass(frozen=True)
class TaskData:
    """A task with its data. `fingerprint` is a hash of the texts and labels of both splits."""

    task: Task
    train: Split
    score: Split
    label_names: tuple[str, ...]
    fingerprint: str

    @property
    def num_labels(self) -> int:
        """Outputs that a model's head needs: the number of classes, or 1 for regression."""
        return len(self.label_names) if self.task.kind == "classification" else 1


def load_task(task: Task, data_dir: Path | None) -> TaskData:
    """Read a task's two splits; hub tasks from `data_dir` where it is given, without asking the hub.

    Raises DataError naming file, row and column at the first thing that cannot be used.
    """
    if isinstance(task.source, Files):
        return _load_files(task, task.source)
    raw = [_read_builtin(task, split, data_dir) for split in ("train", "validation")]
    train, score = (Split(_texts(one, task, allow_empty=True), _builtin_labels(one, task)) for one in raw)
    return TaskData(task, train, score, task.labels or (), fingerprint((train, score)))


def _read_builtin(task: Task, split: str, data_dir: Path | None) -> RawSplit:
    columns = (*task.text, task.label)
    if isinstance(task.source, Embedded):
        from bench.embedded import load_split

        found = load_split(task.source.name, split)
        return RawSplit(f"generated task {task.name!r}, {split}", {name: found[name] for name in columns})
    if not isinstance(task.source, Hub):
        raise TypeError(f"task {task.name!r} has no source of a known kind")
    if data_dir is not None:
        return read_file(_find(task, task.source, split, data_dir), columns)
    from bench.datasets_hub import read_hub

    return read_hub(task.name, task.source, split, columns)


def _find(task: Task, source: Hub, split: str, data_dir: Path) -> Path:
    """The Parquet file of a split below `data_dir`; from a folder shared with another task only what is its own."""
    own, shared, name = data_dir / task.name, data_dir / source.config, f"{source.splits[split]}.parquet"
    candidates = dict.fromkeys((own / name, own / f"{split}.parquet", shared / name))
    found = next((path for path in candidates if path.is_file()), None)
    if found is not None:
        return found
    if not data_dir.is_dir():
        raise DataError(f"--data {data_dir}: there is no such folder")
    held = sorted(str(path.relative_to(data_dir)) for path in data_dir.glob("*/*.parquet"))
    holds = f"{', '.join(held[:20])}{', …' if len(held) > 20 else ''}" if held else "no */*.parquet at all"
    wanted = " or ".join(str(path) for path in candidates)
    raise DataError(f"--data {data_dir}: no data of task {task.name!r}: {wanted} is needed; the folder holds {holds}")


def _texts(raw: RawSplit, task: Task, allow_empty: bool) -> tuple[list[str], ...]:
    """The task's text columns; GLUE itself has a few empty texts (QQP), a user's file must not."""
    if len(raw) == 0:
        raise DataError(f"{raw.place}: there are no rows")
    return tuple(read_texts(raw, column, allow_empty) for column in task.text)


def _builtin_labels(raw: RawSplit, task: Task) -> np.ndarray:
    if task.kind == "regression":
        return read_scores(raw, task.label)
    top = len(task.labels or ()) - 1
    for row, value in enumerate(raw.columns[task.label]):
        if value == -1:
            raise raw.error(row, task.label, "label -1 means that the split is not labelled; it cannot be scored")
        if type(value) is not int or not 0 <= value <= top:
            raise raw.error(row, task.label, f"label {value!r} is not a class of {task.name!r}: 0 to {top}")
    return np.array(raw.columns[task.label], dtype=np.int64)


def user_task(
    name: str, train: Path, validation: Path, text: Sequence[str], label: str, metrics: Sequence[str]
) -> Task:
    """Declare a task on the user's files; its kind follows from its metrics, the first of which is the main one.

    Raises StudyError for a bad name, column or metric; the files are read by `load_task`.
    """
    from bench.registry import tasks

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
    if not found[0].higher_is_better:
        raise StudyError(
            f"{where}: {found[0].name} falls as predictions improve and cannot be the main metric; "
            f"put one that rises first, e.g. metric: [pearson, {found[0].name}]"
        )
    source = Files(str(train), str(validation))
    return Task(name, found[0].kind, tuple(text), label, tuple(metrics), source, summary="a task of your own")


def _load_files(task: Task, source: Files) -> TaskData:
    if Path(source.train).resolve() == Path(source.validation).resolve():
        raise DataError(f"task {task.name!r}: {source.train} is both train and validation; nothing would be held out")
    columns = (*task.text, task.label)
    raw = [read_file(Path(path), columns) for path in (source.train, source.validation)]
    texts = [_texts(one, task, allow_empty=False) for one in raw]
    names: tuple[str, ...] = ()
    if task.kind == "classification":
        names, labels = read_classes(raw[0], raw[1], task.label)
        _check_binary(task, raw[0], names)
    else:
        labels = (read_scores(raw[0], task.label), read_scores(raw[1], task.label))
    for one, values in zip(raw, labels, strict=True):
        if len(np.unique(values)) < 2:
            raise DataError(
                f"{one.place}, column {task.label!r}: all {len(one)} labels are equal; nothing can be learnt"
            )
    train, score = (Split(text, values) for text, values in zip(texts, labels, strict=True))
    return TaskData(task, train, score, names, fingerprint((train, score)))


def check_own(data: TaskData) -> None:
    """Raise DataError where a user's own files can be read, and yet no study can use them: validation that is a copy of
    train, and a class with a single row, of which none would be left to select on."""
    task, source = data.task, data.task.source
    if not isinstance(source, Files):
        return
    if data.train.texts == data.score.texts and np.array_equal(data.train.labels, data.score.labels):
        raise DataError(
            f"task {task.name!r}: {source.validation} is a copy of {source.train}; scores on the rows that were "
            "trained on mean nothing: hold rows out of train"
        )
    counts = np.bincount(data.train.labels, minlength=len(data.label_names)) if data.label_names else np.zeros(0)
    for alone in np.flatnonzero(counts == 1):
        row = int(np.flatnonzero(data.train.labels == alone)[0])
        place = f"{source.train}, row {row + 1}, column {task.label!r}"
        raise DataError(
            f"{place}: class {data.label_names[alone]!r} has this one row; two are needed, to fit on and to select on"
        )


def _check_binary(task: Task, train: RawSplit, names: tuple[str, ...]) -> None:
    for one in task.metrics:
        if metric(one).binary and len(names) > 2:
            others = [found.name for found in METRICS.values() if found.kind == "classification" and not found.binary]
            raise DataError(
                f"task {task.name!r}: metric {one!r} is for two classes, and {train.place} has {len(names)} "
                f"({', '.join(names[:10])}); metrics for more: {', '.join(sorted(others, key=lambda n: one not in n))}"
            )
