"""The console that commands print to."""

import json
import math
from typing import Any

import typer
from rich.console import Console
from rich.text import Text


def make_console() -> Console:
    """The terminal, or lines wide enough for the summary where output is piped. Text is shown as it is: a folder's name
    may hold brackets and colons, which Rich would read as markup and emoji."""
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(markup=False, emoji=False, width=120)


def say(console: Console, sentence: str) -> None:
    """A sentence: one line where output is piped, wrapped between words in a window."""
    console.print(Text(sentence), soft_wrap=not console.is_terminal)


def print_json(value: Any) -> None:
    """One JSON document on standard output, and nothing else."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def finite(value: Any) -> Any:
    """A value as JSON has it: null for a number that is none, also within lists and mappings; numpy's as Python's."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
