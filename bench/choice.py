"""Choose a cell's best configuration by `select` alone."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple


class Scored(NamedTuple):
    """What a choice may see of a trial: its configuration, how it ended, and its score on `select`."""

    configuration: str
    status: str
    select_score: float | None


def best_configuration(scored: Iterable[Scored]) -> dict[str, Any] | None:
    """The configuration with the highest mean `select` score among those with the most finished seeds.

    Diverged trials count with the select score that their row carries (the constant predictor's). Pruned and failed
    ones never count. Ties go to the alphabetically first configuration. None where nothing has finished.
    """
    finished: dict[str, list[float]] = defaultdict(list)
    for one in scored:
        if one.status in ("ok", "diverged") and one.select_score is not None and math.isfinite(one.select_score):
            finished[one.configuration].append(one.select_score)
    if not finished:
        return None
    most = max(map(len, finished.values()))
    means = {c: math.fsum(values) / len(values) for c, values in finished.items() if len(values) == most}
    return dict(json.loads(min(means, key=lambda c: (-means[c], c))))
