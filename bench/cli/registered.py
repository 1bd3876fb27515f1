"""What `methods NAME`, `metrics` and `studies` print: a table, or one JSON document."""

import re
from pathlib import Path
from typing import Any

from rich.text import Text

from finebench.bench.cli.terminal.console import make_console, print_json, say
from finebench.bench.cli.terminal.text_table import count, print_table
from finebench.bench.util.errors import StudyError


def print_method(name: str, model: str, as_json: bool) -> None:
    """All there is to know of one method, and what it trains on a model."""
    from finebench.bench.cli.method_facts import describe_method

    found, note = describe_method(name, model)
    if as_json:
        print_json(found)
        return
    console = make_console()
    trained = [f"{count(found[key])} {what}" for key, what in COUNTED.items()]
    lines = [
        f"{found['name']}: {found['summary']}",
        f"paper: {found['paper']}",
        f"defaults: {found['defaults_from']}",
        f"on {model}, two classes{note}: {', '.join(trained)}",
        *([f"note: {found['note']}"] if found["note"] else []),
    ]
    for line in lines:
        say(console, line)
    rows = [
        [one["name"], one["type"], _plain(one["default"]), one["meaning"] or ""] for one in found["hyperparameters"]
    ]
    print_table(console, ["hyperparameter", "type", "default", "meaning"], rows, texts=(0, 1, 2, 3))
    space = ", ".join(f"{key}: {_plain(values)}" for key, values in found["default_space"].items())
    console.print(Text(f"a space to start from: {found['name']}: {{{space}}}"), soft_wrap=True)


COUNTED = {"trainable_params": "parameters trained", "head_params": "of them in the head", "total_params": "in all"}
"""Counts of a method on a model, and how a line says them."""


def _plain(value: Any) -> str:
    """A value as a study writes it."""
    from finebench.bench.study.search_space import written

    return written(value)


def print_metrics(as_json: bool) -> None:
    """Every metric: what it needs, its range, which way is better, what a constant predictor gets."""
    from finebench.bench.metrics import METRICS

    keys = ("name", "kind", "needs", "summary", "constant", "higher_is_better", "binary", "main")
    found = [{key: getattr(one, key) for key in keys} | {"range": _range(one.range)} for one in METRICS.values()]
    if as_json:
        print_json(found)
        return
    rows = []
    for one in found:
        ends = _ends(*one["range"])
        better = "higher" if one["higher_is_better"] else "lower"
        rows.append([one["name"], one["needs"], ends, better, f"{one['summary']}; a constant gets {one['constant']}"])
    columns = ["metric", "needs", "range", "better", "what it is"]
    print_table(make_console(), columns, rows, texts=(0, 1, 2, 3, 4))


def _ends(low: float | None, high: float | None) -> str:
    """A range in words."""
    if low is None:
        return "any" if high is None else f"{high:g} or less"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def _range(ends: tuple[float, float]) -> list[float | None]:
    """Least and greatest value, null where there is none."""
    return [None if abs(end) == float("inf") else end for end in ends]


def print_studies(as_json: bool) -> None:
    """Every study that can be run by its name, with the question that it asks."""
    from finebench.bench.cli.new import TEMPLATE
    from finebench.bench.study.load import known_studies

    found = [
        {"name": name, "question": question(path), "path": str(path)}
        for name, path in sorted(known_studies().items())
        if name != TEMPLATE
    ]
    if as_json:
        print_json(found)
        return
    console = make_console()
    print_table(console, ["study", "question"], [[one["name"], one["question"]] for one in found], texts=(0, 1))
    say(console, "see one with: finebench plan NAME")


def question(path: Path) -> str:
    """What a study asks, by the comment at its top: what it says after `Question:`, else its first sentence."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study file {str(path)!r} cannot be read: {error}") from error
    comment = [line.removeprefix("#").strip() for line in re.match(r"(?:#.*\n)*", text)[0].splitlines()]  # type: ignore[index]
    asked = re.match(r"Question: (.*?)(?: \w+: |$)", " ".join(comment))
    return asked[1].strip() if asked else " ".join(comment).partition(". ")[0]
