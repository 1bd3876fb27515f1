"""Where the claims of a study stand after a look at its seeds: which are settled, and which cells the others need."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.claim import Claim
from analysis.evidence import Source, cells_of
from analysis.planned import Key
from analysis.statistics.interim import WITHIN_REACH
from analysis.verdicts import Verdict


@dataclass(frozen=True)
class Standing:
    """Settled claims with their verdicts, claims that no later look can decide, open ones, and the cells that those
    need."""

    settled: Mapping[str, str]
    futile: tuple[str, ...]
    open: tuple[str, ...]
    cells: frozenset[Key]

    @property
    def words(self) -> str:
        """In a line."""
        said = [f"{name} {verdict}" for name, verdict in self.settled.items()]
        said += [f"{name} out of reach either way" for name in self.futile]
        said += [f"{name} open" for name in self.open]
        return ", ".join(said)


def standing(made: list[Verdict], places: list[tuple[list[str], str]], source: Source, followed: set[str]) -> Standing:
    """How the claims in `followed` stand; `places`: each claim's tasks and budget."""
    settled: dict[str, str] = {}
    futile, open_, cells = list[str](), list[str](), set[Key]()
    for one, (tasks, budget) in zip(made, places, strict=True):
        if one.claim.id not in followed:
            continue
        if one.verdict != "inconclusive" or not any(found.path for found in one.findings):
            settled[one.claim.id] = one.verdict
        elif is_futile(one):
            futile.append(one.claim.id)
        else:
            open_.append(one.claim.id)
            cells.update(_needed(one.claim, tasks, budget, source))
    return Standing(settled, tuple(futile), tuple(open_), frozenset(cells))


def _needed(claim: Claim, tasks: list[str], budget: str, source: Source) -> Iterator[Key]:
    for task in tasks:
        yield from cells_of(claim, task, budget, source)


def is_futile(one: Verdict) -> bool:
    """Whether the last look can neither support an open claim nor refute it, at the values that most favour either.

    Support takes every task, refutation one. Not binding: a study that goes on all the same keeps its error rate.
    """
    undecided = [found.reach for found in one.findings if not found.supports]
    if any(math.isnan(support) or refute >= WITHIN_REACH for support, refute in undecided):
        return False
    return any(support < WITHIN_REACH for support, _ in undecided)


def told(one: Verdict, looks: int) -> dict[str, Any] | None:
    """A claim's path through its looks, as claims.json has it; None for a claim that is looked at once."""
    path = next((found.path for found in one.findings if found.path), None)
    if path is None:
        return None
    decided = one.verdict != "inconclusive"
    paths = [found.path for found in one.findings]
    ends = [next((step.look for step in own if step.supports or step.refutes), len(own) - 1) for own in paths]
    last = max(ends) if one.verdict == "supported" else min(ends)
    return {"taken": len(path), "planned": looks, "decided_at": last + 1 if decided else None, "futile": is_futile(one)}
