"""What a training run has to say: predictions, evaluations, and how far it has come. Free of torch at import."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """What the model says of a split, in row order. `probability` [n, classes] is that of every class, as float32
    (regression: None)."""

    values: np.ndarray
    probability: np.ndarray | None
    loss: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation point during training; `score` is set only where `select` has improved, or at the last step."""

    step: int
    examples: int
    train_seconds: float
    train_flops: float
    lr: float
    improved: bool
    select: Predictions
    score: Predictions | None


@dataclass
class Progress:
    """What a run has come to so far; complete once its generator is exhausted, honest when it is stopped early."""

    steps: int = 0
    examples: int = 0
    tokens: int = 0
    squares: int = 0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    evaluations: list[Evaluation] = field(default_factory=list)
    best: Evaluation | None = None
    best_tensors: "dict[str, Tensor] | None" = None
