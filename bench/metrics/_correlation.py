"""What Pearson and Spearman share: 0 where a correlation is undefined."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from finebench.bench.metrics._info import Array


def correlate(function: Callable[[Array, Array], Any], labels: Array, predictions: Array) -> float:
    """SciPy's `function(labels, predictions).statistic`, and 0 where it is undefined or rounding alone decides it.

    A constant predictor has no correlation; a collapsed run enters the analysis as 0. SciPy warns of constant input,
    and of input so nearly constant that its digits are rounding error; both are 0 here, as are non-finite predictions.
    """
    from scipy.stats import ConstantInputWarning, NearConstantInputWarning

    if not (np.isfinite(predictions).all() and np.isfinite(labels).all()):
        return 0.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", ConstantInputWarning)
        warnings.simplefilter("error", NearConstantInputWarning)
        try:
            value = float(function(labels, predictions).statistic)
        except (ConstantInputWarning, NearConstantInputWarning):
            return 0.0
    return value if math.isfinite(value) else 0.0
