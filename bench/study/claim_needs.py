"""Which claims of a study cannot get a verdict as it is planned, why, and which settings would give them one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from finebench.bench.metrics import scored
from finebench.bench.study.claim_seeds import more_seeds, scoring
from finebench.bench.study.load import spaces
from finebench.bench.study.parts.claim import Claim
from finebench.bench.study.parts.search import CrossedSeeds, UntilSettled, number_of
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.study.schema import Study
from finebench.bench.tasks import tasks

LEAST_LEVELS = 3
"""Levels that a crossed source of randomness needs where it varies: two of them say next to nothing of its variance."""

Sets = tuple[tuple[str, Any], ...]
"""Keys of the study with the values that they need."""


class _Lack(NamedTuple):
    """Why a claim gets no verdict; `sets` is None where no setting that can be named would change that."""

    why: str
    sets: Sets | None = None


@dataclass(frozen=True)
class Lack:
    """Claims (ids) that get no verdict for one reason. With `sets` they would; where there are none, the file has to
    change."""

    claims: tuple[str, ...]
    why: str
    sets: Sets

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `--set` takes, one for each of `sets`."""
        return tuple(f"{key}={json.dumps(value)}" for key, value in self.sets)


def needs(study: Study) -> list[Lack]:
    """The claims that cannot get a verdict with what the study plans, those with one reason together."""
    found: dict[tuple[str, str], tuple[list[str], Sets]] = {}
    for claim in study.claims:
        lacks = list(_lacks(study, claim))
        if lacks:
            known = all(one.sets is not None for one in lacks)
            sets = tuple(pair for one in lacks for pair in one.sets or ()) if known else ()
            why = "; ".join(one.why for one in lacks)
            found.setdefault((why, repr(sets)), ([], sets))[0].append(claim.id)
    return [Lack(tuple(ids), why, sets) for (why, _), (ids, sets) in found.items()]


def with_sets(study: Study, need: Lack) -> Study:
    """The study as its `need` would have it."""
    raw = study.model_dump()
    for key, value in need.sets:
        *parents, last = key.split(".")
        node = raw
        for parent in parents:
            node = node[parent]
        node[last] = value
    return Study.model_validate(raw)


def more_trials(before: Plan, after: Plan) -> dict[Cell, int]:
    """Trials of each cell of `after` that `before` does not plan: a seed that both have is not run twice."""
    there = {(one.cell, one.stage): one.planned for one in before.counts()}
    made: dict[Cell, int] = {}
    for one in after.counts():
        old = there.get((one.cell, one.stage), 0)
        if old and one.stage == "grid":
            old = one.configurations * _common(before.study.seeds, after.study.seeds, one.cell.fraction)
        made[one.cell] = made.get(one.cell, 0) + max(0, one.planned - old)
    return made


Given = int | list[int] | CrossedSeeds | UntilSettled
"""A study's seeds as it writes them."""


def _common(a: Given, b: Given, fraction: float) -> int:
    """Seeds that two studies share; a study's seed k has all sources at k, the subset without effect on all data."""
    sources = _sources(fraction)
    a, b = (number_of(one) if isinstance(one, UntilSettled) else one for one in (a, b))
    if isinstance(a, list) or isinstance(b, list):
        return len(_single(a, sources) & _single(b, sources))
    if isinstance(a, int) or isinstance(b, int):
        return min(one if isinstance(one, int) else min(getattr(one, s) for s in sources) for one in (a, b))
    return prod(min(getattr(a, source), getattr(b, source)) for source in sources)


def _single(seeds: int | list[int] | CrossedSeeds, sources: tuple[str, ...]) -> set[int]:
    """The seeds k that have all sources at k."""
    if isinstance(seeds, list):
        return set(seeds)
    most = seeds if isinstance(seeds, int) else min(getattr(seeds, source) for source in sources)
    return set(range(1, most + 1))


def _sources(*fractions: float) -> tuple[str, ...]:
    """The sources of randomness that can change a result; with all of the data the subset cannot."""
    return ("init", "order") if 1.0 in fractions else ("init", "order", "subset")


def _lacks(study: Study, claim: Claim) -> Iterator[_Lack]:
    unknown = [name for name in (claim.a, claim.b) if name is not None and name not in study.methods]
    if unknown:  # refused before a run; a results folder's study may have been edited since
        yield _Lack(f"not among the methods that are run: {', '.join(unknown)}")
        return
    yield from _not_run(study, claim)
    if claim.fraction is not None and claim.kind.void(claim, max(study.fractions)):
        yield _Lack(f"fraction {claim.fraction:g} is all of the data that the study uses; name a smaller one")
    if claim.kind.rests_on(claim) == "choices":
        yield from _learning_rates(study, claim)
    if claim.kind.of_means and claim.tasks == "pooled" and claim.scale == "points":
        yield from _metrics(study)
    least = claim.kind.least_pairs(claim)
    if least:
        yield from _pairs(study, claim, least)


