"""How many packs train at once, how many wait, and how many configurations of one cell a search has under way: what the
places for trials allow, shared by the cells.

More than the machine trains at once would be suggested before any result is known, which makes a sampler guess. What
`parallel: auto` came to is written into plan.json, so that a study goes on with the same suggestions wherever it does.
"""

import math
from collections.abc import Mapping

from finebench.bench.study.load import method_resources
from finebench.bench.study.schema import Study

AHEAD = 64
"""Packs that wait for a worker, at most. Ray Tune hands out one worker for each event, so that more never find one at
the same moment, and it looks through all that wait before each: with 1,000 it did little else."""


def ahead(slots: float) -> int:
    """Packs that wait where there are so many slots, two at least: of two workers that end together Ray would throw the
    second away if nothing waited for it."""
    return max(2, min(int(slots), AHEAD))


def slots(study: Study, name: str, cpus: float, gpus: float) -> int:
    """Packs of a method that `cpus` and `gpus` train at once, at least 1. A GPU under `auto` is one place: what several
    on it would bring is measured later."""
    asked = method_resources(study, name)
    places = _whole(cpus / asked.cpu)
    share = asked.gpus(gpus)
    if share > 0:
        places = min(places, int(gpus) * _whole(1 / share))
    return max(1, places // asked.number)


def packs(study: Study, cpus: float, gpus: float) -> int:
    """Packs that `cpus` and `gpus` train at once, of the method of which most are."""
    return max(slots(study, name, cpus, gpus) for name in study.methods)


def _whole(number: float) -> int:
    """Rounded down, but not for want of a last digit: ten tenths are ten."""
    return math.floor(number + 1e-9)


def parallel(study: Study, cells: int, cpus: float, gpus: float, before: Mapping[str, int]) -> dict[str, int]:
    """Configurations of a cell under way at once, by method: as the study says; else as an earlier run of it had
    (`before`); else the method's places over the number of `cells`, which all want some."""
    optuna = study.search.optuna
    if optuna is None:
        return {}
    if optuna.parallel != "auto":
        return dict.fromkeys(study.methods, optuna.parallel)
    return {
        name: before[name] if name in before else -(-slots(study, name, cpus, gpus) // cells) for name in study.methods
    }
