"""`fb.load`: results folders as pandas frames without JSON in their cells, claims of one's own, charts and models.

Everything is the report's own: the frames are those that its tables show, the verdicts those of claims.json.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import altair as alt
import pandas as pd

from finebench.analysis.claims import judge
from finebench.analysis.load import read
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.runs import runs
from finebench.analysis.report.charts import figures
from finebench.analysis.report.contents import Contents, analyse
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.bench.study.plugins import load_given
from finebench.bench.util.errors import InputError, ResultsError, choose
from finebench.bench.util.storage import Store

T = TypeVar("T")

_PREFIX = {
    "hyperparameters": "hp",
    "configuration": "hp",
    "budget": "budget",
    "metrics": "metric",
    "versions": "version",
}
"""Columns that hold a JSON object, and what the columns begin with that it becomes."""


@dataclass(frozen=True)
class Claim:
    """A claim judged on stored results, outside the study's own: its p-value is corrected for no other claim."""

    statement: str
    verdict: str
    reason: str
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    exploratory: bool = True

    def __str__(self) -> str:
        if self.estimate is None:
            return f"{self.statement}: {self.verdict} ({self.reason}); exploratory"
        shown = f"{self.estimate:.4g}"
        if self.low is not None and self.high is not None:
            shown += f" (95 % {self.low:.4g} to {self.high:.4g})"
        return f"{self.statement}: {self.verdict}, {shown}; exploratory"


class Results:
    """One results folder or several, read when first asked. With several, frames have a column `folder`."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = tuple(folders)

    @cached_property
    def _loaded(self) -> list[read.Results]:
        return [read.load_results(folder) for folder in self.folders]

    @cached_property
    def _contents(self) -> list[Contents]:
        return [analyse(one, None) for one in self._loaded]

    def trials_df(self) -> pd.DataFrame:
        """One row a trial; hyperparameters as `hp_…`, the budget as `budget_…`, versions as `version_…`."""
        return self._frame(lambda at: self._loaded[at].trials)

    def evals_df(self) -> pd.DataFrame:
        """One row per trial, step and split."""
        return self._frame(lambda at: self._loaded[at].evals)

    def predictions_df(
        self, task: str | None = None, method: str | None = None, trial_ids: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """One row per trial and scored example, of the trials that are asked for; all of them may be many."""

        def found(at: int) -> pd.DataFrame:
            trials = self._loaded[at].trials
            wanted = trials["trial_id"].isin(trials["trial_id"] if trial_ids is None else trial_ids)
            wanted &= (trials["task"] == task) if task else True
            wanted &= (trials["method"] == method) if method else True
            parts = list(self._loaded[at].predictions(trial_ids=list(trials["trial_id"][wanted])))
            return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

        return self._frame(found)

    def scores_df(self) -> pd.DataFrame:
        """One row per task, fraction, budget and method: mean score over seeds with its 95 % interval."""
        return self._of("scores")

    def pairs_df(self) -> pd.DataFrame:
        """One row per couple of methods in a task, fraction and budget: their paired difference with its interval."""
        return self._of("pairs")

    def costs_df(self) -> pd.DataFrame:
        """One row per task, fraction, budget and method: parameters, bytes, seconds, memory, FLOPs, energy."""
        return self._of("efficiency")

    def claims_df(self) -> pd.DataFrame:
        """One row per claim of the study, with its verdict, estimate, interval and corrected p-values."""
        return self._of("claims")

    def claim(self, *, says: str, a: str, b: str | None = None, **keys: Any) -> Claim:
        """A claim of the reader's own, with the keys of a study's claims (margin, fraction, tasks, …), judged on one
        folder. Exploratory: it was not stated beforehand. Raises ResultsError for a claim that cannot be understood."""
        (loaded,) = self._one(self._loaded)
        given = {"id": "exploratory", "says": says, "a": a, **({} if b is None else {"b": b}), **keys}
        asked = replace(loaded, study=loaded.study | {"claims": [given]})
        table = runs(asked)
        expected = Expectation(asked.plan, table)
        samples = Samples(asked, table, expected)
        (found,) = judge.verdicts(asked, table, scores(table, expected, samples), samples, expected)
        kept = ("statement", "verdict", "reason", "estimate", "low", "high", "p")
        return Claim(**{key: found[key] for key in kept})

    @cached_property
    def plot(self) -> "Plots":
        """The report's figures, as altair charts: `results.plot.overview`, or `results.plot["pairs-…"]`."""
        (contents,) = self._one(self._contents)
        return Plots({figure.name: figure.spec for figure in figures(contents)})

    def model(self, trial_id: str) -> tuple[Any, Any]:
        """The fine-tuned model of a trial whose delta was kept (`--keep`), in evaluation mode, and its tokenizer.

        Raises ResultsError where none was kept, ModelError where the model that it was trained on is another here.
        """
        from finebench.bench.training.worker.weights import load_delta

        (loaded,) = self._one(self._loaded)
        store, name = Store(loaded.uri), f"deltas/{trial_id}.safetensors"
        data = store.read_bytes(name)
        if data is None:
            raise ResultsError(f"{store.shown(name)}: no delta was kept; `finebench run --keep all` keeps them")
        with tempfile.TemporaryDirectory(prefix="finebench-delta-") as folder:
            file = Path(folder) / "delta.safetensors"
            file.write_bytes(data)
            return load_delta(file, str(loaded.study.get("model", "embedded")))

    def _one(self, each: Sequence[T]) -> Sequence[T]:
        if len(each) != 1:
            raise InputError(f"this is about one results folder; {len(each)} were loaded: fb.load one of them")
        return each

    def _of(self, name: str) -> pd.DataFrame:
        return self._frame(lambda at: self._contents[at].frames[name])

    def _frame(self, of: Callable[[int], pd.DataFrame]) -> pd.DataFrame:
        made = [_flat(of(at)) for at in range(len(self.folders))]
        if len(made) == 1:
            return made[0]
        named = [frame.assign(folder=folder) for frame, folder in zip(made, self.folders, strict=True)]
        return pd.concat(named, ignore_index=True)


