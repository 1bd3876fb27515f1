"""The console that commands print to."""

from rich.console import Console


def make_console() -> Console:
    """The terminal, or lines wide enough for the summary where output is piped."""
    console = Console()
    return console if console.is_terminal else Console(width=120)
