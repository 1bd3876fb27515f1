"""The acceptability task's raw material: minimal pairs (acceptable, unacceptable) for each phenomenon.

Each phenomenon is a function of a seeded draw that returns two sentences which differ in one grammatical point only,
most often in one word form or in the order of the same words (in the manner of BLiMP; Warstadt et al., 2020).
"""

from collections.abc import Callable

from finebench.bench.data.embedded import lexicon as lex
from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.meaning import Entity, entity
from finebench.bench.data.embedded.realise import noun_phrase, sentence
from finebench.bench.data.embedded.words import ADJECTIVES, FORMS, MANNERS, NOUNS, PREPOSITIONS, VERBS, Verb, plural

Pair = tuple[str, str]
Phenomenon = Callable[[Choices], Pair]


def word(draw: Choices, frame: str) -> Verb:
    """Draw a verb of a frame, any of its synonyms."""
    return FORMS[draw.pick(draw.pick(VERBS[frame]).words)]


def noun(draw: Choices, kind: str, many: bool) -> str:
    """Draw a noun of a kind in the given number."""
    single = draw.pick(draw.pick(NOUNS[kind]).words)
    return plural(single) if many else single


def phrase(draw: Choices, kind: str, many: bool | None = None, adjective: float = 0.15) -> tuple[list[str], bool]:
    """Draw a noun phrase; return its tokens and whether it is plural."""
    drawn = entity(draw, kind, adjective)
    what = Entity(drawn.noun, drawn.many if many is None else many, drawn.determiner, drawn.adjective)
    return noun_phrase(what, lambda concept: draw.pick(concept.words)), what.many


def predicate(draw: Choices, many: bool) -> tuple[list[str], list[str]]:
    """Draw a present-tense predicate; return it agreeing with the given number and with the other one."""
    if draw.chance(0.3):
        rest = [word(draw, "intransitive").ing]
        forms = (["are", *rest], ["is", *rest])
    elif draw.chance(0.3):
        rest = [draw.pick(draw.pick(ADJECTIVES["person"]).words)]
        forms = (["are", *rest], ["is", *rest])
    elif draw.chance(0.4):
        rest = [word(draw, "intransitive").participle]
        forms = (["have", *rest], ["has", *rest])
    else:
        frame = draw.pick(("intransitive", "social"))
        verb = word(draw, frame)
        rest = phrase(draw, "person")[0] if frame == "social" else []
        forms = ([verb.base, *rest], [verb.third, *rest])
    return forms if many else (forms[1], forms[0])


def word_except(draw: Choices, frame: str, excluded: str) -> Verb:
    """Draw a verb of a frame that is not in `excluded`, one of the lexicon's lists of verbs."""
    while True:
        verb = word(draw, frame)
        if verb.base not in excluded.split():
            return verb


def strict_transitive(draw: Choices, frame: str) -> Verb:
    """Draw a verb that cannot be used without its object."""
    return word_except(draw, frame, lex.OBJECT_MAY_BE_LEFT_OUT)


def strict_intransitive(draw: Choices) -> Verb:
    """Draw a verb that cannot be used with an object."""
    return word_except(draw, "intransitive", lex.TAKES_AN_OBJECT_TOO)


def pair(good: list[str], bad: list[str]) -> Pair:
    """Write both members of a minimal pair."""
    return sentence(good), sentence(bad)


def adverb(draw: Choices) -> str:
    """Draw a manner adverb."""
    return draw.pick(draw.pick(MANNERS).words)


def preposition(draw: Choices) -> str:
    """Draw a preposition of place."""
    return draw.pick(draw.pick(PREPOSITIONS).words)
