"""Where the claims of a study stand after a look at its seeds: which are settled, and which cells the others need."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
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
    made: list[Verdict], places: list[tuple[list[str], str]], source: Source, followed: set[str], last: bool
) -> Standing:
    """How the claims in `followed` stand after a look, the `last` or not; `places`: each claim's tasks and budget."""
    settled: dict[str, str] = {}
    futile, open_, cells = list[str](), list[str](), set[Key]()
    for one, (tasks, budget) in zip(made, places, strict=True):
        if one.claim.id not in followed:
            continue
        needed = set(cells_of(one.claim, tasks, budget, source))
        if one.verdict != "inconclusive":
            settled[one.claim.id] = one.verdict
        elif not needed <= source.samples.keys() or one.claim.kind.void(one.claim, source.top):
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


TOLD = ("pairs", "estimate", "low", "high", "p", "p_against", "held")
"""What claims.json has of each look."""


def told(one: Verdict, waves: LookSchedule | None, decided_at: int | None, changed: bool) -> dict[str, Any] | None:
    """A claim's way through its looks, as claims.json has it; None for a claim that is looked at once.

    `decided_at`: the look (from 1) that gave it its verdict; `changed`: the schedule was changed after a look.
    """
    if waves is None or not any(found.path for found in one.findings):
        return None
    looks, paths = waves.levels.looks, [found.path for found in one.findings]
    decided = one.verdict != "inconclusive"
    futile = not decided and is_futile(one)
    return {
        "planned": list(looks),
        "taken": len(paths[0]),
        "decided_at": decided_at,
        "futile": futile,
        "seeds_saved": looks[-1] - looks[len(paths[0]) - 1] if decided or futile else 0,
        "schedule_changed": changed,
        "median_unbiased": _unbiased(one, waves.levels) if decided else None,
        "path": [
            {"task": found.task, "look": step.look + 1, "seeds": looks[step.look]}
            | {key: finite_or_none(getattr(step, key)) for key in TOLD}
            for found in one.findings
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
    look = next((step.look for step in found.path if step.supports or step.refutes), None)
    half = (found.high - found.low) / 2
    if look is None or look == len(levels.looks) - 1 or not half > 0:
        return None
    error = half / levels.critical(look, 0.05)
    shift = median_unbiased(levels, look, (found.estimate - bound) / error)
    return bound + shift * error * math.sqrt(found.pairs)
