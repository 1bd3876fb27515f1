"""A table: a frame with a caption and, per column, how its values are shown; one definition for every file format."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from finebench.analysis.load.words import missing, word


@dataclass(frozen=True)
class Column:
    """One shown column: its key in the frame, its heading, and how a value is worded."""

    key: str
    label: str
    kind: str = "text"

    @property
    def numeric(self) -> bool:
        """Whether it is set flush right and sorts by value."""
        return self.kind not in ("text", "prose")


@dataclass(frozen=True)
class Table:
    """A named table. CSV and Parquet hold the whole frame at full precision; other formats show `columns` in words."""

    name: str
    title: str
    note: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    empty_tells: bool = False
    """Whether it says something without a row, and is shown then too."""
    section: str = "more"
    """The section of the report that it stands in, by its id."""
    figures: tuple[str, ...] = ()
    """The kinds of figures that stand above it."""
    folded: bool = False
    """Whether it stands behind a line to open."""

    @cached_property
    def shown(self) -> tuple[Column, ...]:
        """The columns that the frame has and that hold a value in some row; a column of blanks tells nothing."""
        present = [column for column in self.columns if column.key in self.frame]
        return tuple(column for column in present if self.frame.empty or _tells(self.frame[column.key]))

    def rows(self) -> list[list[str]]:
        """The cells of each row, in words."""
        return self._worded

    @cached_property
    def _worded(self) -> list[list[str]]:
        """Once for all file formats: wording takes longer than writing."""
        kinds = [column.kind for column in self.shown]
        frame = self.frame[[column.key for column in self.shown]]
        rows = frame.astype(object).itertuples(index=False, name=None)
        return [[word(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows]


def _tells(values: pd.Series) -> bool:
    """Whether some value is neither missing nor empty text."""
    return any(not missing(value) and value != "" for value in values)