def _not_run(study: Study, claim: Claim) -> Iterator[_Lack]:
    if claim.fraction is not None and claim.fraction not in study.fractions:
        yield _Lack(f"fraction {claim.fraction:g} is not run", (("fractions", [*study.fractions, claim.fraction]),))
    if claim.budget is not None and claim.budget not in study.budget:
        whole = [one.model_dump(exclude_none=True) for one in (*study.budget, claim.budget)]
        yield _Lack(f"budget {claim.budget.canonical} is not run", (("budget", whole),))
    absent = [name for name in claim.tasks if name not in study.task_names] if isinstance(claim.tasks, list) else []
    if absent:
        plain = all(isinstance(entry, str) for entry in study.tasks)
        sets = (("tasks", [*study.tasks, *absent]),) if plain else None
        yield _Lack(f"not among the tasks that are run: {', '.join(absent)}", sets)


def _metrics(study: Study) -> Iterator[_Lack]:
    """Scores of two metrics have no mean in points."""
    known = tasks()
    named = [one for one in study.tasks if not isinstance(one, str) or one in known]  # a folder's may not be known here
    found = [known[one].metric if isinstance(one, str) else scored(one.metric)[0] for one in named]
    if len(set(found)) > 1:
        names = " and ".join(dict.fromkeys(found))
        yield _Lack(f"{names} have no mean over tasks: write scale: gain, with the margin as a share of a gain")


def _learning_rates(study: Study, claim: Claim) -> Iterator[_Lack]:
    """A spread over learning rates compares as many of one method as of the other, two at least."""
    names = claim.tasks if isinstance(claim.tasks, list) else study.task_names
    counts = {
        tuple(_rates(study, side, task) for side in (claim.a, str(claim.b)))
        for task in names
        if task in study.task_names
    }
    for a, b in sorted(counts, key=str):
        single = [name for name, n in ((claim.a, a), (claim.b, b)) if n == 1]
        if single:
            yield _Lack(f"one learning rate has no spread: give {' and '.join(map(str, single))} two or more")
            return
        if a is not None and b is not None and a != b:
            yield _Lack(f"{claim.a} tries {a} learning rates and {claim.b} {b}: give both the same number")
            return


def _rates(study: Study, method: str, task: str) -> int | None:
    """Learning rates that a method tries on a task; None where a search draws them."""
    space = spaces(study, method)[task]
    return None if "lr" in space.distributions else len(space.grids.get("lr", (None,)))


def _pairs(study: Study, claim: Claim, least: int) -> Iterator[_Lack]:
    key, given, more = scoring(study, claim)
    if isinstance(given, CrossedSeeds):
        yield from _crossed(study, claim, given, least)
    elif given + more < least:
        named = study.seeds if key == "seeds" and isinstance(study.seeds, list) else None
        yield _Lack(_too_few(given + more, least), ((key, more_seeds(named, least) if named else least - more),))


def _too_few(pairs: int, least: int) -> str:
    return f"{pairs} {'pair' if pairs == 1 else 'pairs'}, and a verdict needs {least}"


def _crossed(study: Study, claim: Claim, given: CrossedSeeds, least: int) -> Iterator[_Lack]:
    if claim.kind.of_single_runs(claim):
        yield _Lack("crossed seeds are no independent runs, which such a verdict needs", (("seeds", least),))
        return
    fractions = claim.kind.fractions(claim, max(study.fractions))
    levels = {source: getattr(given, source) for source in _sources(*fractions)}
    short = [source for source, n in levels.items() if n == LEAST_LEVELS - 1]
    pairs = prod(levels.values())
    if short:
        why = f"crossed seeds have {LEAST_LEVELS - 1} levels of {' and '.join(short)}"
        yield _Lack(f"{why}, and a verdict needs {LEAST_LEVELS} of what varies", _wider(levels, least))
    elif pairs < least:
        yield _Lack(_too_few(pairs, least), _wider(levels, least))


def _wider(levels: Mapping[str, int], least: int) -> Sets:
    """The levels that have to grow: two to three, and a single varied source to as many as are needed."""
    made = {source: LEAST_LEVELS if n == LEAST_LEVELS - 1 else n for source, n in levels.items()}
    if prod(made.values()) < least:
        made[next((source for source, n in made.items() if n > 1), "init")] = least
    return tuple((f"seeds.{source}", n) for source, n in made.items() if n != levels[source])
