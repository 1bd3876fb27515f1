"""Inflection and the concept tables: from the lexicon's plain text to typed words.

Everything here is built once at import and never changes; the order is the lexicon's order, so that an index drawn
with a seeded generator names the same word everywhere.
"""

from dataclasses import dataclass, field

from finebench.bench.data.embedded import lexicon as lex

VOWELS = "aeiou"


@dataclass(frozen=True)
class Verb:
    """The five forms of a verb."""

    base: str
    third: str
    past: str
    participle: str
    ing: str


@dataclass(frozen=True)
class Concept:
    """One meaning: the words that express it, and the concept that is its opposite (by name), if there is one."""

    name: str
    kind: str
    words: tuple[str, ...]
    opposite: str | None = field(default=None, compare=False)


def plural(noun: str) -> str:
    """Return the plural of a lower-case noun."""
    if noun in lex.IRREGULAR_PLURALS:
        return lex.IRREGULAR_PLURALS[noun]
    return add_s(noun)


def add_s(word: str) -> str:
    """Return `word` with the ending -s, spelt as English does for plurals and the third person."""
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    if word.endswith(("s", "sh", "ch", "x", "z")):
        return word + "es"
    return word + "s"


def _verb(base: str) -> Verb:
    stem = base + base[-1] if base in lex.DOUBLED_FINALS else base
    if base.endswith("e"):
        past = base + "d"
        ing = base + "ing" if base.endswith("ee") else base[:-1] + "ing"
    elif base.endswith("y") and base[-2] not in VOWELS:
        past, ing = base[:-1] + "ied", base + "ing"
    else:
        past, ing = stem + "ed", stem + "ing"
    past, participle = lex.IRREGULAR_VERBS.get(base, (past, past))
    return Verb(base, add_s(base), past, participle, ing)


def parse(text: str, kind: str) -> tuple[Concept, ...]:
    """Read one of the lexicon's lists into concepts of the given kind, in the order written."""
    concepts = []
    for entry in text.split():
        sides = [tuple(side.split("/")) for side in entry.split("|")]
        for position, words in enumerate(sides):
            opposite = sides[1 - position][0] if len(sides) == 2 else None
            concepts.append(Concept(words[0], kind, words, opposite))
    return tuple(concepts)


NOUNS: dict[str, tuple[Concept, ...]] = {
    "person": parse(lex.PERSONS, "person") + parse(lex.MEN, "man") + parse(lex.WOMEN, "woman"),
    "man": parse(lex.MEN, "man"),
    "woman": parse(lex.WOMEN, "woman"),
    "animal": parse(lex.ANIMALS, "animal"),
    "thing": parse(lex.THINGS, "thing"),
    "place": parse(lex.PLACES, "place"),
}
VERBS: dict[str, tuple[Concept, ...]] = {
    "intransitive": parse(lex.INTRANSITIVE, "intransitive"),
    "social": parse(lex.SOCIAL, "social"),
    "handling": parse(lex.HANDLING, "handling"),
    "giving": parse(lex.GIVING, "giving"),
    "clausal": parse(lex.CLAUSAL, "clausal"),
}
ADJECTIVES: dict[str, tuple[Concept, ...]] = {
    "person": parse(lex.PERSON_ADJECTIVES, "person"),
    "thing": parse(lex.THING_ADJECTIVES, "thing"),
}
MANNERS = parse(lex.MANNERS, "manner")
TIMES: dict[str, tuple[Concept, ...]] = {
    "past": parse(lex.PAST_TIMES, "past"),
    "present": parse(lex.PRESENT_TIMES, "present"),
    "future": parse(lex.FUTURE_TIMES, "future"),
}
PREPOSITIONS = parse(lex.PREPOSITIONS, "preposition")

FORMS: dict[str, Verb] = {word: _verb(word) for group in VERBS.values() for concept in group for word in concept.words}


def opposite_of(concept: Concept, group: tuple[Concept, ...]) -> Concept | None:
    """Return the concept's opposite out of `group`, or None where it has none."""
    return next((other for other in group if other.name == concept.opposite), None)


def all_words() -> list[str]:
    """Return every word form that the generator can write, lower-case, without repeats, in a fixed order."""
    out: dict[str, None] = dict.fromkeys(lex.FUNCTION_WORDS.split())
    for concept in (c for group in NOUNS.values() for c in group):
        for word in concept.words:
            out.update(dict.fromkeys((word, plural(word))))
    for verb in FORMS.values():
        out.update(dict.fromkeys((verb.base, verb.third, verb.past, verb.participle, verb.ing)))
    for group in (*ADJECTIVES.values(), MANNERS, *TIMES.values(), PREPOSITIONS):
        out.update(dict.fromkeys(word for concept in group for word in concept.words))
    return list(out)
