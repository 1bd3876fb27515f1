"""`fb.Study`: a study from its file or from typed arguments, planned and run by the command's own code."""

import inspect
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, Unpack, get_type_hints

from finebench import keys
from finebench._flat import paths, plain
from finebench._plan import Plan, make_plan
from finebench._results import Results, load
from finebench._said import Said, counted
from finebench.analysis.claims.interim import needed_after
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.deltas import keep_best
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study import plan as planning
from finebench.bench.study import schema
from finebench.bench.study.load import build_study, find_study, load_study
from finebench.bench.study.plugins import load_named
from finebench.bench.study.shards import Shard
from finebench.bench.util.errors import InputError, MethodError, StudyError


class Study(Said):
    """A study, checked whole: the keys are those of the study file, and `fb.keys` has their types.

        study = fb.Study(
            name="mine",
            tasks=["mrpc"],
            methods={"full": {"lr": [1e-5, 3e-5]}, "bitfit": {"lr": [3e-4, 1e-3]}},
            budget={"steps": 500},
            seeds=6,
        )

    `name`, `tasks`, `methods` and `budget` are needed. Tuples, ranges, NumPy's arrays and numbers, and paths stand for
    the lists, numbers and texts that a file would have; relative paths are taken from the working directory. Raises
    InputError with one message for all that is wrong.
    """

    def __init__(self, **keys: Unpack[keys.Study]) -> None:
        given = plain(keys)
        self._where = f"Study({given['name']!r})" if "name" in given else "Study()"
        self._study = build_study(load_named(given, Path("."), self._where), self._where, Path("."))

    @classmethod
    def from_yaml(
        cls,
        study: str | os.PathLike[str],
        *,
        set: str | Iterable[str] | Mapping[str, Any] = (),
        model: str | os.PathLike[str] | None = None,
        plugins: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    ) -> Self:
        """A study file, or one of finebench's own by its bare name.

        `set` overrides keys as `--set` does: `["seeds=2", "training.evals=4"]`, or `{"seeds": 2}`. `model` replaces the
        study's; `plugins` are files that a stored study (RESULTS/study.yaml) rests on. Raises InputError with one
        message for all that is wrong.
        """
        made = cls.__new__(cls)
        sets = _overrides(set)
        made._where = str(find_study(os.fspath(study)))
        made._study = load_study(os.fspath(study), sets, None if model is None else os.fspath(model), paths(plugins))
        return made

    @property
    def spec(self) -> schema.Study:
        """The study, every default filled in."""
        return self._study

    def plan(
        self, results: str | Path | None = None, *, data: str | Path | None = None, slots: int | None = None
    ) -> Plan:
        """What would run: counts, times and trials; nothing is trained.

        With a results folder (path or URI) the plan also says what of it is there, with `slots` how long the study
        takes on so many places for a trial. `data` is a folder of GLUE tasks, as `--data` takes it. Raises InputError
        where the model or the data cannot be used, or the folder holds another study, and ValueError where `slots` is
        below 1.
        """
        if slots is not None and slots < 1:
            raise ValueError(f"slots are 1 or more, not {slots}")
        where = None if results is None else str(results)
        with self._named():
            return make_plan(self._study, None if data is None else Path(data), where, slots)

    def run(
        self,
        results: str | Path,
        *,
        progress: bool = False,
        data: str | Path | None = None,
        address: str | None = None,
        debug: bool = False,
        keep: Literal["none", "best", "all"] = "none",
        logger: str | None = None,
        limit: int | None = None,
        shard: str | None = None,
    ) -> Results:
        """Run what is missing in a results folder (path or URI), as `finebench run` does, and load it.

        `progress` shows what the command shows: a table that is redrawn on a terminal, a line every ten seconds in a
        notebook or a log, and each failure. `keep` says which trained deltas are kept (for `Results.model`), `limit`
        starts at most so many trials, `shard` ("2/4") runs one of so many parts, which `finebench merge` puts together;
        `data`, `address`, `debug` and `logger` are the command's options.

        A trial that fails is a row with its reason (`Results.failures_df`), not an exception. Raises InputError before
        anything starts, and KeyboardInterrupt on Ctrl-C, after which the same call goes on; signals reach the main
        thread only.
        """
        where = None if data is None else Path(data)
        part = None if shard is None else Shard.parse(shard)
        options = RunOptions(str(results), where, limit, address, debug, keep, logger, part)
        with self._named():
            if progress:
                from finebench._progress import run_shown

                outcome = run_shown(self._study, options, needed_after)
            else:
                outcome = run_study(
                    self._study, options, lambda _: Observer(), lambda trial, why, runs: None, needed_after
                )
        if keep == "best":
            keep_best(outcome.folder)
        return load(str(results))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What is found wrong with the study later on is told with its name, too."""
        try:
            yield
        except (StudyError, MethodError) as error:
            raise StudyError(f"{self._where}: {error}") from error

    def __str__(self) -> str:
        study, plan = self._study, planning.Plan(self._study)
        claims = [counted(len(study.claims), "claim")] if study.claims else []
        return ", ".join(
            [
                f"study {study.name}: {_listed(study.methods, 'method')} on {_listed(study.task_names, 'task')}",
                f"model {study.model}",
                *claims,
                counted(plan.count(), "trial"),
            ]
        )


# Notebooks complete names of arguments from here; editors and type checkers do so from the annotation.
Study.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
        for name, hint in get_type_hints(keys.Study).items()
        for default in ([inspect.Parameter.empty] if name in keys.Study.__required_keys__ else [...])
    ]
)


def _overrides(given: str | Iterable[str] | Mapping[str, Any]) -> list[str]:
    """Overrides as `--set` has them; raises InputError for what is none."""
    if isinstance(given, Mapping):
        return [f"{key}={json.dumps(plain(value))}" for key, value in given.items()]
    made = [given] if isinstance(given, str) else list(given)
    for one in made:
        if not isinstance(one, str):
            raise InputError(f'set: "key.path=value" is needed, or a mapping of key.path to value, not {one!r}')
    return made


def _listed(names: Collection[str], what: str) -> str:
    """A few names, or how many there are."""
    return " and ".join(names) if len(names) <= 2 else counted(len(names), what)
