"""The three generated tasks as columns, split by split, with every sentence in one split only."""

from collections.abc import Callable, Iterator

from bench.embedded.draw import Draw
from bench.embedded.edits import near_miss
from bench.embedded.meaning import event
from bench.embedded.phenomena_agreement import AGREEMENT
from bench.embedded.phenomena_structure import STRUCTURE
from bench.embedded.realise import write
from bench.embedded.similarity import event_pair, grade, rated

Row = tuple[tuple[str, ...], float]
Columns = dict[str, list]
PHENOMENA = AGREEMENT + STRUCTURE
SIZES = {"train": 2400, "validation": 500, "test": 500}
SPLITS = tuple(SIZES)
PARAPHRASE_SHARE = 0.65


def acceptability(draw: Draw) -> Iterator[list[Row]]:
    """Yield groups of rows that stay together: both members of a minimal pair, now and then a good one alone."""
    while True:
        good, bad = draw.pick(PHENOMENA)(draw)
        group: list[Row] = [((good,), 1)]
        if draw.chance(0.75):
            group.append(((bad,), 0))
        yield group


def paraphrase(draw: Draw) -> Iterator[list[Row]]:
    """Yield pairs: the same event written twice (1), or a near miss as the second sentence (0)."""
    while True:
        said = event(draw)
        label = draw.chance(PARAPHRASE_SHARE)
        other = said if label else near_miss(said, draw)[0]
        yield [((write(said, draw), write(other, draw)), int(label))]


def similarity(draw: Draw) -> Iterator[list[Row]]:
    """Yield pairs with the grade that five raters give their meanings."""
    while True:
        one, two = event_pair(draw)
        yield [((write(one, draw), write(two, draw)), rated(grade(one, two), draw))]


TASKS: dict[str, tuple[int, Callable[[Draw], Iterator[list[Row]]], tuple[str, ...]]] = {
    "mini-cola": (1, acceptability, ("sentence",)),
    "mini-mrpc": (2, paraphrase, ("sentence1", "sentence2")),
    "mini-stsb": (3, similarity, ("sentence1", "sentence2")),
}


def build(task: str, version: int) -> dict[str, Columns]:
    """Generate all splits of a task at once: `{split: {column: values}}`, columns as in GLUE, rows shuffled."""
    number, source, names = TASKS[task]
    seen: set[str] = set()
    out = {}
    for position, split in enumerate(SPLITS):
        draw = Draw(version, number, position)
        rows = _unique(source(draw), SIZES[split], seen)
        draw.shuffle(rows)
        columns: Columns = {name: [texts[i] for texts, _ in rows] for i, name in enumerate(names)}
        columns["label"] = [value for _, value in rows]
        columns["idx"] = list(range(len(rows)))
        out[split] = columns
    return out


def _unique(groups: Iterator[list[Row]], size: int, seen: set[str]) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < size:
        group = next(groups)
        texts = [text for row, _ in group for text in row]
        if len(set(texts)) == len(texts) and not seen.intersection(texts) and len(rows) + len(group) <= size:
            seen.update(texts)
            rows += group
    return rows
