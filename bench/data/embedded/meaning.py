"""What a sentence says, apart from how it says it: frozen events made of concepts, and their seeded sampling.

Two sentences are paraphrases exactly when they are written from equal events.
"""

from dataclasses import dataclass

from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.words import ADJECTIVES, MANNERS, NOUNS, PREPOSITIONS, TIMES, VERBS, Concept

TENSES = ("past", "present", "future", "perfect", "progressive")
TENSE_OF_TIME = {"past": "past", "present": "present", "future": "future"}


@dataclass(frozen=True)
class Entity:
    """A noun phrase: its noun, number, determiner and at most one adjective."""

    noun: Concept
    many: bool = False
    determiner: str = "the"
    adjective: Concept | None = None

    @property
    def is_person(self) -> bool:
        """Whether the noun names a person."""
        return self.noun.kind in {"person", "man", "woman"}


@dataclass(frozen=True)
class Event:
    """One event: who did what to whom, where, when, how, whether it is denied, and who reports it."""

    verb: Concept
    agent: Entity
    patient: Entity | None = None
    recipient: Entity | None = None
    tense: str = "past"
    negated: bool = False
    manner: Concept | None = None
    time: Concept | None = None
    preposition: Concept | None = None
    place: Concept | None = None
    report: tuple[Entity, Concept] | None = None


def entity(draw: Choices, kind: str, adjective: float = 0.25) -> Entity:
    """Sample a noun phrase of a kind (`person`, `animal`, `thing`, `man`, `woman`)."""
    noun = draw.pick(NOUNS[kind])
    many = draw.chance(0.35)
    determiner = draw.pick(("the", "the", "the", "a", "this" if draw.chance(0.5) else "that"))
    quality = "thing" if kind == "thing" else "person"
    return Entity(noun, many, determiner, draw.pick(ADJECTIVES[quality]) if draw.chance(adjective) else None)


def patient_for(draw: Choices, frame: str) -> Entity | None:
    """Sample what a verb of this frame acts on; None for frames without a patient."""
    if frame == "social":
        return entity(draw, "animal" if draw.chance(0.25) else "person")
    return entity(draw, "thing") if frame in {"handling", "giving"} else None


def event(draw: Choices, frame: str | None = None, reported: float = 0.1) -> Event:
    """Sample an event. `frame` is a key of VERBS other than `clausal`; drawn where it is None."""
    frame = frame or draw.pick(("intransitive", "social", "social", "handling", "handling", "giving"))
    tense = draw.pick(TENSES)
    agent = entity(draw, "person")
    patient = patient_for(draw, frame)
    recipient = entity(draw, "person", adjective=0.1) if frame == "giving" else None
    names = {e.noun.name for e in (agent, patient, recipient) if e is not None}
    if len(names) < sum(e is not None for e in (agent, patient, recipient)):
        return event(draw, frame, reported)
    extra = draw.below(4) if frame != "giving" else draw.below(2)
    return Event(
        verb=draw.pick(VERBS[frame]),
        agent=agent,
        patient=patient,
        recipient=recipient,
        tense=tense,
        negated=draw.chance(0.2),
        manner=draw.pick(MANNERS) if extra == 1 or (frame == "intransitive" and draw.chance(0.4)) else None,
        time=draw.pick(TIMES[tense]) if tense in TENSE_OF_TIME and draw.chance(0.4) else None,
        preposition=draw.pick(PREPOSITIONS) if extra == 2 else None,
        place=draw.pick(NOUNS["place"]) if extra == 2 else None,
        report=(entity(draw, "person", adjective=0.0), draw.pick(VERBS["clausal"])) if draw.chance(reported) else None,
    )
