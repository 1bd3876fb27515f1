"""Minimal pairs of structure: argument structure, passives, questions, islands, gaps and word order."""

from finebench.bench.data.embedded import lexicon as lex
from finebench.bench.data.embedded.acceptability import (  # fmt: skip
    Pair,
    adverb,
    noun,
    pair,
    phrase,
    preposition,
    strict_intransitive,
    strict_transitive,
    word,
    word_except,
)
from finebench.bench.data.embedded.draw import Choices

NO_CLAUSE = ("gave", "handed", "sent", "mailed", "lent", "loaned", "awarded", "brought")
"""Verbs of giving that are never heard with a clause (unlike `promised` or `granted`)."""


def missing_object(draw: Choices) -> Pair:
    """A strictly transitive verb has its object."""
    subject, _ = phrase(draw, "person")
    frame = draw.pick(("social", "handling"))
    verb = strict_transitive(draw, frame)
    what, _ = phrase(draw, "person" if frame == "social" else "thing")
    end = draw.pick(([adverb(draw)], [preposition(draw), "the", noun(draw, "place", False)], []))
    aux, form = draw.pick((([], verb.past), (["will"], verb.base)))
    return pair([*subject, *aux, form, *what, *end], [*subject, *aux, form, *end])


def extra_object(draw: Choices) -> Pair:
    """A strictly intransitive verb has none."""
    subject, _ = phrase(draw, "person")
    verb = strict_intransitive(draw)
    what, _ = phrase(draw, draw.pick(("person", "thing")))
    if draw.chance(0.5):
        return pair([*subject, verb.past, preposition(draw), *what], [*subject, verb.past, *what])
    frame = draw.pick(("social", "handling"))
    good = word(draw, frame)
    what, _ = phrase(draw, "person" if frame == "social" else "thing")
    return pair([*subject, good.past, *what], [*subject, verb.past, *what])


def datives(draw: Choices) -> Pair:
    """Verbs of giving take two objects; verbs of handling and feeling do not, and giving needs a thing given."""
    subject, _ = phrase(draw, "person")
    person, _ = phrase(draw, "person")
    thing, _ = phrase(draw, "thing")
    give = word(draw, "giving").past
    if draw.chance(0.5):
        other = word_except(draw, "social", "save rescue").past
        return pair([*subject, give, *person, *thing], [*subject, other, *person, *thing])
    return pair([*subject, give, *thing, "to", *person], [*subject, give, *person, "to", *thing])


def clauses(draw: Choices) -> Pair:
    """Only some verbs take a clause."""
    subject, _ = phrase(draw, "person")
    inner, _ = phrase(draw, "person")
    clause = ["that", *inner, word(draw, "intransitive").past]
    good = word(draw, "clausal").past
    no_clause = word_except(draw, "intransitive", lex.TAKES_A_CLAUSE_TOO).past
    bad = no_clause if draw.chance(0.5) else NO_CLAUSE[draw.below(len(NO_CLAUSE))]
    return pair([*subject, good, *clause], [*subject, bad, *clause])


def animacy(draw: Choices) -> Pair:
    """The subject of a verb of feeling or of handling is animate; what is handled is a thing, what speaks is not."""
    person, many = phrase(draw, "person")
    thing, _ = phrase(draw, "thing", many)
    frame = draw.pick(("social", "handling", "intransitive"))
    verb = word_except(draw, frame, lex.THINGS_DO_IT_TOO).past
    if frame == "intransitive":
        end = [adverb(draw)]
        return pair([*person, verb, *end], [*thing, verb, *end])
    if frame == "handling":
        return pair([*person, verb, *thing], [*thing, verb, *person])
    other, _ = phrase(draw, "person")
    return pair([*person, verb, *other], [*thing, verb, *other])


