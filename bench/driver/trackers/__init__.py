"""Trackers for `--logger`, one class in one file each, and nothing else to edit: present means registered.

Others are named by entry points `finebench.trackers`, or stand in a plugin. A tracker runs in a process of its own
(`finebench.bench.driver.logger_child`): what it prints goes nowhere, and what it raises is a note to the user.
"""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import ClassVar

from finebench.bench.results.record import Record
from finebench.bench.util.doors import Door
from finebench.bench.util.errors import InputError, choose


class Tracker(ABC):
    """Where trials are logged; made in its own process, once for a run. Raises where it could not log."""

    name: ClassVar[str]
    """What `--logger` calls it."""
    package: ClassVar[str]
    """What has to be importable for it."""
    install: ClassVar[str] = ""
    """What pip installs for it, where that is not the package's own name."""
    mend: ClassVar[str] = ""
    """What a user can do where it cannot log."""
    environment: ClassVar[Mapping[str, str]] = {}
    """What it reads from the environment, where the user has not said otherwise."""
    local_files: ClassVar[str] = ""
    """The folder in RESULTS that its files stand in, which then must be a local path."""

    def __init__(self, study: str, results: str) -> None:
        """`study`: the study's name; `results`: the results folder. Imports the package, and looks for its service."""
        self.study, self.results = study, results

    @abstractmethod
    def log(self, record: Record) -> None:
        """Log one trial that has ended."""


def _found(module: ModuleType) -> Iterator[tuple[str, type[Tracker]]]:
    """The trackers that a module defines; a class without a name of its own is a base of others."""
    for value in vars(module).values():
        is_tracker = isinstance(value, type) and issubclass(value, Tracker) and value.__module__ == module.__name__
        if is_tracker and "name" in vars(value):
            yield value.name, value


TRACKERS: Door[type[Tracker]] = Door("tracker", __name__, "finebench.trackers", _found)
"""All trackers by name."""


def tracker(name: str) -> type[Tracker]:
    """The tracker of this name; raises InputError with the choices and a guess."""
    if name not in TRACKERS:
        raise InputError(f"--logger: {choose('tracker', name, TRACKERS)}")
    return TRACKERS[name]


LONGEST_GROUP = 120
"""Characters; Weights & Biases takes 128."""

_SETTINGS = (
    "study",
    "stage",
    "model",
    "task",
    "method",
    "fraction",
    "seed",
    "budget",
    "batch_size",
    "status",
    "reason",
)
_RESULTS = (
    "score", "score_last", "select_score", "majority_score", "steps", "train_seconds", "eval_seconds",
    "peak_memory_bytes", "train_flops", "trainable_params", "delta_bytes",
)  # fmt: skip


def settings(record: Record) -> dict[str, str | int | float | bool]:
    """What a trial was: its cell, seed and hyperparameters, how it ended."""
    row = record.trial
    given = {key: row[key] for key in _SETTINGS} | json.loads(row["hyperparameters"])
    return {key: value for key, value in given.items() if value is not None}


def results(record: Record) -> dict[str, float]:
    """What a trial came to; what is not known is left out. In a folder of their own: MLflow makes files of names, and a
    curve is called score/mcc."""
    return {f"final/{key}": float(record.trial[key]) for key in _RESULTS if record.trial[key] is not None}


def curves(record: Record) -> dict[int, dict[str, float]]:
    """Its evaluations: step -> name -> value, in the order of steps."""
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for row in record.evals.to_pylist():
        values = {f"{row['split']}/{row['metric']}": row["value"], f"{row['split']}/loss": row["loss"], "lr": row["lr"]}
        found[row["step"]] |= {key: float(value) for key, value in values.items() if value is not None}
    return dict(sorted(found.items()))


def group(record: Record) -> str:
    """A name that a configuration's trials have in common, whatever their seed: its cell and hyperparameters in words,
    safe as a file's name, cut and told apart by a hash where it is long."""
    row = record.trial
    parts = [row["task"], row["method"], f"{row['fraction']:g}"]
    for text in (row["budget"], row["hyperparameters"]):
        parts += [f"{key}={value}" for key, value in json.loads(text).items()]
    name = " ".join(parts)
    safe = re.sub(r"[^\w.=+-]+", "_", name)
    if len(safe) <= LONGEST_GROUP:
        return safe
    return f"{safe[: LONGEST_GROUP - 9]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
