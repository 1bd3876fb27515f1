"""Where the claims of a study stand after a look at its seeds: which are settled, and which cells the others need."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from finebench.analysis.claims.evidence import Source, cells_of
from finebench.analysis.claims.judging import LookSchedule
from finebench.analysis.claims.verdicts import Verdict
from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import finite_or_none
from finebench.analysis.statistics.group_sequential import Levels
from finebench.analysis.statistics.interim import WITHIN_REACH, median_unbiased


@dataclass(frozen=True)
class Standing:
    """Settled claims with their verdicts, claims that no later look can decide, open ones, and the cells that those
    need."""

    settled: Mapping[str, str]
    futile: tuple[str, ...]
    open: tuple[str, ...]
    cells: frozenset[Key]
    last: bool = False
    """Whether there is no later look."""

    @property
    def words(self) -> str:
        """In a line."""
        said = [f"{name} {verdict}" for name, verdict in self.settled.items()]
        said += [f"{name} out of reach either way" for name in self.futile]
        said += [f"{name} {'undecided' if self.last else 'open'}" for name in self.open]
        return ", ".join(said)


def standing(
    made: list[Verdict],
    places: list[tuple[list[str], str]],
    source: Source,
    followed: Collection[str],
    last: bool,
    never: Collection[str] = (),
) -> Standing:
    """How the claims in `followed` stand after a look, the `last` or not; `places`: each claim's tasks and budget.

    never: claims (ids) that can get no verdict as the study is planned. No seeds are spent on them, nor on what has no
    finding although all of its cells are there.
    """
    settled: dict[str, str] = {}
    futile, open_, cells = list[str](), list[str](), set[Key]()
    for one, (tasks, budget) in zip(made, places, strict=True):
        if one.claim.id not in followed:
            continue
        needed = set(cells_of(one.claim, tasks, budget, source))
        if one.verdict != "inconclusive":
            settled[one.claim.id] = one.verdict
        elif one.claim.id in never or not one.findings or not needed <= source.samples.keys():
            settled[one.claim.id] = "without a verdict"  # it can get none here
        elif is_futile(one):
            futile.append(one.claim.id)
        else:
            open_.append(one.claim.id)
            cells |= needed
    return Standing(settled, tuple(futile), tuple(open_), frozenset(cells), last)


def is_futile(one: Verdict) -> bool:
    """Whether the last look can neither support an open claim nor refute it, at the values that most favour either.

    Support takes every task, refutation one. Not binding: a study that goes on all the same keeps its error rate.
    """
    undecided = [found.reach for found in one.findings if not found.supports]
    if any(math.isnan(support) or refute >= WITHIN_REACH for support, refute in undecided):
        return False
    return any(support < WITHIN_REACH for support, _ in undecided)


def fixed_since(one: Verdict) -> Verdict:
    """The verdict of a study whose seeds came in waves once and now are of a fixed number; its reason says what that
    leaves unknown."""
    if not one.findings or one.claim.kind.rests_on(one.claim) != "scores":
        return one
    said = "the study was changed after an interim analysis, to a fixed number of seeds: its error rate is not known"
    return replace(one, reason=f"{one.reason}; {said}")


TOLD = ("pairs", "estimate", "low", "high", "p", "p_against", "held")
"""What claims.json has of each look."""


def told(
    one: Verdict, now: Verdict, waves: LookSchedule | None, decided_at: int | None, changed: bool
) -> dict[str, Any] | None:
    """A claim's way through its looks, as claims.json has it; None for a claim that is looked at once.

    `one`: the verdict as the look `decided_at` (from 1) gave it; `now`: after all looks so far; `changed`: the schedule
    was changed after a look.
    """
    taken = max((len(found.path) for found in now.findings), default=0)
    if waves is None or not taken:
        return None
    looks, decided = waves.levels.looks, one.verdict != "inconclusive"
    futile = not decided and is_futile(one)
    return {
        "planned": list(looks),
        "taken": taken,
        "decided_at": decided_at,
        "futile": futile,
        "seeds_saved": looks[-1] - looks[taken - 1] if decided or futile else 0,
        "schedule_changed": changed,
        "median_unbiased": _unbiased(one, waves.levels) if decided else None,
        "path": [
            {"task": found.task, "look": step.look + 1, "seeds": looks[step.look]}
            | {key: finite_or_none(getattr(step, key)) for key in TOLD}
            for found in now.findings
            for step in found.path
        ],
    }  # fmt: skip


def _unbiased(one: Verdict, levels: Levels) -> float | None:
    """Where an early look decided about one bound: the median-unbiased estimate of what decided.

    A difference inside ±margin is about two, and no farther out than it is; one outside is about the margin it passed.
    """
    found, within = one.decides, one.claim.kind.holds == "within"
    if found is None or not one.claim.kind.of_means or (within and one.verdict != "refuted"):
        return None
    bound = math.copysign(found.bound, found.estimate) if within else found.bound
    look, half = found.decided_at, (found.high - found.low) / 2
    if look is None or look == len(levels.looks) - 1 or not 0 < half < math.inf:
        return None
    error = half / levels.critical(look, 0.05)
    mute = [s.look for s in found.path[:look] if s.held or s.pairs < found.needs or s.supports or s.refutes]
    shift = median_unbiased(levels, look, (found.estimate - bound) / error, mute)
    return bound + shift * error * math.sqrt(found.pairs)
