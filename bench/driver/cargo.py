"""What workers get of a study's data: tokens where this machine has them, else texts; either in few large buffers.

A worker trains on tokens and labels alone. Ray hands buffers of numbers from its shared memory to every process of a
node without copying them; lists of texts it would unpickle in each, 127 MiB of them for MNLI.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from finebench.bench.data.rows import Split, TaskData
from finebench.bench.data.token_cache import Tokenised, kept, split_key
from finebench.bench.methods import longest_input, method
from finebench.bench.models.architecture import Architecture
from finebench.bench.study.configurations import Defaults
from finebench.bench.study.parts.training import split_point
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.training.worker.messages import Shipment, TokensOf

SPLITS = ("train", "score")


class Packed(Sequence[str]):
    """A list of texts in two arrays: UTF-8 bytes, and where each text begins [n + 1]."""

    def __init__(self, texts: Sequence[str]) -> None:
        encoded = [text.encode() for text in texts]
        self._data: NDArray[np.uint8] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._starts: NDArray[np.int64] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        return self._data[self._starts[row] : self._starts[row + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        data = self._data.tobytes()
        yield from (data[start:end].decode() for start, end in pairwise(self._starts.tolist()))


def load(shipment: Shipment, plan: Plan, architecture: Architecture, defaults: Defaults) -> Shipment:
    """The shipment as it goes to workers: without a task's texts where all of its tokens are in this machine's cache
    (the preflight has put them there), and else with its texts packed."""
    tasks: dict[str, TaskData] = {}
    tokens: dict[TokensOf, Tokenised] = {}
    for name, found in shipment.tasks.items():
        lengths = _lengths(plan, name, architecture, defaults)
        own = {} if lengths is None else _kept(found, lengths, Path(shipment.model_folder))
        whole = lengths is not None and len(own) == len(SPLITS) * len(lengths)
        tasks[name] = _with(found, None if whole else Packed)
        tokens |= own
    return replace(shipment, tasks=tasks, tokens=tokens)


def _lengths(plan: Plan, task: str, architecture: Architecture, defaults: Defaults) -> set[int] | None:
    """After how many tokens the inputs of a task's trials are cut, of a confirm stage's default (`defaults`) too; None
    where a search may draw more than are known."""
    study, found = plan.study, set[int]()
    for name in study.methods:
        space = plan.space(Cell(task, name, study.fractions[0], study.budget[0]))
        points = [plan.complete(Cell(task, name, study.fractions[0], study.budget[0]), one) for one in space.few()]
        points += [defaults[name, task]] if (name, task) in defaults else []
        made = [method(name)(**split_point(point)[0]) for point in points]
        own = {longest_input(study.training.max_length, tuned, architecture) for tuned in made}
        if space.distributions and len(own) > 1:
            return None
        found |= own
    return found


def _kept(found: TaskData, lengths: set[int], folder: Path) -> Mapping[TokensOf, Tokenised]:
    made: dict[TokensOf, Tokenised] = {}
    for split in SPLITS:
        for longest in lengths:
            tokens = kept(split_key(found, split, folder, longest), len(getattr(found, split)))
            if tokens is not None:
                made[found.task.name, split, longest] = tokens
    return made


def _with(found: TaskData, pack: type[Packed] | None) -> TaskData:
    """A task with its texts packed, or without any."""

    def split(one: Split) -> Split:
        return replace(one, texts=() if pack is None else tuple(pack(column) for column in one.texts))

    return replace(found, train=split(found.train), score=split(found.score))
