"""What there is to know of a task's data before a number is believed: rows, classes, what F1 takes for positive, leaks.

for name, found in {data.task.name: facts(data)}.items():
    print(sentence(name, found), *found["notes"])
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from finebench.bench.data.class_labels import apart, folded
from finebench.bench.data.leakage import contradicting, leaked
from finebench.bench.data.rows import TaskData
from finebench.bench.metrics import metric
from finebench.bench.util.errors import plain

SHOWN, LONGEST = 12, 60
"""Classes that a sentence gives, of which there may be thousands, and characters of each: a class may be a text."""


def facts(data: TaskData) -> dict[str, Any]:
    """Rows, classes with their rows, the positive class (None: no metric has one) and notes, as JSON has it.

    Class i of the results is `classes[i]`.
    """
    names, binary = data.label_names, any(metric(one).binary for one in data.task.metrics)
    counts = [np.bincount(split.labels, minlength=len(names)).tolist() if names else [] for split in _splits(data)]
    return {
        "train_rows": len(data.train),
        "score_rows": len(data.score),
        "classes": list(names),
        "train_counts": counts[0],
        "score_counts": counts[1],
        "positive": names[1] if binary and len(names) == 2 else None,
        "notes": [*data.notes, *_notes(data)],
    }


def sentence(name: str, found: Mapping[str, Any]) -> str:
    """A task's rows and classes in a line."""
    said = f"{name}: {found['train_rows']:,} rows to train on, {found['score_rows']:,} to score on"
    rows = list(zip(found["classes"], found["train_counts"], found["score_counts"], strict=True))
    if rows:
        counts = ", ".join(f"{plain(name, LONGEST)} {train:,} + {score:,}" for name, train, score in rows[:SHOWN])
        more = f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""
        said += f"; {len(rows):,} classes (train + score): {counts}{more}"
    return said + (f"; positive for F1: {plain(found['positive'], LONGEST)}" if found["positive"] is not None else "")


def lines(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """All tasks' sentences, each followed by its notes."""
    for name, one in found.items():
        yield sentence(name, one)
        yield from (f"{name}: {plain(note, 1000)}" for note in one["notes"])


def _splits(data: TaskData) -> tuple[Any, Any]:
    return data.train, data.score


def _notes(data: TaskData) -> Iterator[str]:
    """Leaks, contradictions, and classes that look alike."""
    leaks = leaked(data)
    if leaks:
        share = f"{leaks:,} of {len(data.score):,} rows to score on ({leaks / len(data.score):.1%})"
        yield f"{share} also stand among the rows to train on: scores on them are no scores on new data"
    for split, what in zip(_splits(data), ("train", "score"), strict=True):
        twins = contradicting(split)
        if twins:
            yield f"{twins:,} of {len(split):,} rows to {what} on have texts that stand there with another label too"
    numbers = [str(number) for number in range(-1, len(data.label_names) - 1)]
    if len(numbers) > 2 and list(data.label_names) == numbers:
        yield f"class -1 beside 0 to {numbers[-1]}: many data sets mark rows so that have no label; leave those out"
    same: dict[str, list[str]] = {}
    for name in data.label_names:
        same.setdefault(folded(name), []).append(name)
    for one, other in (pair for names in same.values() for pair in combinations(names, 2)):
        yield f"classes {apart(one, other)}: is it one class?"
