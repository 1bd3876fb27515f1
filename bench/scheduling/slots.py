"""How many packs wait, and how many configurations of one cell a search has under way: what the slots allow, shared by
the cells.

More than the machine trains at once would be suggested before any result is known, which makes a sampler guess. What
`parallel: auto` came to is written into plan.json, so that a study goes on with the same suggestions wherever it does.
"""

from collections.abc import Mapping

from finebench.bench.study.schema import Study

AHEAD = 64
"""Packs that wait for a worker, at most. Ray Tune hands out one worker for each event, so that more never find one at
the same moment, and it looks through all that wait before each: with 1,000 it did little else."""


def ahead(slots: float) -> int:
    """Packs that wait where there are so many slots, two at least: of two workers that end together Ray would throw the
    second away if nothing waited for it."""
    return max(2, min(int(slots), AHEAD))


def parallel(study: Study, cells: int, slots: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Configurations of a cell under way at once, by method: as the study says; else as an earlier run of it had
    (`before`); else the method's `slots` over the number of `cells`, which all want some."""
    optuna = study.search.optuna
    if optuna is None:
        return {}
    if optuna.parallel != "auto":
        return dict.fromkeys(study.methods, optuna.parallel)
    return {name: before[name] if name in before else -(-slots[name] // cells) for name in study.methods}
