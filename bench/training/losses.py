"""The loss of a batch, whole or in parts, with classes weighted or not.

Weighted by class, the loss of a batch is Σ w l / Σ w over its rows, as torch's cross_entropy has it.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from finebench.bench.study.parts.training import Training


def class_weights(training: Training, labels: np.ndarray, classes: int) -> np.ndarray | None:
    """A weight for each class, float64 [classes], or None: as given, or n / (classes · rows of the class) over `labels`
    (scikit-learn's "balanced", after King and Zeng, 2001)."""
    if training.class_weights is None:
        return None
    if training.class_weights != "balanced":
        return np.asarray(training.class_weights, np.float64)
    return np.asarray(len(labels) / (classes * np.maximum(1, np.bincount(labels, minlength=classes))))


def mean_loss(logits: Tensor, target: Tensor, regression: bool, weights: np.ndarray | None = None) -> Tensor:
    """Mean squared error of logits [B, 1], or cross-entropy of logits [B, classes]; a scalar."""
    if regression:
        return mse_loss(logits.squeeze(-1), target.to(logits.dtype))
    each = None if weights is None else torch.from_numpy(weights).to(logits.device, logits.dtype)
    return cross_entropy(logits, target, each)


def row_shares(labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """What each row of a batch counts in its mean loss: float64 [B], 1 in all."""
    each = np.ones(len(labels)) if weights is None else weights[labels]
    return np.asarray(each / each.sum())


def parts(rows: np.ndarray, micro_batch: int | None) -> Iterator[slice]:
    """The places of a batch's rows, at most `micro_batch` at a time; None: all at once."""
    size = micro_batch or len(rows)
    for first in range(0, len(rows), size):
        yield slice(first, min(first + size, len(rows)))
