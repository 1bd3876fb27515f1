"""What one training run needs, what it works on, and how it may end early."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from finebench.bench.study.parts.training import Training
from finebench.bench.util.errors import FinebenchError

if TYPE_CHECKING:  # what most trials do without
    from finebench.bench.training.ranks.parallel import Parallel


class Diverged(FinebenchError):
    """The loss is no longer finite."""


class TimedOut(FinebenchError):
    """The trial has used up its time."""


class Inputs(Protocol):
    """What a split's rows are to the model: token ids (bench.data.tokenize) or features of a frozen encoder
    (bench.training.feature_cache)."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row."""

    def batch(self, rows: np.ndarray, pad_id: int, among: np.ndarray | None = None) -> dict[str, Tensor]:
        """What the model is called with for these rows, padded so that each has its places as `among` a whole batch."""


@dataclass(frozen=True)
class Examples:
    """Rows of one split. `rows` index both `tokens` and `labels`; labels are int64 classes or float64."""

    tokens: Inputs
    labels: np.ndarray
    rows: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """Labels of the rows, in their order: shape [len(rows)]."""
        return np.asarray(self.labels[self.rows])


class Keeper(Protocol):
    """Writes a run's state down between two steps, now and then."""

    def due(self) -> bool:
        """Whether it is time; asked at every step, so that it has to be quick."""

    def save(self) -> None:
        """Write the state as it is; may raise to end the run."""


@dataclass(frozen=True)
class Job:
    """Everything one training run needs; the model is on its device with requires_grad set.

    `multipliers` of the learning rate are by parameter name. `parallel`: the ranks among which each batch is divided.
    """

    model: nn.Module
    fit: Examples
    select: Examples
    score: Examples
    regression: bool
    metrics: tuple[str, ...]
    steps: int
    lr: float
    training: Training
    order_seed: int
    dropout_seed: int
    pad_id: int
    device: torch.device
    flops: Callable[[int, int, int], float]
    class_weights: np.ndarray | None = None
    deadline: float = math.inf
    keep_best: bool = False
    multipliers: Mapping[str, float] = field(default_factory=dict)
    parallel: "Parallel | None" = None
