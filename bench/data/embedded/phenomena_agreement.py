"""Minimal pairs of form: agreement, determiners, verb forms, reflexives and negative polarity."""

from finebench.bench.data.embedded.acceptability import Pair, noun, pair, phrase, predicate, preposition, word
from finebench.bench.data.embedded.draw import Choices


def across_place(draw: Choices) -> Pair:
    """Subject-verb agreement across a prepositional phrase: `the doctors near the car are ...`."""
    subject, many = phrase(draw, "person", draw.chance(0.5))
    attractor, _ = phrase(draw, draw.pick(("thing", "person")), draw.chance(0.35) == many)
    good, bad = predicate(draw, many)
    start = [*subject, preposition(draw), *attractor]
    return pair([*start, *good], [*start, *bad])


def across_relative(draw: Choices) -> Pair:
    """Agreement across a relative clause, on its subject or its object."""
    subject, many = phrase(draw, "person", draw.chance(0.5))
    other, others = phrase(draw, "person", draw.chance(0.35) == many)
    verb = word(draw, "social")
    if draw.chance(0.5):
        relative = ["that", *other, verb.past if draw.chance(0.5) else verb.base if others else verb.third]
    else:
        relative = ["that", verb.past if draw.chance(0.5) else verb.base if many else verb.third, *other]
    good, bad = predicate(draw, many)
    return pair([*subject, *relative, *good], [*subject, *relative, *bad])


def of_coordination(draw: Choices) -> Pair:
    """`the boy and the girl sleep` is plural; `the boy that met ...` is not."""
    first, _ = phrase(draw, "person", False)
    second, _ = phrase(draw, "person", False)
    if draw.chance(0.5):
        good, bad = predicate(draw, True)
        start = [*first, "and", *second]
    else:
        good, bad = predicate(draw, False)
        start = [*first, "with", *second] if draw.chance(0.5) else ["every", noun(draw, "person", False)]
    return pair([*start, *good], [*start, *bad])


def in_question(draw: Choices) -> Pair:
    """Agreement of a fronted auxiliary with the subject behind it."""
    subject, many = phrase(draw, "person")
    verb = word(draw, "social")
    kind = draw.below(3)
    one, more = (("does", "do"), ("is", "are"), ("has", "have"))[kind]
    form = (verb.base, verb.ing, verb.participle)[kind]
    start = [draw.pick(("who", "where", "why", "when"))]
    rest = [*subject, form, *([] if start == ["who"] else phrase(draw, "person")[0]), "?"]
    good, bad = (more, one) if many else (one, more)
    return pair([*start, good, *rest], [*start, bad, *rest])


def of_determiner(draw: Choices) -> Pair:
    """Number agreement of determiner and noun, with or without an adjective between them."""
    many = draw.chance(0.5)
    one, more = draw.pick((("this", "these"), ("that", "those"), ("every", "both")))
    kind, frame = draw.pick((("thing", "handling"), ("person", "social")))
    tokens, _ = phrase(draw, kind, many, adjective=0.6)
    subject, _ = phrase(draw, "person")
    verb = word(draw, frame).past
    good, bad = (more, one) if many else (one, more)
    if draw.chance(0.5):
        return pair([*subject, verb, good, *tokens[1:]], [*subject, verb, bad, *tokens[1:]])
    end = ["was" if not many else "were", word(draw, frame).participle]
    return pair([good, *tokens[1:], *end], [bad, *tokens[1:], *end])


def of_verb_form(draw: Choices) -> Pair:
    """The form of the main verb that an auxiliary asks for."""
    subject, many = phrase(draw, "person")
    verb = word(draw, draw.pick(("social", "handling")))
    things, _ = phrase(draw, "person")
    auxiliary, form = draw.pick(
        (
            (["have" if many else "has"], verb.participle),
            (["are" if many else "is"], verb.ing),
            (["will"], verb.base),
            (["did", "not"], verb.base),
            (["could", "not"], verb.base),
        )
    )
    bad = draw.other((verb.base, verb.ing, verb.participle, verb.third), form)
    return pair([*subject, *auxiliary, form, *things], [*subject, *auxiliary, bad, *things])


REFLEXIVES = {"man": ("himself", "themselves"), "woman": ("herself", "themselves")}


def reflexive(draw: Choices) -> Pair:
    """A reflexive agrees with the subject of its own clause, not with one further up or with a noun nearby."""
    kind = draw.pick(("man", "woman"))
    rival = "woman" if kind == "man" else "man"
    many, rivals = draw.chance(0.4), draw.chance(0.4)
    if many and rivals:
        rivals = False
    subject, _ = phrase(draw, kind, many)
    other, _ = phrase(draw, rival, rivals)
    good, bad = REFLEXIVES[kind][many], REFLEXIVES[rival][rivals]
    verb = word(draw, "social").past
    shape = draw.below(3)
    if shape == 0:
        start = [*other, word(draw, "clausal").past, "that", *subject, verb]
    elif shape == 1:
        start = [*subject, "that", word(draw, "social").past, *other, verb]
    else:
        start = [*subject, preposition(draw), *other, verb]
    return pair([*start, good], [*start, bad])


def pronoun_position(draw: Choices) -> Pair:
    """A reflexive cannot be a subject, nor reach its antecedent out of a clause."""
    kind = draw.pick(("man", "woman"))
    subject, _ = phrase(draw, kind, False)
    pronoun = "him" if kind == "man" else "her"
    clause, verb = word(draw, "clausal").past, word(draw, "social").past
    if draw.chance(0.5):
        other, _ = phrase(draw, "person", True)
        start = [*subject, clause, "that", *other, verb]
        return pair([*start, pronoun], [*start, f"{pronoun}self"])
    nominative = "he" if kind == "man" else "she"
    bad = "himself" if kind == "man" else "herself"
    rest = [verb, *phrase(draw, "person")[0]]
    return pair([*subject, clause, "that", nominative, *rest], [*subject, clause, "that", bad, *rest])


def negative_polarity(draw: Choices) -> Pair:
    """`ever` and `any` need a negative above them in the tree; one that is merely nearby does not do."""
    single = noun(draw, "person", False)
    other = noun(draw, "person", False)
    verb, inner = word(draw, "intransitive").participle, word(draw, "social").past
    shape = draw.below(4)
    if shape == 0:
        return pair(
            ["no", single, "has", "ever", verb], [draw.pick(("the", "every", "some")), single, "has", "ever", verb]
        )
    if shape == 1:
        tail = ["has", "ever", verb]
        good = ["no", single, "that", "the", other, inner, *tail]
        return pair(good, ["the", single, "that", "no", other, inner, *tail])
    thing = noun(draw, "thing", True)
    action = word(draw, "handling")
    if shape == 2:
        return pair(
            ["the", single, "did", "not", action.base, "any", thing], ["the", single, action.past, "any", thing]
        )
    good = ["nobody", "that", "the", other, inner, action.past, "any", thing]
    return pair(good, ["the", other, "that", "nobody", inner, action.past, "any", thing])


AGREEMENT = (
    across_place, across_relative, of_coordination, in_question, of_determiner, of_verb_form, reflexive,
    pronoun_position, negative_polarity,
)  # fmt: skip
