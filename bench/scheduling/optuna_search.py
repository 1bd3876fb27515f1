"""One Optuna study per cell, by ask and tell, with every suggestion durable in the results folder.

A configuration is trained on all search seeds in lockstep and told as the choice counts it (`bench.study.selection`):
the mean of its `select` scores, a diverged seed with the constant predictor's. Under ASHA (Li et al., 2020; Optuna's
SuccessiveHalvingPruner) the mean at each evaluation is a rung, so that learning rates are stopped early and seeds never
are.

What a suggestion rests on does not depend on time: the sampler is reseeded for each from (cell, number), and suggestion
n is made from the results of all up to n - `parallel`, told in order, whichever have ended. So a search that goes on,
on any machine, suggests what it would have. ASHA stops runs by what others have reached at that moment; with it that
holds for `parallel: 1`.
"""

import hashlib
import itertools
import json
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from finebench.bench.results.folder import KEPT, Done, ResultsFolder
from finebench.bench.results.scope import Scope
from finebench.bench.scheduling.distributions import distributions
from finebench.bench.scheduling.suggestions import Suggestion, Suggestions, cell_name
from finebench.bench.study.configurations import Distinct
from finebench.bench.study.parts.search import OptunaSearch
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.selection import by_configuration
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import StudyError

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
warnings.filterwarnings("ignore", message="Choices for a categorical distribution")  # lists; Optuna stores nothing

ATTEMPTS = 10
"""How often a suggestion that repeats an earlier one is drawn again."""
REDUCTION = 3
"""ASHA keeps the best third at each rung."""


