"""From an event to an English-like sentence: alternations, agreement, tense, and the choice among synonyms.

Alternations: active, passive, clefts on agent and on patient, pseudo-cleft, the two dative orders (and their
passives), fronted or final time and place. Whichever is drawn, and whichever synonyms, the meaning stays the same.
"""

from collections.abc import Callable

from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.meaning import Entity, Event
from finebench.bench.data.embedded.words import FORMS, VOWELS, Concept, plural

Choose = Callable[[Concept], str]
SOUNDS_OTHERWISE = frozenset({"honest", "useful", "useless"})
"""Words whose first sound is a vowel and first letter is not, or the reverse."""
PLURAL_DETERMINERS = {"the": "the", "a": "some", "this": "these", "that": "those"}


def sentence(tokens: list[str]) -> str:
    """Join word tokens into a written sentence: capital first, no space before punctuation, a full stop if none."""
    words = tokens if tokens[-1] in {".", "?", "!"} else [*tokens, "."]
    text = " ".join(words)
    for mark in ",.?!":
        text = text.replace(f" {mark}", mark)
    return text[0].upper() + text[1:]


def noun_phrase(what: Entity, choose: Choose) -> list[str]:
    """Return the tokens of a noun phrase, with `a` or `an` as the next word asks."""
    noun = choose(what.noun)
    tokens = [choose(what.adjective)] if what.adjective else []
    tokens.append(plural(noun) if what.many else noun)
    determiner = PLURAL_DETERMINERS[what.determiner] if what.many else what.determiner
    if determiner == "a" and (tokens[0][0] in VOWELS) != (tokens[0] in SOUNDS_OTHERWISE):
        determiner = "an"
    return [determiner, *tokens]


def auxiliaries(tense: str, many: bool, negated: bool, passive: bool) -> list[str]:
    """Return the auxiliaries (and `not`) that come before the main verb; empty for plain active past and present."""
    no = ["not"] if negated else []
    be = {"past": ("was", "were"), "present": ("is", "are")}
    if tense == "future":
        return ["will", *no, *(["be"] if passive else [])]
    if tense == "perfect":
        return ["have" if many else "has", *no, *(["been"] if passive else [])]
    if tense == "progressive":
        return ["are" if many else "is", *no, *(["being"] if passive else [])]
    if passive:
        return [be[tense][many], *no]
    if negated:
        return ["did" if tense == "past" else "do" if many else "does", "not"]
    return []


def main_verb(base: str, tense: str, many: bool, negated: bool, passive: bool) -> str:
    """Return the form of the main verb that goes with `auxiliaries` for the same arguments."""
    forms = FORMS[base]
    if passive or tense == "perfect":
        return forms.participle
    if tense == "progressive":
        return forms.ing
    if tense == "future" or negated or (tense == "present" and many):
        return forms.base
    return forms.past if tense == "past" else forms.third


def verb_group(base: str, said: Event, many: bool, passive: bool, manner: str | None) -> list[str]:
    """Return auxiliaries, a manner adverb in the middle where one is given, and the main verb."""
    before = auxiliaries(said.tense, many, said.negated, passive)
    return [*before, *([manner] if manner else []), main_verb(base, said.tense, many, said.negated, passive)]


def forms_for(said: Event) -> tuple[str, ...]:
    """Return the alternations that this event can be written in."""
    if said.patient is None:
        return ("active", "active", "agent_cleft")
    if said.recipient is None:
        return ("active", "active", "passive", "passive", "agent_cleft", "patient_cleft", "pseudo_cleft")
    return ("double", "dative", "passive", "recipient_passive", "agent_cleft")


def core(said: Event, form: str, choose: Choose, manner: str | None) -> list[str]:
    """Return the clause without its adjuncts, in the given alternation (one of `forms_for`)."""
    agent = noun_phrase(said.agent, choose)
    patient = noun_phrase(said.patient, choose) if said.patient else []
    recipient = noun_phrase(said.recipient, choose) if said.recipient else []
    base = choose(said.verb)
    was = "was" if said.tense == "past" else "is"
    active = verb_group(base, said, said.agent.many, False, manner)
    rest = [*patient, "to", *recipient] if recipient else patient
    if form == "agent_cleft":
        return ["it", was, *agent, "that", *active, *rest]
    if form == "patient_cleft":
        return ["it", was, *patient, "that", *agent, *active]
    if form == "pseudo_cleft":
        return [*_the_one(said.patient), "that", *agent, *active, *_copula(said), *patient]
    if form == "double":
        return [*agent, *active, *recipient, *patient]
    if form == "passive" and said.patient:
        passive = verb_group(base, said, said.patient.many, True, manner)
        return [*patient, *passive, *(["to", *recipient] if recipient else []), "by", *agent]
    if form == "recipient_passive" and said.recipient:
        return [*recipient, *verb_group(base, said, said.recipient.many, True, manner), *patient, "by", *agent]
    return [*agent, *active, *rest]


def _the_one(what: Entity | None) -> list[str]:
    return ["the", "ones" if what and what.many else "one"]


def _copula(said: Event) -> list[str]:
    many = said.patient is not None and said.patient.many
    return [("were" if many else "was") if said.tense == "past" else ("are" if many else "is")]


def write(said: Event, draw: Choices, form: str | None = None, choose: Choose | None = None) -> str:
    """Write an event as one sentence; the alternation, adjunct places and synonyms are drawn unless given."""
    pick = choose or (lambda concept: draw.pick(concept.words))
    form = form or draw.pick(forms_for(said))
    manner = pick(said.manner) if said.manner else None
    middle = manner is not None and draw.chance(0.5)
    clause = core(said, form, pick, manner if middle else None)
    time = [pick(said.time)] if said.time else []
    place = [pick(said.preposition), "the", pick(said.place)] if said.place and said.preposition else []
    tail = [manner] if manner and not middle else []
    front: list[str] = []
    for part in (place, time):
        if part and not front and said.report is None and draw.chance(0.35):
            front = [*part, ","]
        else:
            tail += part
    clause = [*front, *clause, *tail]
    if said.report:
        who, how = said.report
        verb = FORMS[pick(how)]
        clause = [*noun_phrase(who, pick), verb.past, "that", *clause]
    return sentence(clause)
