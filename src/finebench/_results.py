"""`fb.load`: results folders as pandas frames without JSON in their cells, claims of one's own, charts and models.

Everything is the report's own: the frames are those that its tables show, the verdicts those of claims.json.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from finebench import keys
from finebench._claim import Claim, judge_one
from finebench._columns import COLUMNS
from finebench._flat import MOST_NAMED, check_names, flat, paths, plain
from finebench._plots import Plots
from finebench._said import Said, counted
from finebench.analysis.compare.compare import compare
from finebench.analysis.load import read
from finebench.analysis.load.runs import FAILED
from finebench.analysis.report.charts import figures
from finebench.analysis.report.contents import Contents, analyse
from finebench.bench.results.schema import STATUSES, TABLES
from finebench.bench.results.within import outside_note
from finebench.bench.study.plugins import load_given, missing
from finebench.bench.study.trial_id import meant
from finebench.bench.util.errors import InputError, ResultsError
from finebench.bench.util.own_python import libraries_first
from finebench.bench.util.storage import Store


class Results(Said):
    """One results folder or several, as they were when they were loaded; `fb.load` makes it.

    With several, frames have a column `folder`. A frame of what there is nothing of is empty. Trials are read when a
    folder is loaded, evaluations and predictions when a frame needs them; what is analysed is kept, so that a second
    frame costs little.

    A cell is one task, share of its data (`fraction`), budget and method. JSON of a file or table stands in columns of
    its own: hyperparameters `hp_…`, the budget `budget_…` (its units: epochs, steps, seconds, FLOPs), metrics
    `metric_…`, versions `version_…`. Scores are in the unit of the metric, between 0 and 1 for most; seconds, bytes,
    FLOPs and joules are of one trial, and so named. What could not be measured is missing, never 0.

    `notes` say what was left out: damaged files, trials of another precision, trials that are no part of the study as
    it now is, what plugins would add that are not loaded. Frames raise ResultsError where a folder cannot be analysed:
    of its trials none is part of its study, or two results are of one configuration and seed.
    """

    def __init__(self, loaded: Sequence[read.Results]) -> None:
        self._loaded = tuple(loaded)
        self.folders = tuple(one.uri for one in loaded)

    @cached_property
    def _contents(self) -> list[Contents]:
        return [analyse(one, None) for one in self._loaded]

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for whatever of the folders some frame leaves out."""
        found = []
        for one in self._loaded:
            outside = sum(one.part.outside.values())
            unknown = missing(one.study)
            found += [*one.damaged, *one.left_out, *([outside_note(outside)] if outside else [])]
            found += [] if unknown is None else [unknown]
        return tuple(found)

    def trials_df(self) -> pd.DataFrame:
        """One row per trial that has ended, however it did; those too that are no part of the study as it now is.

        Columns are those of the `trials` table (docs, reference, results): `trial_id`, `study`, `stage`, `method`,
        `hp_…`, `model`, `task`, `fraction`, `seed`, `budget_…`, `status`, `reason`, `metric`, `score`, `metric_…`,
        `train_seconds`, `peak_memory_bytes`, `version_…` and the rest. `score` is on the held-out split.
        """
        return self._frame(lambda at: self._loaded[at].trials)

    def failures_df(self) -> pd.DataFrame:
        """The rows of `trials_df` that ended in `error`, `oom`, `timeout` or `diverged`, with `reason`, the reason.

        A diverged trial is a result, and enters the analysis with the constant predictor's score; the others are run
        again when the study is.
        """
        return self._frame(lambda at: _failed(flat(self._loaded[at].trials)))

    def evals_df(self) -> pd.DataFrame:
        """One row per trial, step and split: what was measured during training.

        Columns: `trial_id`, `step` (optimiser steps so far), `examples`, `train_seconds`, `train_flops` (all so far),
        `split` (select or score), `loss`, `metric`, `value`, `lr`.
        """
        return self._frame(lambda at: self._loaded[at].evals)

    def predictions_df(
        self, task: str | None = None, method: str | None = None, trial_ids: str | Iterable[str] | None = None
    ) -> pd.DataFrame:
        """One row per trial and scored example, of the trials that are asked for; all of them may be many.

        Columns: `trial_id`, `example` (row number in the score split), `label` and `prediction` (class index, or
        value), `probability` (a list, of each class; missing for regression). Raises InputError for a task, method or
        trial that is in none of the folders.
        """
        trials = pd.concat([one.trials for one in self._loaded])
        ids = [trial_ids] if isinstance(trial_ids, str) else None if trial_ids is None else list(trial_ids)
        check_names("task", [] if task is None else [task], set(trials["task"]))
        check_names("method", [] if method is None else [method], set(trials["method"]))
        check_names("trial", ids or (), set(trials["trial_id"]), MOST_NAMED)

        def found(at: int) -> pd.DataFrame:
            one = self._loaded[at]
            wanted = one.trials["trial_id"].isin(one.trials["trial_id"] if ids is None else ids)
            wanted &= (one.trials["task"] == task) if task is not None else True
            wanted &= (one.trials["method"] == method) if method is not None else True
            parts = list(one.predictions(trial_ids=list(one.trials["trial_id"][wanted])))
            none: pd.DataFrame = TABLES["predictions"].empty_table().to_pandas()
            return pd.concat(parts, ignore_index=True) if parts else none

        return self._frame(found)

    def scores_df(self) -> pd.DataFrame:
        """One row per cell, planned or run: the mean score of its chosen configuration over seeds, and how sure it is.

        Columns: `task`, `fraction`, `budget_…`, `budget_label` (in words), `method`; `metric`, `score` with its 95 %
        interval `low` to `high` over `n` seeds, and how that was made (`interval`); of the seeds `sd`, `median`, `iqm`
        (interquartile mean), `min`, `max`; the configuration that was chosen: `hp_…`, `setting` (what of it varied, in
        words), `lr`, and its choice: `select_mean` over `select_n` seeds, `left_out`; `source` (fresh seeds or the same
        that chose) and `stage` of the runs; `complete`, `planned_seeds`, `missing`; the numbers of runs that were
        `collapsed` (no better than a constant predictor), `constant_output`, `diverged`, `failed`; `configurations`
        tried of `configurations_planned`; `majority` (the constant predictor's score), `train_seconds` (median), and
        `trainable_params`; `why` there is no score or interval, or how it is qualified.
        """
        return self._of("scores")

    def pairs_df(self) -> pd.DataFrame:
        """One row per couple of methods in a task, fraction and budget: their difference, paired by seed.

        Columns: `task`, `fraction`, `budget_…`, `budget_label`, `metric`; methods `a` and `b` with their means over
        common seeds, `score_a` and `score_b`; `difference` (a − b) with its 95 % interval `low` to `high` over `pairs`,
        and how that was made (`interval`); its p-value `p`, and `p_holm` corrected over the `family` of so many;
        `superiority`, the probability that a beats b on one seed, with `superiority_low`, `superiority_high`,
        `superiority_interval`, `superiority_p`, `superiority_p_holm` and `verdict`; `order_bound`, the upper bound of
        the stochastic order's ε, and `order_note`; `why` something is missing.
        """
        return self._of("pairs")

    def costs_df(self) -> pd.DataFrame:
        """One row per cell and device at the largest fraction of each task and budget: what a trial costs.

        Columns: `task`, `fraction`, `budget_…`, `budget_label`, `method`, `setting`, `score`, `device`; the counts
        `trainable_params`, `encoder_params`, `head_params`, `total_params`, `delta_bytes` (stored per task); the
        medians over `n` runs alone on their device (`shared` others are left out), each with its range, `…_low` to
        `…_high`: `train_seconds`, `examples_per_second`, `peak_memory_bytes`, `peak_allocated_bytes`, `train_flops`,
        `energy_joules`; and their ratios to those of the method `reference`, as `x_…` with `x_…_low` and `x_…_high`;
        `why` something is missing.
        """
        return self._of("efficiency")

    def claims_df(self) -> pd.DataFrame:
        """One row per claim of the study, with its verdict.

        Columns are those of claims.json that fit into a cell (docs, reference): `id`, `says`, `a`, `b`, `statement`,
        `tasks`, `fraction`, `budget_…`, `margin`, `verdict`, `reason`, `quantity`, `task`, `estimate` with its interval
        `low` to `high` at `level`, `test`, `pairs`, `p` and `p_adjusted` (Holm, over the study's claims), `p_against`,
        `seeds_to_settle`, `missing`, `collapsed`, `command` (what would settle it) and the rest.
        """
        return self._of("claims").drop(columns=["filled", "next", "looks", "effect"], errors="ignore")

    def changes_df(self) -> pd.DataFrame:
        """Of two folders: one row per cell that both have, and what changed from the first (a) to the second (b).

        Columns: `task`, `fraction`, `budget_…`, `budget_label`, `method`, `metric`; `score_a`, `score_b`; `difference`
        (b − a) with its 95 % interval `low` to `high`, `p`, and `p_holm` corrected over all rows; `change` in a word;
        `pairs`, `seeds_a`, `seeds_b`, `how` it was made; `setting_a`, `setting_b`, `same_configuration`; `why`.
        Raises InputError unless two folders were loaded.
        """
        if len(self.folders) != 2:
            raise InputError(
                f"changes_df compares two results folders, and {len(self.folders)} were loaded: fb.load(A, B)"
            )
        return flat(compare(*self._loaded).frames["changes"])

    def claim(self, **claim: Unpack[keys.Statement]) -> Claim:
        """A claim of the reader's own, with the keys of a study's claims, judged on one folder.

            results.claim(says="matches", a="bitfit", b="full", margin=0.02)

        Exploratory: it was not stated beforehand. Raises InputError for a claim that cannot be understood, or that
        speaks of a method, task, fraction or budget that is not there.
        """
        return judge_one(self._one("claim"), plain(claim))

    @cached_property
    def plot(self) -> Plots:
        """The report's figures of one folder, as altair charts: `results.plot.overview`, or `results.plot["pairs-…"]`.

        Raises InputError where several folders were loaded.
        """
        self._one("plot")
        return Plots({figure.name: figure.spec for figure in figures(self._contents[0])})

    def model(self, trial_id: str) -> tuple[Any, Any]:
        """The fine-tuned model of a trial whose delta was kept (`--keep`), in evaluation mode, and its tokenizer.

        Raises InputError for a trial that is not there, ResultsError where none was kept, ModelError where the model
        that it was trained on is another here.
        """
        from finebench.bench.training.worker.weights import load_delta

        loaded = self._one("model")
        known = set(loaded.trials["trial_id"])
        found = meant(str(trial_id), known)
        check_names("trial", found if len(found) == 1 else [trial_id], known, MOST_NAMED)
        store, name = Store(loaded.uri), f"deltas/{found[0]}.safetensors"
        data = store.read_bytes(name)
        if data is None:
            raise ResultsError(f"{store.shown(name)}: no delta was kept; `finebench run --keep all` keeps them")
        with tempfile.TemporaryDirectory(prefix="finebench-delta-") as folder:
            file = Path(folder) / "delta.safetensors"
            file.write_bytes(data)
            return load_delta(file, str(loaded.study.get("model", "embedded")))

    def __str__(self) -> str:
        return "\n".join([*map(_sentence, self._loaded), *self.notes])

    def _one(self, what: str) -> read.Results:
        if len(self._loaded) != 1:
            raise InputError(
                f"{what} is about one results folder, and {len(self._loaded)} were loaded: "
                f"fb.load({self.folders[0]!r}).{what}…; changes_df compares two"
            )
        return self._loaded[0]

    def _of(self, name: str) -> pd.DataFrame:
        made = self._frame(lambda at: self._contents[at].frames[name])
        return made if len(made) else made.reindex(columns=[*COLUMNS.get(name, made.columns)])

    def _frame(self, of: Callable[[int], pd.DataFrame]) -> pd.DataFrame:
        made = [flat(of(at)) for at in range(len(self.folders))]
        if len(made) == 1:
            return made[0]
        named = [frame.assign(folder=folder) for frame, folder in zip(made, self.folders, strict=True)]
        return pd.concat([frame for frame in named if len(frame)] or named[:1], ignore_index=True)


def load(folder: str | Path, *more: str | Path, plugins: str | Path | Iterable[str | Path] = ()) -> Results:
    """One results folder or several, by path or URI; `plugins` are the files of those that their studies name.

    Raises ResultsError where one does not exist, holds no finished trial, or is of a newer schema, and StudyError where
    a plugin fails.
    """
    given = (folder, *more)
    for one in given:
        if not isinstance(one, str | os.PathLike):
            raise InputError(f"fb.load takes folders one by one, fb.load(a, b), not {type(one).__name__}")
    with libraries_first():
        load_given(paths(plugins))
        return Results([read.load_results(str(one)) for one in given])


def _failed(trials: pd.DataFrame) -> pd.DataFrame:
    return trials[trials["status"].isin([*FAILED, "diverged"])].reset_index(drop=True)


def _sentence(one: read.Results) -> str:
    counts = one.trials["status"].value_counts()
    ended = ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if status in counts)
    methods, tasks = (counted(one.trials[key].nunique(), key) for key in ("method", "task"))
    name = one.trials["study"].iloc[0]
    return f"results of {name} in {one.uri}: {counted(len(one.trials), 'trial')} ({ended}), {methods} on {tasks}"
