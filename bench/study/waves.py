"""Seeds in waves: where a study may stop once its claims are settled, and which seeds each cell has got so far.

A look judges the claims on the seeds of all complete waves. The next wave runs the cells that an open claim needs, and
no others; a claim that was settled stays so. Who decides which those are is told to `Waves`: it knows no statistics.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping

from finebench.bench.study.parts.claim import Claim
from finebench.bench.study.parts.search import UntilSettled
from finebench.bench.study.parts.seeds import CONFIRM_BASE
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import CellKey, Trial
from finebench.bench.util.errors import StudyError

Decide = Callable[[int], Collection[CellKey]]
"""The cells that go on after a look, counted from 0; none: all is settled."""


def check_waves(study: Study, configurations: Mapping[str, int]) -> None:
    """Raise StudyError where seeds until settled could not keep their promise; `configurations`: the most that a
    method tries in a cell."""
    own, fresh = (isinstance(one, UntilSettled) for one in (study.seeds, study.search.fresh))
    if not (own or fresh):
        return
    kind = "optuna" if study.search.optuna else "grid"
    key, confirm = "seeds" if own else f"search.{kind}.confirm_seeds", f"search.{kind}.confirm_seeds"
    if not study.claims:
        raise StudyError(f"{key}: until settled, and the study makes no claims; give a number of seeds")
    if own and study.search.optuna:
        raise StudyError(f"seeds: a search chooses on seeds of its own; write {confirm}: {_written(study.seeds)}")
    if own and study.search.confirm_seeds:
        raise StudyError(f"seeds: the claims rest on the confirm seeds; write {confirm}: {_written(study.seeds)}")
    if own:
        units = any(claim.scale == "gain" for claim in study.claims)  # the method that trains most sets the unit
        sides = [side for claim in study.claims for side in (claim.a, claim.b)] + [*configurations] * units
        named = [side for side in sides if side in configurations]
        chosen = next((side for side in named if configurations[str(side)] > 1), None)
        if chosen is not None:
            raise StudyError(
                f"seeds: until settled, and {chosen} tries {configurations[chosen]} configurations: the same seeds "
                f"would choose one and judge it, look after look. Give it one, or write {confirm}: "
                f"{_written(study.seeds)} and a number of seeds"
            )
    if not any(in_waves(study, claim) for claim in study.claims):
        raise StudyError(f"{key}: until settled, and no claim is about the scores of those seeds; give a number")


def _written(seeds: object) -> str:
    given = seeds.model_dump(exclude_none=True) if isinstance(seeds, UntilSettled) else {}
    return "{" + ", ".join(f"{name}: {value}" for name, value in given.items()) + "}"


def in_waves(study: Study, claim: Claim) -> bool:
    """Whether a claim is judged at each look: those about costs and about learning rates are judged once, at the end,
    since waves bring no runs that were alone on their machine, and none that choose."""
    return study.waves is not None and claim.kind.rests_on(claim) == "scores"


def asked_of(study: Study) -> str:
    """A digest of what a look is of: the claims, and all that decides which configurations are judged, and how."""
    keys = {"claims", "methods", "tasks", "fractions", "budget", "search", "select", "training", "seeds"}
    dumped = study.model_dump(mode="json", include=keys)
    for search in filter(None, dumped["search"].values()):
        search.pop("confirm_default")  # no claim is about defaults
    for claim in dumped["claims"]:
        claim.pop("note")  # says nothing that is judged
    for space in dumped["methods"].values():
        space.pop("resources", None)  # nor does what its trials are given of a machine
    text = json.dumps(dumped, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def wave_seeds(study: Study) -> tuple[int, ...]:
    """The codes of the seeds that come in waves, in their order."""
    if study.waves is None:
        return ()
    base = CONFIRM_BASE if study.search.confirm_seeds else 0
    return tuple(base + k for k in range(1, study.waves.schedule[-1] + 1))


class Waves:
    """How many seeds each of `cells` has got so far, and what goes on after a look.

    `looks` counts those that were taken; `moved` is told after each. Raises whatever `decide` raises.
    """

    def __init__(
        self,
        study: Study,
        cells: Collection[CellKey],
        decide: Decide,
        moved: Callable[["Waves"], None] = lambda waves: None,
    ) -> None:
        if study.waves is None:
            raise ValueError("the study's seeds do not come in waves")
        self.schedule = study.waves.schedule
        self._stage = "confirm" if study.search.confirm_seeds else "grid"
        self._base = CONFIRM_BASE if self._stage == "confirm" else 0
        self._decide, self._moved = decide, moved
        self.looks = 0
        self.over = False
        self.seeds = dict.fromkeys(cells, self.schedule[0])
        """By cell."""

    def allows(self, trial: Trial) -> bool:
        """Whether a trial's wave has come, or it is of none."""
        return trial.stage != self._stage or trial.seeds.code - self._base <= self.seeds[trial.cell]

    def look(self) -> None:
        """Look at the wave that is through; `over` says whether that was the last look."""
        going = set(self._decide(self.looks))
        self.looks += 1
        self.over = not going or self.looks == len(self.schedule)
        if not self.over:
            self.seeds |= dict.fromkeys(going & self.seeds.keys(), self.schedule[self.looks])
        self._moved(self)
