"""The three generated tasks as columns, split by split, with every sentence in one split only."""

from collections.abc import Callable, Iterator
from typing import Any

from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.edits import near_miss
from finebench.bench.data.embedded.meaning import event
from finebench.bench.data.embedded.phenomena_agreement import AGREEMENT
from finebench.bench.data.embedded.phenomena_structure import STRUCTURE
from finebench.bench.data.embedded.realise import write
from finebench.bench.data.embedded.similarity import event_pair, grade, rated

Row = tuple[tuple[str, ...], float]
Columns = dict[str, list[Any]]
PHENOMENA = AGREEMENT + STRUCTURE
SIZES = {"train": 2400, "validation": 500, "test": 500}
SPLITS = tuple(SIZES)
ACCEPTABLE_SHARE = 0.56
PARAPHRASE_SHARE = 0.65


def acceptability(draw: Choices) -> Iterator[Row]:
    """Yield one member of each minimal pair (1 acceptable, 0 not).

    The other member is left out: with both, a random cut of train would put the same words with opposite labels on its
    two sides, choices made there would be misled, and rows would not be independent.
    """
    while True:
        good, bad = draw.pick(PHENOMENA)(draw)
        label = draw.chance(ACCEPTABLE_SHARE)
        yield ((good if label else bad,), int(label))


def paraphrase(draw: Choices) -> Iterator[Row]:
    """Yield pairs: the same event written twice (1), or a near miss as the second sentence (0)."""
    while True:
        said = event(draw)
        label = draw.chance(PARAPHRASE_SHARE)
        other = said if label else near_miss(said, draw)[0]
        yield (write(said, draw), write(other, draw)), int(label)


def similarity(draw: Choices) -> Iterator[Row]:
    """Yield pairs with the grade that five raters give their meanings."""
    while True:
        one, two = event_pair(draw)
        yield (write(one, draw), write(two, draw)), rated(grade(one, two), draw)


TASKS: dict[str, tuple[int, Callable[[Choices], Iterator[Row]], tuple[str, ...]]] = {
    "mini-cola": (1, acceptability, ("sentence",)),
    "mini-mrpc": (2, paraphrase, ("sentence1", "sentence2")),
    "mini-stsb": (3, similarity, ("sentence1", "sentence2")),
}


def build(task: str, version: int) -> dict[str, Columns]:
    """Generate all splits of a task at once: `{split: {column: values}}`, columns as in GLUE."""
    number, source, names = TASKS[task]
    seen: set[str] = set()
    out = {}
    for position, split in enumerate(SPLITS):
        draw = Choices(version, number, position)
        rows = _unique(source(draw), SIZES[split], seen)
        columns: Columns = {name: [texts[i] for texts, _ in rows] for i, name in enumerate(names)}
        columns["label"] = [value for _, value in rows]
        columns["idx"] = list(range(len(rows)))
        out[split] = columns
    return out


def _unique(source: Iterator[Row], size: int, seen: set[str]) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < size:
        texts, value = next(source)
        if len(set(texts)) == len(texts) and not seen.intersection(texts):
            seen.update(texts)
            rows.append((texts, value))
    return rows
