"""The evaluations of one run as arrays, cut out of all runs at once: a frame for each of many runs takes minutes."""

from typing import NamedTuple

import numpy as np
import pandas as pd


class Trace(NamedTuple):
    """Evaluations of one run, ordered by step and, at a step, `score` before `select`: [evaluations] each."""

    step: np.ndarray
    scored: np.ndarray
    """Whether it is of the `score` split, else of `select`."""
    value: np.ndarray
    train_seconds: np.ndarray
    train_flops: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """Where each step begins."""
        return np.flatnonzero(np.diff(self.step, prepend=self.step[0] - 1))


def traces(evals: pd.DataFrame) -> dict[str, Trace]:
    """By trial_id; `evals` as `Results.evals` has them: in order of trial, step and split, none twice."""
    if evals.empty:
        return {}
    ids = evals["trial_id"].to_numpy(dtype=object)
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    numbers = [evals[name].to_numpy(dtype=np.float64) for name in ("value", "train_seconds", "train_flops")]
    columns = [evals["step"].to_numpy(), evals["split"].eq("score").to_numpy(dtype=bool), *numbers]
    cuts = [np.split(column, starts[1:]) for column in columns]
    return {str(ids[start]): Trace(*parts) for start, *parts in zip(starts, *cuts, strict=True)}
