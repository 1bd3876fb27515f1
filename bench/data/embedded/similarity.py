"""Graded similarity of two events, 0 (nothing shared) to 5 (the same meaning), and how to sample pairs of all grades.

The grade is a weighted share of matching parts of the meaning: synonyms count as equal, opposites as a little,
the same person in the wrong role as a little more, and a difference in polarity costs a third of the whole.
"""

from dataclasses import replace

from finebench.bench.data.embedded import edits
from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.meaning import Entity, Event, event
from finebench.bench.data.embedded.words import Concept

OPPOSITE, WRONG_ROLE, POLARITY = 0.25, 0.3, 0.65
CHANGES: tuple[edits.Edit, ...] = (
    edits.other_agent, edits.other_agent, edits.other_patient, edits.other_patient, edits.other_verb,
    edits.reverse_verb, edits.swap_roles, edits.negate, edits.other_place, edits.reverse_manner,
    edits.reverse_adjective, edits.change_tense, edits.change_number, edits.move_adjective,
)  # fmt: skip


def _concept(a: Concept | None, b: Concept | None) -> float:
    if a is None or b is None:
        return 0.0
    if a == b:
        return 1.0
    return OPPOSITE if a.opposite == b.name else 0.0


def _entity(a: Entity | None, b: Entity | None) -> float:
    if a is None or b is None or a.noun != b.noun:
        return 0.0
    quality = _concept(a.adjective, b.adjective) if a.adjective or b.adjective else 1.0
    return 0.7 + 0.1 * (a.many == b.many) + 0.2 * quality


def _role(a: Event, b: Event, role: str) -> float:
    mine: Entity | None = getattr(a, role)
    direct = _entity(mine, getattr(b, role))
    crossed = max(_entity(mine, other) for other in (b.agent, b.patient, b.recipient))
    return max(direct, WRONG_ROLE * crossed)


def grade(a: Event, b: Event) -> float:
    """Return the similarity of two events in [0, 5]; symmetric."""
    parts: list[tuple[float, float]] = [(1.6, _concept(a.verb, b.verb))]
    for role, weight in (("agent", 1.2), ("patient", 1.2), ("recipient", 0.8)):
        if getattr(a, role) is not None or getattr(b, role) is not None:
            parts.append((weight, (_role(a, b, role) + _role(b, a, role)) / 2))
    for name, weight in (("manner", 0.6), ("place", 0.5), ("preposition", 0.2), ("time", 0.4)):
        mine, other = getattr(a, name), getattr(b, name)
        if mine is not None or other is not None:
            parts.append((weight, _concept(mine, other)))
    parts.append((0.3, float(a.tense == b.tense)))
    share = sum(w * s for w, s in parts) / sum(w for w, _ in parts)
    return 5.0 * share * (1.0 if a.negated == b.negated else POLARITY)


def related(said: Event, draw: Choices, changes: int) -> Event:
    """Return the event after some number of changes (those that do not apply are drawn again)."""
    done = 0
    while done < changes:
        changed = draw.pick(CHANGES)(said, draw)
        if changed is not None and changed != said:
            said, done = changed, done + 1
    return said


def event_pair(draw: Choices) -> tuple[Event, Event]:
    """Sample two events whose grades spread over the whole scale."""
    first = replace(event(draw, reported=0.0), report=None)
    if draw.chance(0.12):
        return first, event(draw, reported=0.0)
    return first, related(first, draw, draw.pick((0, 0, 1, 1, 2, 2, 3, 4, 5, 6)))


def rated(value: float, draw: Choices) -> float:
    """Return a grade as the mean of five raters would give it: a little noise, steps of 0.2, inside [0, 5]."""
    noisy = value + draw.uniform(-0.3, 0.3)
    return round(min(5.0, max(0.0, round(noisy * 5) / 5)), 1)
