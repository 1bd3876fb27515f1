"""One Optuna study per cell, by ask and tell, with every suggestion durable in the results folder.

A configuration is trained on all search seeds in lockstep and told their mean `select` score. Under ASHA (Li et al.,
2020; Optuna's SuccessiveHalvingPruner) the mean at each evaluation is a rung, so that learning rates are stopped early
and seeds never are. The sampler is reseeded for each suggestion from (cell, number): a resumed search suggests what it
would have.
"""

import hashlib
import itertools
import json
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from bench.conductor import Pack
from bench.configurations import Distinct
from bench.errors import ResultsError
from bench.plan import Cell, Identities, Plan
from bench.results import KEPT, Done, ResultsFolder
from bench.seeds import Seeds
from bench.space import Distribution, Space
from bench.study import OptunaSearch
from bench.trial import Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
warnings.filterwarnings("ignore", message="Choices for a categorical distribution")  # lists; Optuna stores nothing

ATTEMPTS = 10
"""How often a suggestion that repeats an earlier one is drawn again."""
REDUCTION = 3
"""ASHA keeps the best third at each rung."""


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What Optuna draws from: distributions as written; a grid of several values is a choice among them."""
    drawn: dict[str, BaseDistribution] = {key: _distribution(d) for key, d in space.distributions.items()}
    for key, values in space.grids.items():
        if len(values) > 1:
            drawn[key] = CategoricalDistribution(cast(Any, values))
    return drawn


def _distribution(given: Distribution) -> BaseDistribution:
    if given.kind == "choice":
        return CategoricalDistribution(cast(Any, given.values))
    low, high = cast(tuple[float, float], given.values)
    if given.kind == "int":
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=given.kind == "loguniform")


def cell_name(cell: Cell) -> str:
    """A file-name-safe name of a cell, unique by a hash of its key."""
    digest = hashlib.blake2b(json.dumps(cell.key).encode(), digest_size=5).hexdigest()
    safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in f"{cell.task}-{cell.method}-{cell.fraction:g}")
    return f"{safe}-{digest}"


@dataclass
class _Asked:
    """A configuration that has been suggested and not yet told."""

    trial: optuna.Trial
    pack: Pack


class OptunaCell:
    """The search of one cell."""

    def __init__(
        self,
        plan: Plan,
        cell: Cell,
        known: Identities,
        folder: ResultsFolder,
        done: Mapping[tuple[str, bool], Done],
        evals: Callable[[str, bool], list[float]],
        parallel: int = 1,
        distinct: Distinct | None = None,
    ) -> None:
        """`evals(trial_id, pruned)` gives a finished trial's `select` values in order; `parallel` bounds how many
        configurations may be asked for before one is told; `distinct` knows which are one under several names."""
        optuna_search = plan.study.search.optuna
        if optuna_search is None:
            raise ValueError("the study has no optuna search")
        self.settings: OptunaSearch = optuna_search
        self.plan, self.cell, self.known, self.folder, self.parallel = plan, cell, known, folder, parallel
        self.space = plan.space(cell)
        self.drawn = distributions(self.space)
        self.name = cell_name(cell)
        self.study = optuna.create_study(
            study_name=f"{plan.study.name}/{self.name}",
            direction="maximize",
            pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=REDUCTION),
        )
        self.budget = plan.configurations(cell)
        self.asked: dict[str, _Asked] = {}
        self.seen: set[str] = set()
        self.distinct = distinct
        self.redo: list[Pack] = []
        self.number = 0
        self._resume(done, evals)

    def _file(self, number: int) -> str:
        return f"search/{self.name}/{number:06d}.json"

    def _resume(self, done: Mapping[tuple[str, bool], Done], evals: Callable[[str, bool], list[float]]) -> None:
        """Replay recorded suggestions in order: finished ones are told, unfinished ones will be run again."""
        for name in self.folder.names(f"search/{self.name}", ".json"):
            params = self.folder.read_json(f"search/{self.name}/{name}")["params"]
            if params.keys() != self.drawn.keys():
                raise ResultsError(
                    f"results folder {self.folder.uri!r} holds a search over {', '.join(sorted(params))} in cell "
                    f"{self.cell}; this study searches {', '.join(sorted(self.drawn))}. Choose another folder with "
                    "--results, or another study name"
                )
            pack = self._pack(params)
            self._saw(pack)
            rows = [done.get((t.id, False)) or done.get((t.id, True)) for t in pack.trials]
            finished = [row for row in rows if row is not None and row.status in (*KEPT, "pruned")]
            self.number += 1
            if pack.name in self.asked:  # suggested again while the first was running, and told so then
                self.study.enqueue_trial(params)
                self.study.tell(self.study.ask(self.drawn), state=TrialState.FAIL)
            elif len(finished) == len(pack.trials):
                curves = [evals(row.trial_id, row.status == "pruned") for row in finished]
                self._replay(params, finished, curves)
            else:
                self.study.enqueue_trial(params)
                self.asked[pack.name] = _Asked(self.study.ask(self.drawn), pack)
                self.redo.append(pack)

    def _replay(self, params: dict[str, Any], rows: list[Done], curves: list[list[float]]) -> None:
        """Tell a finished configuration again, rung by rung, so that sampler and pruner know what they knew."""
        self.study.enqueue_trial(params)
        trial = self.study.ask(self.drawn)
        for index in range(min(map(len, curves), default=0)):
            mean = sum(curve[index] for curve in curves) / len(curves)
            if math.isfinite(mean) and self.settings.scheduler == "asha":
                trial.report(mean, index + 1)
                trial.should_prune()
        state, value = self._outcome(rows)
        self.study.tell(trial, value, state=state)

    def _outcome(self, rows: list[Done]) -> tuple[TrialState, float | None]:
        if any(row.status == "pruned" for row in rows):
            return TrialState.PRUNED, None
        scores = [row.select_score for row in rows if row.status == "ok" and row.select_score is not None]
        if len(scores) < len(rows) or not all(map(math.isfinite, scores)):
            return TrialState.FAIL, None
        return TrialState.COMPLETE, sum(scores) / len(scores)

    def _pack(self, params: Mapping[str, Any]) -> Pack:
        point = next(self.space.points()) | dict(params)
        complete = self.plan.complete(self.cell, point)
        seeds = [Seeds.paired(k) for k in range(1, self.settings.seeds + 1)]
        trials: list[Trial] = [self.plan.trial(self.cell, "search", complete, s, self.known) for s in seeds]
        return Pack(tuple(trials), rungs=self.settings.scheduler == "asha")

    def _seed(self, what: str) -> int:
        return int.from_bytes(hashlib.blake2b(f"{self.name}/{what}".encode(), digest_size=4).digest(), "big")

    def _sampler(self, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        seed = self._seed(f"{number}/{attempt}" if attempt else f"{number}")
        if self.settings.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        startup = min(10, max(1, self.settings.trials // 3))
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)

    def ask(self) -> Pack | None:
        """The next configuration's trials, its suggestion written down first; None when none can be asked for now."""
        if self.redo:
            return self.redo.pop(0)
        if len(self.seen) >= self.budget or len(self.asked) >= self.parallel:
            return None
        new = self._new()
        if new is None:
            self.budget = len(self.seen)
            return None
        trial, pack = new
        self._saw(pack)
        self.folder.write_json(self._file(self.number), {"number": self.number, "params": trial.params})
        self.number += 1
        self.asked[pack.name] = _Asked(trial, pack)
        return pack

    def _new(self) -> tuple[optuna.Trial, Pack] | None:
        """A suggestion not made before. A sampler repeats itself in a small space; what it repeats is drawn again from
        its next seed, and after ATTEMPTS one of the configurations left is taken. None when none is left."""
        for attempt in range(ATTEMPTS):
            self.study.sampler = self._sampler(self.number, attempt)
            trial = self.study.ask(self.drawn)
            pack = self._pack(trial.params)
            if self._is_new(pack):
                return trial, pack
            self.study.tell(trial, state=TrialState.FAIL)  # neither sampler nor pruner looks at a failed trial
        for params in self._others():
            pack = self._pack(params)
            if self._is_new(pack):
                self.study.enqueue_trial(params)
                return self.study.ask(self.drawn), pack
        return None

    def _saw(self, pack: Pack) -> None:
        self.seen.add(pack.name)
        if self.distinct is not None:
            self.distinct.add(json.loads(pack.trials[0].configuration))

    def _is_new(self, pack: Pack) -> bool:
        point = json.loads(pack.trials[0].configuration)
        return pack.name not in self.seen and (self.distinct is None or self.distinct.twin(point) is None)

    def _others(self) -> Iterator[dict[str, Any]]:
        """Configurations of a space without continuous ranges: at random from a seed of this suggestion's own, then
        all, so that a space nearly used up ends too."""
        size = self.space.distinct or 0
        rng = random.Random(self._seed(f"{self.number}/others"))
        places = itertools.chain((rng.randrange(size) for _ in range(ATTEMPTS * ATTEMPTS)), range(size))
        for place in places if size else ():
            yield {key: value for key, value in self.space.configuration(place).items() if key in self.drawn}

    def rung(self, pack: Pack, index: int, value: float) -> bool:
        """Report the mean `select` score at evaluation `index` (1-based); True to stop the configuration."""
        asked = self.asked.get(pack.name)
        if asked is None or not pack.rungs or not math.isfinite(value):
            return False
        asked.trial.report(value, index)
        return bool(asked.trial.should_prune())

    def tell(self, pack: Pack, rows: list[Done]) -> None:
        """Tell a finished configuration: COMPLETE with its mean, PRUNED with its rungs, FAIL where a seed has no
        score."""
        asked = self.asked.pop(pack.name, None)
        if asked is None:
            return
        state, value = self._outcome(rows)
        self.study.tell(asked.trial, value, state=state)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be asked for."""
        return not self.redo and len(self.seen) >= self.budget

    @property
    def finished(self) -> bool:
        """Whether everything asked for has been told."""
        return self.exhausted and not self.asked
