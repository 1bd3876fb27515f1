"""What a study will cost, before it runs: steps, FLOPs and a rough time per trial of each cell.

The same estimate orders the trials of a wave, longest first, so that no core idles at the end.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from finebench.bench.methods import method
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.architecture import Architecture
from finebench.bench.study.parts.training import split_point
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.study.schema import Study

EFFICIENCY = 0.5
"""Share of the measured matrix-multiplication speed that training small encoders reaches on a CPU."""
NOMINAL = 5e10
"""FLOP/s of a core where none is measured."""
SPECIAL_TOKENS = 2.5
TOKENS_PER_WORD = 1.25


@dataclass(frozen=True)
class Size:
    """How much data a task has: rows of train, rows of score, mean tokens and mean squared tokens of an input."""

    train: int
    score: int
    tokens: float
    squares: float
    num_labels: int


@dataclass(frozen=True)
class CellEstimate:
    """One trial of a cell. `steps` is None under a seconds budget, whose length is `seconds` itself."""

    cell: Cell
    steps: int | None
    train_flops: float
    eval_flops: float
    seconds: float | None
    trainable_params: int
    head_params: int
    total_params: int


def sizes(texts: Mapping[str, Any], max_length: int) -> dict[str, Size]:
    """Sizes of loaded tasks (name -> TaskData), with tokens estimated from words."""
    found = {}
    for name, task in texts.items():
        words = np.array([sum(len(text.split()) for text in row) for row in zip(*task.train.texts, strict=True)])
        tokens = np.minimum(words * TOKENS_PER_WORD + SPECIAL_TOKENS, max_length)
        train, score = len(task.train.labels), len(task.score.labels)
        found[name] = Size(train, score, float(tokens.mean()), float((tokens**2).mean()), task.num_labels)
    return found


def estimate(plan: Plan, cell: Cell, architecture: Architecture, size: Size) -> CellEstimate:
    """Estimate one trial of a cell, at the cell's first grid point."""
    study = plan.study
    point = plan.complete(cell, next(plan.space(cell).points()))
    own, options = split_point(point)
    tuned = method(cell.method)(**own)
    counts = method_cost.count(tuned, architecture, size.num_labels)
    batch = options.get("batch_size", study.training.batch_size)
    n_fit = fit_rows(study, cell, size.train)
    on_features = method_cost.head_flops(tuned, architecture, size.num_labels, batch)
    if on_features is None:
        flops = method_cost.train_flops(tuned, architecture, size.num_labels, batch)
        forward, seen = method_cost.forward_flops(tuned, architecture, size.num_labels, batch), 0.0
    else:
        flops, forward = on_features.training(*_work(size, n_fit)), on_features.forward
        seen = on_features.features(*_work(size, round(_select_examples(study, cell, size)) + size.score))
    per_step = flops.of_step(*_work(size, batch))
    steps = (
        None
        if cell.budget.seconds
        else cell.budget.to_steps(n_fit, batch, flops_per_step=per_step, flops_before=flops.once)
    )
    eval_flops = seen + forward(*_work(size, _scored_examples(study, cell, size)))
    return CellEstimate(
        cell=cell,
        steps=steps,
        train_flops=flops.once + per_step * steps if steps else math.nan,
        eval_flops=eval_flops,
        seconds=cell.budget.seconds,
        trainable_params=counts.encoder + counts.head,
        head_params=counts.head,
        total_params=counts.total,
    )


def fit_rows(study: Study, cell: Cell, train: int) -> int:
    """About how many of a task's train rows a trial fits on."""
    return max(1, round(cell.fraction * train * (1 - study.select.fraction)))


def _scored_examples(study: Study, cell: Cell, size: Size) -> int:
    """Examples scored in one trial: `select` at every evaluation, `score` at about half of them."""
    return round(study.training.evals * (_select_examples(study, cell, size) + 0.5 * size.score))


def _select_examples(study: Study, cell: Cell, size: Size) -> float:
    return max(study.select.fraction * cell.fraction * size.train, study.select.at_least)


def _work(size: Size, examples: int) -> tuple[int, int, int]:
    """Tokens, squared lengths and number of so many inputs."""
    return round(size.tokens * examples), round(size.squares * examples), examples


def weight(one: CellEstimate) -> float:
    """What a trial takes beside others, the same on every machine: its FLOPs, and of a seconds budget what a core of
    NOMINAL FLOP/s does in that time."""
    return trial_seconds(one, NOMINAL) * NOMINAL if one.seconds is not None else one.train_flops + one.eval_flops


def trial_seconds(one: CellEstimate, flops_per_second: float) -> float:
    """Rough seconds of one trial on one core of this machine."""
    train = one.seconds if one.seconds is not None else one.train_flops / flops_per_second
    return train + one.eval_flops / flops_per_second


@cache
def cpu_speed() -> float:
    """FLOP/s that training reaches on one core here: a short measured matrix multiplication times EFFICIENCY."""
    from threadpoolctl import threadpool_info

    n = 768
    a = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    a @ a
    rates = []
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(4):
            a @ a
        rates.append(4 * 2 * n**3 / (time.perf_counter() - begin))
    threads = max((one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"), default=1)
    return max(rates) / threads * EFFICIENCY
