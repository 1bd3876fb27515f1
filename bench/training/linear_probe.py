"""Puts a job of which only the head is trained on cached features, and charges the trial for them."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from finebench.bench.models.frozen_encoder import Apart
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.feature_cache import Features, FeatureStore, compute, rows_digest
from finebench.bench.training.job import Examples, Job, TimedOut
from finebench.bench.training.prediction import autocast, on_device


def on_features(job: Job, apart: Apart, store: FeatureStore, key: Any) -> Job:
    """The job on features of `fit`, `select` and `score`, its model without its encoder (`apart.attach` puts it back).

    `key` holds all that features depend on beside the rows. Raises TimedOut past the job's deadline.
    """
    fit, select, score = (_with_features(job, apart, store, (key, name)) for name in ("fit", "select", "score"))
    apart.detach()
    return replace(job, fit=fit, select=select, score=score)


def seconds(examples: Examples) -> float:
    """What computing the features of a split took when they were computed; 0.0 where it has none."""
    return examples.tokens.seconds if isinstance(examples.tokens, Features) else 0.0


def charge(job: Job, progress: Progress) -> None:
    """Add what the features took to a trial's seconds, once: a trial that goes on from a checkpoint has paid before."""
    if progress.steps == 0:
        progress.train_seconds += seconds(job.fit)
        progress.eval_seconds += seconds(job.select) + seconds(job.score)


def _with_features(job: Job, apart: Apart, store: FeatureStore, key: tuple[Any, str]) -> Examples:
    examples: Examples = getattr(job, key[1])
    tokens: Any = examples.tokens

    def read(rows: np.ndarray) -> Tensor:
        if time.monotonic() > job.deadline:
            raise TimedOut("the time limit ran out while features were computed")
        with autocast(job.device, job.training.precision):
            return apart.read(on_device(tokens.batch(rows, job.pad_id), job.device))

    where = (key[0], "score" if key[1] == "score" else "train", rows_digest(examples.rows))
    found = store.get(where, lambda: compute(read, tokens, examples.rows, 2 * job.training.batch_size))
    return replace(examples, tokens=found)
