"""Results folders in which the truth of a claim is known: two methods or more, drawn seeds, no learning-rate choice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.analysis.fixtures import BUDGET, Folder, empty

Truth = Mapping[str, Any]
"""Of a method: mean score (a number, or one per fraction), sd over seeds, seconds, params."""


def drawn(
    path: Path,
    methods: Mapping[str, Truth],
    claims: Sequence[Mapping[str, Any]],
    seeds: int = 10,
    tasks: Sequence[str] = ("alpha",),
    fractions: Sequence[float] = (1.0,),
    budgets: Sequence[str] = (BUDGET,),
    lrs: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> Folder:
    """A study of `methods` with paired seeds: half of a seed's deviation is shared by all methods."""
    rng = np.random.default_rng(seed)
    folder = empty(
        path, tasks=list(tasks), methods={name: {} for name in methods}, fractions=list(fractions), seeds=seeds,
        claims=[dict(one) for one in claims],
    )  # fmt: skip
    for task in tasks:
        for fraction in fractions:
            for budget in budgets:
                for number in range(1, seeds + 1):
                    shared = rng.normal()
                    for name, truth in methods.items():
                        _add(folder, rng, (task, fraction, budget, number, name), truth, shared, (lrs or {}).get(name))
    return folder


def _add(
    folder: Folder, rng: np.random.Generator, at: tuple[str, float, str, int, str], truth: Truth, shared: float,
    lrs: Sequence[float] | None,
) -> None:  # fmt: skip
    task, fraction, budget, number, name = at
    mean = truth["mean"][fraction] if isinstance(truth["mean"], Mapping) else truth["mean"]
    for lr in lrs or [1e-3]:
        noise = np.sqrt(0.5) * (shared + rng.normal()) * truth.get("sd", 0.01)
        slope = truth.get("slope", 0.0) * (np.log10(lr) + 3) * (1 + 0.1 * rng.normal())
        folder.add(
            task=task, fraction=fraction, budget=budget, method=name, seed=number, lr=lr,
            score=float(mean + noise + slope), select_score=0.9 if lr == 1e-3 else 0.8,
            train_seconds=float(truth.get("seconds", 10.0) * np.exp(0.05 * rng.normal())),
            trainable_params=truth.get("params", 1000),
        )  # fmt: skip
