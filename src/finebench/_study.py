"""`fb.Study`: a study from its file or from typed arguments, planned and run by the command's own code."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from finebench._results import Results
from finebench.analysis.claims.interim import look_at
from finebench.bench.driver.forecast import forecast
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.deltas import keep_best
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study import schema
from finebench.bench.study.load import build_study, load_study
from finebench.bench.study.trial_id import CellKey
from finebench.bench.util.own_python import libraries_first


@dataclass(frozen=True)
class Plan:
    """What a study would run: `trials` in all, `seconds` on `cores` of this machine (None: not known), notes, and the
    claims that can get no verdict as planned."""

    trials: int
    seconds: float | None
    cores: float
    notes: tuple[str, ...]
    no_verdict: tuple[dict[str, Any], ...]
    cells: pd.DataFrame

    def __str__(self) -> str:
        time = "" if self.seconds is None else f", about {self.seconds / 60:.1f} minutes on {self.cores:g} cores"
        return "\n".join([f"{self.trials:,} trials in {len(self.cells):,} cells{time}", *self.notes])


class Study:
    """A study, checked whole: the keys are those of the study file.

    Study(name="mine", tasks=["mrpc"], methods={"full": {"lr": [1e-5, 3e-5]}}, budget={"steps": 500}, seeds=6)

    Raises InputError with one message for all that is wrong.
    """

    @libraries_first()
    def __init__(
        self,
        *,
        name: str,
        tasks: list[str | dict[str, Any]],
        methods: dict[str, dict[str, Any]],
        budget: dict[str, float] | list[dict[str, float]],
        **keys: Any,
    ) -> None:
        given = {"name": name, "tasks": tasks, "methods": methods, "budget": budget, **keys}
        self._study = build_study(given, f"Study({name!r})", Path("."))

    @classmethod
    @libraries_first()
    def from_yaml(cls, study: str | Path, *, set: Iterable[str] = (), model: str | None = None) -> Self:
        """A study file, or one of finebench's own by its bare name; `set` overrides keys as `--set key.path=value`."""
        made = cls.__new__(cls)
        made._study = load_study(str(study), set, model)
        return made

    @property
    def spec(self) -> schema.Study:
        """The study, every default filled in."""
        return self._study

    @libraries_first()
    def plan(self, data: str | Path | None = None) -> Plan:
        """Count and estimate what would run; nothing is trained."""
        found = forecast(self._study, None if data is None else Path(data))
        kept = {key: found[key] for key in ("trials", "seconds", "cores")}
        notes, without = tuple(found["notes"]), tuple(found["no_verdict"])
        return Plan(**kept, notes=notes, no_verdict=without, cells=pd.DataFrame(found["per_cell"]))

    @libraries_first()
    def run(
        self,
        results: str | Path,
        *,
        data: str | Path | None = None,
        address: str | None = None,
        debug: bool = False,
        keep: str = "none",
        logger: str | None = None,
        limit: int | None = None,
    ) -> Results:
        """Run what is missing in a results folder (path or URI), as `finebench run` does, without its display.

        A trial that fails is a row with its reason, not an exception. Raises InputError before anything starts, and
        KeyboardInterrupt on Ctrl-C, after which the same call goes on; signals reach the main thread only.
        """
        options = RunOptions(str(results), None if data is None else Path(data), limit, address, debug, keep, logger)
        outcome = run_study(self._study, options, lambda scheduler: Observer(), lambda trial, why, runs: None, _settle)
        if keep == "best":
            keep_best(outcome.folder)
        return Results([str(results)])


def _settle(results: str, looks: int) -> tuple[Collection[CellKey], str]:
    found = look_at(results, looks)
    return {(task, method, fraction, budget) for task, fraction, budget, method in found.cells}, found.words
