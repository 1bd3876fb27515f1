"""Tables for people: whole lines where output is piped, and in a window of any width nothing is cut out."""

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

LEAST_TEXT = 12
"""Columns of a terminal down to which words of a table are wrapped; in less they could not be read."""


def print_table(console: Console, columns: list[str], rows: list[list[str]], texts: tuple[int, ...] = (0,)) -> None:
    """Print a table; columns in `texts` hold words, which may be wrapped, the others numbers, which are not."""
    for line in table_lines(console, columns, rows, texts, console.width if console.is_terminal else None):
        console.print(line, soft_wrap=True)


def table_lines(
    console: Console, columns: list[str], rows: list[list[str]], texts: tuple[int, ...], width: int | None
) -> list[Text]:
    """A table's lines, none wider than `width`: columns side by side, their words wrapped where that makes them fit,
    else a block for each row."""
    widths = [max(cell_len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    gap = 2
    if width is not None:
        if not _fits(widths, gap, width):
            gap = 1
        while not _fits(widths, gap, width):
            widest = max(texts, key=lambda i: widths[i])
            if widths[widest] <= max(LEAST_TEXT, cell_len(columns[widest])):
                return [line for row in rows for line in _block(console, columns, row, texts, width)]
            widths[widest] -= 1
    head = _side_by_side(console, columns, widths, texts, gap)
    for line in head:
        line.stylize("bold")
    return [*head, *(line for row in rows for line in _side_by_side(console, row, widths, texts, gap))]


def _fits(widths: list[int], gap: int, width: int) -> bool:
    return sum(widths) + gap * (len(widths) - 1) <= width


def _side_by_side(console: Console, row: list[str], widths: list[int], texts: tuple[int, ...], gap: int) -> list[Text]:
    """A row in as many lines as its longest cell needs."""
    cells = [_wrapped(console, cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, cells))):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = [_pad(part, widths[i], left=i in texts) for i, part in enumerate(parts)]
        lines.append(Text((" " * gap).join(padded).rstrip()))
    return lines


def _pad(part: str, width: int, left: bool) -> str:
    blank = " " * (width - cell_len(part))
    return part + blank if left else blank + part


def _wrapped(console: Console, text: str, width: int) -> list[str]:
    """A text in lines of at most so many columns; a longer word is folded."""
    return [line.plain.rstrip() for line in Text(text).wrap(console, max(1, width), overflow="fold")] or [""]


def _block(console: Console, columns: list[str], row: list[str], texts: tuple[int, ...], width: int) -> list[Text]:
    """A row as what it is about, and below it each other column's name and value."""
    leading = next((i for i in range(len(row)) if i not in texts), len(row))
    leading = min(leading, len(row) - 1) if leading == len(row) and len(row) > 1 else leading
    head = " · ".join(part for part in row[:leading] if part)
    rest = ", ".join(f"{name} {part}" for name, part in zip(columns[leading:], row[leading:], strict=True) if part)
    lines = [Text(line, "bold") for line in _wrapped(console, head, width)]
    return [*lines, *(Text(f"  {line}") for line in _wrapped(console, rest, width - 2))]


def count(value: int | None) -> str:
    """A count with its thousands set apart; ? where it is not known."""
    return "?" if value is None else f"{value:,}"


def hours(seconds: float | None) -> str:
    """Seconds in hours, or in minutes where they are few."""
    if seconds is None:
        return "time unknown"
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"