@dataclass
class _Asked:
    """A suggestion: Optuna's trial, and the rows of what was trained for it once that has ended."""

    trial: optuna.Trial
    rows: list[Done] | None = None


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
        configurations may be asked for before one is told, and may be set anew at any time; `distinct` knows which are
        one under several names.

        Raises ResultsError where a recorded suggestion cannot be read.
        """
        optuna_search = plan.study.search.optuna
        if optuna_search is None:
            raise ValueError("the study has no optuna search")
        self.settings: OptunaSearch = optuna_search
        self.plan, self.cell, self.known, self.parallel = plan, cell, known, parallel
        self.space = plan.space(cell)
        self.drawn = distributions(self.space)
        self.name = cell_name(cell)
        self.suggestions = Suggestions(folder, self.name)
        self.study = optuna.create_study(
            study_name=f"{plan.study.name}/{self.name}",
            direction="maximize",
            pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=REDUCTION),
        )
        self.budget = plan.configurations(cell)
        self.asked: dict[str, _Asked] = {}
        """By name of their pack."""
        self.order: list[_Asked] = []
        """In the order of their suggestion; the sampler has been told of the first `told`."""
        self.told = 0
        self.beyond: frozenset[str] = frozenset()
        self.distinct = distinct
        self.redo: list[Pack] = []
        self.number = 0
        self._resume(done, evals)

    def _resume(self, done: Mapping[tuple[str, bool], Done], evals: Callable[[str, bool], list[float]]) -> None:
        """Take up recorded suggestions in order: finished ones are known again, unfinished ones will be run again.

        Those outside of the space as it is now are passed over, and those after its budget.
        """
        scope, beyond = Scope(self.plan), set[str]()
        for one in self.suggestions.read():
            self.number = one.number + 1
            point = self._recorded(scope, one)
            if point is None:
                continue
            pack, params = self._pack(point), {key: point[key] for key in self.drawn}
            if pack.name in self.asked:  # suggested again while the first was running, and told so then
                self.study.enqueue_trial(params)
                self.study.tell(self.study.ask(self.drawn), state=TrialState.FAIL)
            elif len(self.asked) >= self.budget:
                beyond.add(pack.trials[0].configuration)
            else:
                self._tell(one.told if one.configuration is not None else len(self.order))
                self._again(pack, params, done, evals)
        self.beyond = frozenset(beyond)
        self._tell_due()

    def _recorded(self, scope: Scope, one: Suggestion) -> dict[str, Any] | None:
        """The point of the space that a suggestion is; None where it lies outside."""
        made = one.configuration
        if made is None:  # of a version that wrote down only what was drawn
            try:
                made = self.plan.complete(self.cell, next(self.space.points()) | one.params)
            except StudyError:
                return None
        return scope.point(self.cell, made)

    def _again(
        self,
        pack: Pack,
        params: dict[str, Any],
        done: Mapping[tuple[str, bool], Done],
        evals: Callable[[str, bool], list[float]],
    ) -> None:
        """Ask for a recorded suggestion once more; where it has ended, rung by rung, so that sampler and pruner know
        what they knew."""
        self.study.enqueue_trial(params)
        asked = self._add(self.study.ask(self.drawn), pack)
        rows = [done.get((t.id, False)) or done.get((t.id, True)) for t in pack.trials]
        finished = [row for row in rows if row is not None and row.status in (*KEPT, "pruned")]
        if len(finished) < len(pack.trials):
            self.redo.append(pack)
            return
        asked.rows = finished
        curves = [evals(row.trial_id, row.status == "pruned") for row in finished]
        for index in range(max(map(len, curves), default=0)):
            mean = _mean([_at(row, curve, index) for row, curve in zip(finished, curves, strict=True)])
            if math.isfinite(mean) and self.settings.scheduler == "asha":
                asked.trial.report(mean, index + 1)
                asked.trial.should_prune()

    def _add(self, trial: optuna.Trial, pack: Pack) -> _Asked:
        made = self.asked[pack.name] = _Asked(trial)
        self.order.append(made)
        if self.distinct is not None:
            self.distinct.add(json.loads(pack.trials[0].configuration))
        return made

    def _tell_due(self) -> None:
        """Tell the results, in the order of suggestion, that the next suggestion rests on; all once there is none."""
        self._tell(len(self.order) + (0 if self.exhausted else 1 - self.parallel))

    def _tell(self, due: int) -> None:
        """Tell results until so many are told, or the next one in order has not ended."""
        while self.told < min(due, len(self.order)) and (asked := self.order[self.told]).rows is not None:
            state, value = outcome(asked.rows)
            self.study.tell(asked.trial, value, state=state)
            self.told += 1

    def _pack(self, point: Mapping[str, Any]) -> Pack:
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
        if self.exhausted or self.told < len(self.asked) + 1 - self.parallel:
            return None
        new = self._new()
        if new is None:
            self.budget = len(self.asked)
            self._tell_due()
            return None
        trial, pack = new
        configuration = dict(pack.trials[0].hyperparameters) | pack.trials[0].options
        self.suggestions.write(
            Suggestion(number=self.number, params=trial.params, configuration=configuration, told=self.told)
        )
        self.number += 1
        self._add(trial, pack)
        self._tell_due()
        return pack

    def _new(self) -> tuple[optuna.Trial, Pack] | None:
        """A suggestion not made before. A sampler repeats itself in a small space; what it repeats is drawn again from
        its next seed, and after ATTEMPTS one of the configurations left is taken. None when none is left."""
        fixed = next(self.space.points())
        for attempt in range(ATTEMPTS):
            self.study.sampler = self._sampler(self.number, attempt)
            trial = self.study.ask(self.drawn)
            pack = self._pack(fixed | trial.params)
            if self._is_new(pack):
                return trial, pack
            self.study.tell(trial, state=TrialState.FAIL)  # neither sampler nor pruner looks at a failed trial
        for params in self._others():
            pack = self._pack(fixed | params)
            if self._is_new(pack):
                self.study.enqueue_trial(params)
                return self.study.ask(self.drawn), pack
        return None

    def _is_new(self, pack: Pack) -> bool:
        point = json.loads(pack.trials[0].configuration)
        return pack.name not in self.asked and (self.distinct is None or self.distinct.twin(point) is None)

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
        if asked is None or asked.rows is not None or not pack.rungs or not math.isfinite(value):
            return False
        asked.trial.report(value, index)
        return bool(asked.trial.should_prune())

    def tell(self, pack: Pack, rows: list[Done]) -> None:
        """Take in a finished configuration; the sampler is told in the order of suggestion."""
        asked = self.asked.get(pack.name)
        if asked is None or asked.rows is not None:
            return
        asked.rows = rows
        self._tell_due()

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be asked for."""
        return not self.redo and len(self.asked) >= self.budget

    @property
    def finished(self) -> bool:
        """Whether everything asked for has ended."""
        return self.exhausted and self.told == len(self.order)


def _at(row: Done, curve: list[float], index: int) -> float | None:
    """What a seed counts as at a rung: where it has diverged before, as the constant predictor."""
    return curve[index] if index < len(curve) else row.select_score if row.status == "diverged" else None


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def outcome(rows: list[Done]) -> tuple[TrialState, float | None]:
    """What a finished configuration is told as: PRUNED with its rungs; else what a choice would count it as.

    COMPLETE with the mean over the seeds that count, where those are more than half: a diverged one counts with the
    constant predictor's score, so that the sampler keeps away from where runs diverge. FAIL, which no sampler looks at,
    where too few count: out of memory, an error or a timeout says nothing of the score.
    """
    if any(row.status == "pruned" for row in rows):
        return TrialState.PRUNED, None
    scores = [score for by_seed in by_configuration(row.scored for row in rows).values() for score in by_seed.values()]
    if 2 * len(scores) <= len(rows):
        return TrialState.FAIL, None
    return TrialState.COMPLETE, math.fsum(scores) / len(scores)
