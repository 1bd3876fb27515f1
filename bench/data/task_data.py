"""A task's data, read and checked whole: generated, from GLUE-shaped Parquet, from the hub, or from the user's files.

The task's validation split becomes `score`; `fit` and `select` are drawn from `train` alone (bench.data.splits).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finebench.bench.data.own_tasks import check_apart, columns_of, own_data, user_task
from finebench.bench.data.readers import read_file
from finebench.bench.data.rows import RawSplit, Split, TaskData, fingerprint, read_scores, read_texts
from finebench.bench.data.shards import find_shards, read_shards
from finebench.bench.tasks import Embedded, Files, Hub, OneFile, Task
from finebench.bench.util.errors import DataError, choose
from finebench.bench.util.places import truly

__all__ = ["Split", "TaskData", "load_task", "user_task"]


def load_task(task: Task, data_dir: Path | None) -> TaskData:
    """Read a task's two splits; hub tasks from `data_dir` where it is given, without asking the hub.

    Raises DataError naming file, row and column at the first thing that cannot be used.
    """
    if task.own:
        return own_data(task, _read_own(task))
    raw = [_read_builtin(task, split, data_dir) for split in ("train", "validation")]
    train, score = (Split(_texts(one, task), _builtin_labels(one, task)) for one in raw)
    return TaskData(task, train, score, task.labels or (), fingerprint((train, score)))


def _read_own(task: Task) -> list[RawSplit]:
    source, columns = task.source, columns_of(task)
    if isinstance(source, OneFile):
        return [read_file(Path(source.file), columns)]
    if isinstance(source, Files):
        check_apart(task, source)
        return [read_file(Path(path), columns) for path in (source.train, source.validation)]
    return [
        _read_hub(task, split, columns) for split in ("train", "validation") if split == "train" or not task.held_out
    ]


def _read_hub(task: Task, split: str, columns: Sequence[str]) -> RawSplit:
    from finebench.bench.data.hub_datasets import read_hub

    if not isinstance(task.source, Hub):
        raise TypeError(f"task {task.name!r} has no source of a known kind")
    raw = read_hub(task, task.source, split, columns)
    if len(raw) == 0:
        raise DataError(f"{raw.place}: there are no rows")
    return raw


def _read_builtin(task: Task, split: str, data_dir: Path | None) -> RawSplit:
    columns = (*task.text, task.label)
    if isinstance(task.source, Embedded):
        from finebench.bench.data.embedded import load_split
        from finebench.bench.data.embedded.tasks import TASKS as GENERATED

        place = f"generated task {task.name!r}, {split}"
        if task.source.name not in GENERATED:
            raise DataError(f"task {task.name!r}: {choose('generated task', task.source.name, GENERATED)}")
        found = load_split(task.source.name, split)
        for name in columns:
            if name not in found:
                raise DataError(f"{place}: {choose('column', name, found)}")
        return RawSplit(place, {name: found[name] for name in columns})
    if data_dir is not None and isinstance(task.source, Hub):
        return read_shards(_find(task, task.source, split, data_dir), columns)
    return _read_hub(task, split, columns)


def _find(task: Task, source: Hub, split: str, data_dir: Path) -> list[Path]:
    """The Parquet file of a split below `data_dir`, or its shards as the hub names them; from a folder shared with
    another task only what is its own."""
    own, shared, name = data_dir / task.name, data_dir / (source.config or ""), f"{source.splits[split]}.parquet"
    candidates = dict.fromkeys((own / name, own / f"{split}.parquet", shared / name))
    found = next((paths for path in candidates if (paths := find_shards(path))), None)
    if found is not None:
        return found
    if not truly(data_dir.is_dir):
        raise DataError(f"--data {data_dir}: there is no such folder")
    held = sorted(str(path.relative_to(data_dir)) for path in data_dir.glob("*/*.parquet"))
    holds = f"{', '.join(held[:20])}{', …' if len(held) > 20 else ''}" if held else "no */*.parquet at all"
    wanted = " or ".join(str(path) for path in candidates)
    raise DataError(f"--data {data_dir}: no data of task {task.name!r}: {wanted} is needed; the folder holds {holds}")


def _texts(raw: RawSplit, task: Task) -> tuple[list[str], ...]:
    """The task's text columns; GLUE itself has a few empty texts (QQP)."""
    if len(raw) == 0:
        raise DataError(f"{raw.place}: there are no rows")
    return tuple(read_texts(raw, column, allow_empty=True) for column in task.text)


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