def passives(draw: Choices) -> Pair:
    """A passive needs a transitive verb, a participle and `by`; it leaves no object behind."""
    frame = draw.pick(("social", "handling"))
    what, many = phrase(draw, "person" if frame == "social" else "thing")
    agent, _ = phrase(draw, "person")
    verb = word(draw, frame)
    be = "were" if many else "was"
    good = [*what, be, verb.participle, "by", *agent]
    shape = draw.below(3)
    if shape == 0:
        return pair(good, [*what, be, strict_intransitive(draw).participle, "by", *agent])
    if shape == 1:
        bad = verb.base if verb.base != verb.participle else verb.ing
        return pair(good, [*what, be, bad, "by", *agent])
    return pair(good, [*what, be, verb.participle, *agent])


def filled_gap(draw: Choices) -> Pair:
    """A fronted question word or relative clause leaves a gap, and nothing fills it."""
    subject, _ = phrase(draw, "person")
    other, _ = phrase(draw, "person")
    verb, action = word(draw, "social"), word(draw, "handling")
    filler = [draw.pick(("him", "them", "it"))] if draw.chance(0.5) else phrase(draw, "thing")[0]
    if draw.chance(0.5):
        long = draw.chance(0.5)
        report = [*other, draw.pick(("think", "say", "claim", "know")), "that"] if long else []
        rest = [*report, *subject, action.past] if long else [*subject, action.base]
        start = ["what", "did", *rest]
        return pair([*start, "?"], [*start, *filler, "?"])
    end = [word(draw, "intransitive").past]
    start = [*subject, "that", *other, verb.past]
    return pair([*start, *end], [*start, *filler, *end])


def islands(draw: Choices) -> Pair:
    """No question word is moved out of a relative clause, a coordination, a subject or an adjunct."""
    subject, _ = phrase(draw, "person")
    other, _ = phrase(draw, "person")
    act, feel = word(draw, "handling"), word(draw, "social")
    shape = draw.below(3)
    if shape == 0:
        good = ["what", "did", *subject, "say", "that", *other, act.past, "?"]
        return pair(good, ["what", "did", *subject, feel.base, *other, "that", act.past, "?"])
    thing, _ = phrase(draw, "thing")
    if shape == 1:
        good = ["what", "did", *subject, act.base, "with", *thing, "?"]
        return pair(good, ["what", "did", *subject, act.base, *thing, "and", "?"])
    sleep = word(draw, "intransitive")
    link = draw.pick(("because", "before", "after", "while"))
    good = ["did", *subject, sleep.base, link, *other, act.past, *thing, "?"]
    return pair(good, ["what", "did", *subject, sleep.base, link, *other, act.past, "?"])


def fronted_auxiliary(draw: Choices) -> Pair:
    """A question fronts the auxiliary of the main clause, not of the relative clause."""
    subject, many = phrase(draw, "person")
    be = "are" if many else "is"
    first, second = word(draw, "intransitive").ing, word(draw, "intransitive").ing
    tail = [second] if draw.chance(0.5) else [word(draw, "social").ing, *phrase(draw, "person")[0]]
    good = [be, *subject, "that", be, first, *tail, "?"]
    if draw.chance(0.5):
        good = [be, *subject, "that", be, first, *tail, "?"]
        return pair(good, [be, *subject, "that", first, be, *tail, "?"])
    plain, _ = phrase(draw, "person", many)
    where = draw.pick(("why", "where", "when"))
    return pair([where, be, *plain, *tail, "?"], [where, *plain, be, *tail, "?"])


def word_order(draw: Choices) -> Pair:
    """Adjective before noun, object after verb, adverb not between verb and object."""
    subject, _ = phrase(draw, "person", adjective=1.0)
    what, _ = phrase(draw, "thing")
    verb, how = word(draw, "handling").past, adverb(draw)
    good = [*subject, how, verb, *what]
    shape = draw.below(4)
    if shape == 0:
        return pair(good, [subject[0], subject[2], subject[1], how, verb, *what])
    if shape == 1:
        return pair(good, [*subject, verb, how, *what])
    if shape == 2:
        return pair(good, [*subject, how, *what, verb])
    return pair(good, [*subject[:2], how, subject[2], verb, *what])


STRUCTURE = (
    missing_object, extra_object, datives, clauses, animacy, passives, filled_gap, islands, fronted_auxiliary,
    word_order,
)  # fmt: skip
