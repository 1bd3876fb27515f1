"""The pretraining text: an endless seeded stream of short documents without any task's label.

Some documents are single sentences, the acceptable members of the minimal pairs only. The others are two sentences:
the same event told twice, an event and a near miss, two partly related events, or two unrelated ones. Each relation has
its discourse markers (`indeed`, `however`, `similarly`, `meanwhile`), as in natural text. In half of these documents
the marker is written, in the others it was taken out and is the target of discourse marker prediction (Nie et al.,
2019, "DisSent"). No sentence of a validation or test split is ever in the stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from finebench.bench.data.embedded import GENERATOR_VERSION, load_split
from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.edits import near_miss
from finebench.bench.data.embedded.meaning import Event, event
from finebench.bench.data.embedded.realise import Choose, forms_for, write
from finebench.bench.data.embedded.similarity import event_pair
from finebench.bench.data.embedded.tasks import PHENOMENA, TASKS
from finebench.bench.data.embedded.words import Concept

MARKERS = {
    "same": ("indeed", "namely"),
    "near": ("however", "instead"),
    "related": ("similarly", "likewise"),
    "unrelated": ("meanwhile", "elsewhere"),
}
STREAM = 77
SINGLE_SHARE = 0.4
SAME_FORM, SAME_WORDS = 0.5, 0.35
"""Shares of pairs that keep one alternation, or one word per concept: easy pairs teach what corresponds to what."""


@dataclass(frozen=True)
class Document:
    """One or two sentences; `relation` is the key in MARKERS of what joins them, None for a single sentence."""

    first: str
    second: str | None = None
    relation: str | None = None
    marked: bool = False


def held_out() -> set[str]:
    """Return every sentence of the validation and test splits of all three tasks."""
    out: set[str] = set()
    for task, (_, _, names) in TASKS.items():
        for split in ("validation", "test"):
            columns = load_split(task, split)
            out.update(text for name in names for text in columns[name])
    return out


def documents(seed: int) -> Iterator[Document]:
    """Yield documents for ever; equal seeds give equal streams."""
    draw = Choices(GENERATOR_VERSION, STREAM, seed)
    forbidden = held_out()
    while True:
        if draw.chance(SINGLE_SHARE):
            text = draw.pick(PHENOMENA)(draw)[0]
            if text not in forbidden:
                yield Document(text)
            continue
        kind, one, two = _events(draw)
        form = draw.pick(forms_for(one))
        keeps = draw.chance(SAME_FORM) and form in forms_for(two)
        choose = _one_word_each(draw) if draw.chance(SAME_WORDS) else None
        first = write(one, draw, form, choose)
        second = write(two, draw, form if keeps else None, choose)
        if first in forbidden or second in forbidden:
            continue
        marked = draw.chance(0.5)
        if marked:
            second = f"{draw.pick(MARKERS[kind]).capitalize()}, {second[0].lower()}{second[1:]}"
        yield Document(first, second, kind, marked)


def _one_word_each(draw: Choices) -> Choose:
    chosen: dict[Concept, str] = {}
    return lambda concept: chosen.setdefault(concept, draw.pick(concept.words))


def _events(draw: Choices) -> tuple[str, Event, Event]:
    said = event(draw)
    kind = draw.pick(("same", "same", "same", "near", "near", "near", "related", "unrelated"))
    if kind == "same":
        return kind, said, said
    if kind == "near":
        return kind, said, near_miss(said, draw)[0]
    if kind == "related":
        one, two = event_pair(draw)
        return ("same" if one == two else "related"), one, two
    return kind, said, event(draw)
