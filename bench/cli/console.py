"""The console that commands print to."""

import json
from typing import Any

import typer
from rich.console import Console


def make_console() -> Console:
    """The terminal, or lines wide enough for the summary where output is piped. Text is shown as it is: a folder's name
    may hold brackets and colons, which Rich would read as markup and emoji."""
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(markup=False, emoji=False, width=120)


def print_json(value: Any) -> None:
    """One JSON document on standard output, and nothing else."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
