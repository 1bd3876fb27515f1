"""The loss of a batch, whole or in parts, with classes weighted or not.

Weighted by class, the loss of a batch is Σ w l / Σ w over its rows, as torch's cross_entropy has it.
"""

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


def parts(rows: int, micro_batch: int | None, rank: int = 0, ranks: int = 1) -> list[tuple[slice, bool]]:
    """The places of a batch's rows that one of its ranks takes, at most `micro_batch` at a time (None: all at once),
    and whether they count.

    Every rank has as many parts, since all of them compute together: one that has fewer rows than another begins with
    the batch's last row, which does not count.
    """
    each, more = divmod(rows, ranks)
    first = rank * each + min(rank, more)
    end, most = first + each + (rank < more), each + (more > 0)
    size = micro_batch or most
    own = [(slice(place, min(place + size, end)), True) for place in range(first, end, size)]
    return [(slice(rows - 1, rows), False)] * (-(-most // size) - len(own)) + own
