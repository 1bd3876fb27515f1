"""Near misses: edits of an event that change what it says, mostly with the same words or with words of the same kind.

Each edit returns a changed event, or None where it does not apply. `LEXICAL` edits bring a new content word into the
sentence, `STRUCTURAL` edits only rearrange or inflect.
"""

from collections.abc import Callable
from dataclasses import replace

from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.meaning import TENSES, Entity, Event
from finebench.bench.data.embedded.words import ADJECTIVES, MANNERS, NOUNS, PREPOSITIONS, VERBS, Concept, opposite_of

Edit = Callable[[Event, Choices], Event | None]


def swap_roles(said: Event, draw: Choices) -> Event | None:
    """Exchange agent and patient, or agent and recipient."""
    if said.recipient is not None:
        return replace(said, agent=said.recipient, recipient=said.agent)
    if said.patient is None or not said.patient.is_person:
        return None
    return replace(said, agent=said.patient, patient=said.agent)


def negate(said: Event, draw: Choices) -> Event | None:
    """Deny what was said, or say what was denied."""
    return replace(said, negated=not said.negated)


def change_tense(said: Event, draw: Choices) -> Event | None:
    """Move the event to another tense; not where a time word fixes it."""
    return None if said.time else replace(said, tense=draw.other(TENSES, said.tense))


def change_number(said: Event, draw: Choices) -> Event | None:
    """Turn one into many or many into one, on agent or patient."""
    if said.patient is not None and draw.chance(0.5):
        return replace(said, patient=replace(said.patient, many=not said.patient.many))
    return replace(said, agent=replace(said.agent, many=not said.agent.many))


def move_adjective(said: Event, draw: Choices) -> Event | None:
    """Let the adjective of one person describe the other."""
    other = said.recipient or said.patient
    if other is None or not other.is_person or (said.agent.adjective is None) == (other.adjective is None):
        return None
    agent = replace(said.agent, adjective=other.adjective)
    moved = replace(other, adjective=said.agent.adjective)
    return replace(said, agent=agent, recipient=moved) if said.recipient else replace(said, agent=agent, patient=moved)


def reverse_verb(said: Event, draw: Choices) -> Event | None:
    """Put the opposite verb."""
    other = opposite_of(said.verb, VERBS[said.verb.kind])
    return replace(said, verb=other) if other else None


def other_verb(said: Event, draw: Choices) -> Event | None:
    """Put another verb of the same frame."""
    return replace(said, verb=draw.other(VERBS[said.verb.kind], said.verb))


def _kind(what: Entity) -> tuple[Concept, ...]:
    return NOUNS["person" if what.is_person else what.noun.kind]


def other_agent(said: Event, draw: Choices) -> Event | None:
    """Let someone else do it."""
    return replace(said, agent=replace(said.agent, noun=draw.other(_kind(said.agent), said.agent.noun)))


def other_patient(said: Event, draw: Choices) -> Event | None:
    """Let it happen to someone or something else of the same kind."""
    if said.patient is None:
        return None
    return replace(said, patient=replace(said.patient, noun=draw.other(_kind(said.patient), said.patient.noun)))


def other_place(said: Event, draw: Choices) -> Event | None:
    """Move the event to another place, or to another side of the same place."""
    if said.place is None or said.preposition is None:
        return None
    if draw.chance(0.4):
        return replace(said, preposition=draw.other(PREPOSITIONS, said.preposition))
    return replace(said, place=draw.other(NOUNS["place"], said.place))


def reverse_manner(said: Event, draw: Choices) -> Event | None:
    """Let it happen in the opposite manner."""
    return replace(said, manner=opposite_of(said.manner, MANNERS)) if said.manner else None


def reverse_adjective(said: Event, draw: Choices) -> Event | None:
    """Put the opposite adjective, or another one where there is no opposite."""
    what = said.agent if said.agent.adjective else said.patient
    if what is None or what.adjective is None:
        return None
    group = ADJECTIVES["person" if what.noun.kind != "thing" else "thing"]
    changed = replace(what, adjective=opposite_of(what.adjective, group) or draw.other(group, what.adjective))
    return replace(said, agent=changed) if what is said.agent else replace(said, patient=changed)


STRUCTURAL: tuple[Edit, ...] = (swap_roles, swap_roles, negate, change_tense, change_number, move_adjective)
LEXICAL: tuple[Edit, ...] = (
    reverse_verb, reverse_verb, other_verb, other_agent, other_patient, other_place, reverse_manner, reverse_adjective,
)  # fmt: skip


def near_miss(said: Event, draw: Choices, lexical: float = 0.5) -> tuple[Event, bool]:
    """Return an event that differs in one point, and whether a new content word came in."""
    while True:
        is_lexical = draw.chance(lexical)
        changed = draw.pick(LEXICAL if is_lexical else STRUCTURAL)(said, draw)
        if changed is not None and changed != said:
            return changed, is_lexical
