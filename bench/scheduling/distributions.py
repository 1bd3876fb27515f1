"""A search space as distributions of Optuna."""

from typing import Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from finebench.bench.study.search_space import Distribution, Space


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What Optuna draws from: distributions as written; a grid of several values is a choice among them."""
    drawn: dict[str, BaseDistribution] = {key: _distribution(d) for key, d in space.distributions.items()}
    for key, values in space.grids.items():
        if len(values) > 1:
            drawn[key] = CategoricalDistribution(cast(Any, values))
    return drawn


def _distribution(given: Distribution) -> BaseDistribution:
    if given.kind == "choice":
        return CategoricalDistribution(cast(Any, given.values))
    low, high = cast(tuple[float, float], given.values)
    if given.kind == "int":
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=given.kind == "loguniform")