class Plots(Mapping[str, alt.Chart]):
    """The figures of a report by name; as attributes with `_` for `-`."""

    def __init__(self, specs: Mapping[str, dict[str, Any]]) -> None:
        self._specs = dict(specs)

    def __getitem__(self, name: str) -> Any:
        if name not in self._specs:
            raise InputError(choose("figure", name, self._specs))
        return alt.Chart.from_dict(self._specs[name])

    def __getattr__(self, name: str) -> Any:
        found = next((one for one in self.__dict__.get("_specs", {}) if one.replace("-", "_") == name), None)
        if found is None:
            raise AttributeError(f"no figure {name!r}; there are {', '.join(self.__dict__.get('_specs', {}))}")
        return self[found]

    def __iter__(self) -> Any:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __dir__(self) -> list[str]:
        return [name.replace("-", "_") for name in self._specs]


def load(folder: str | Path, *more: str | Path, plugins: Iterable[str | Path] = ()) -> Results:
    """One results folder or several, by path or URI; `plugins` are the files of those that their studies name.

    Raises ResultsError where one holds no finished trial, and StudyError where a plugin fails.
    """
    load_given(map(str, plugins))
    found = Results([str(one) for one in (folder, *more)])
    for one in found.folders:
        if not Store(one).exists():
            raise ResultsError(f"results folder {one!r} does not exist; `finebench run STUDY --results DIR` makes one")
    return found


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame with each column of JSON objects as columns of its own."""
    for column, prefix in _PREFIX.items():
        if column in frame and len(frame):
            at = list(frame.columns).index(column)
            made = pd.DataFrame([_entries(text, prefix) for text in frame[column]], index=frame.index)
            frame = frame.iloc[:, :at].join(made).join(frame.iloc[:, at + 1 :])
    return frame


def _entries(text: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(text, str) or not text.startswith("{"):
        return {prefix: text} if isinstance(text, str) else {}
    found = json.loads(text)
    return {f"{prefix}_{key}": str(v) if isinstance(v, list | dict) else v for key, v in found.items()}
