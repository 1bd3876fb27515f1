"""The pretraining text: an endless seeded stream of short documents without any task's label.

Half of the documents are single sentences, the acceptable members of the minimal pairs only. The others are two
sentences: the same event told twice, an event and a near miss, two partly related events, or two unrelated ones. Half of the
two-sentence documents carry a discourse marker (`indeed`, `however`, `similarly`, `meanwhile`), which masked-language
modelling then has to predict from the two sentences, as it does in natural text (the cue that Nie et al., 2019,
"DisSent", learn sentence representations from). No sentence of a validation or test split is ever in the stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.embedded import GENERATOR_VERSION, load_split
from bench.embedded.draw import Draw
from bench.embedded.edits import near_miss
from bench.embedded.meaning import Event, event
from bench.embedded.realise import write
from bench.embedded.similarity import event_pair
from bench.embedded.tasks import PHENOMENA, TASKS

MARKERS = {
    "same": ("indeed", "namely"),
    "near": ("however", "instead"),
    "related": ("similarly", "likewise"),
    "unrelated": ("meanwhile", "elsewhere"),
}
STREAM = 77


@dataclass(frozen=True)
class Document:
    """One or two sentences; `related` says whether the second is about the same scene as the first."""

    first: str
    second: str | None = None
    related: bool = True
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
    draw = Draw(GENERATOR_VERSION, STREAM, seed)
    forbidden = held_out()
    while True:
        if draw.chance(0.5):
            text = draw.pick(PHENOMENA)(draw)[0]
            if text not in forbidden:
                yield Document(text)
            continue
        kind, one, two = _events(draw)
        first, second = write(one, draw), write(two, draw)
        if first in forbidden or second in forbidden:
            continue
        marked = draw.chance(0.5)
        if marked:
            second = f"{draw.pick(MARKERS[kind]).capitalize()}, {second[0].lower()}{second[1:]}"
        yield Document(first, second, kind != "unrelated", marked)


def _events(draw: Draw) -> tuple[str, Event, Event]:
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
