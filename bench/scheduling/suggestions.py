"""What a search has suggested, a file for each, written before its first trial starts: RESULTS/search/CELL/000000.json.

A search that goes on asks for the same configurations again, in the same order. `configuration` is the whole of one,
so that a suggestion can be told from one of a study whose space has changed; `told` is how many earlier suggestions'
results the sampler had seen.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.study.findings import sentences
from finebench.bench.study.plan import Cell
from finebench.bench.util.errors import ResultsError

FOLDER = "search"


class Suggestion(BaseModel):
    """One suggestion: its number in the cell, what was drawn, and the configuration that this made."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    number: int = Field(ge=0, lt=10**6)
    params: dict[str, Any]
    configuration: dict[str, Any] | None = None
    told: int = Field(default=0, ge=0)


def cell_name(cell: Cell) -> str:
    """A file-name-safe name of a cell, unique by a hash of its key."""
    digest = hashlib.blake2b(json.dumps(cell.key).encode(), digest_size=5).hexdigest()
    safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in f"{cell.task}-{cell.method}-{cell.fraction:g}")
    return f"{safe}-{digest}"


@dataclass(frozen=True)
class Suggestions:
    """The suggestions of one cell."""

    folder: ResultsFolder
    name: str

    def read(self) -> list[Suggestion]:
        """All of them, by number; raises ResultsError naming a file that is not one."""
        found = self.folder.at_once(self._read, [f"{FOLDER}/{self.name}/{name}" for name in self._names()])
        return sorted(found, key=lambda one: one.number)

    def write(self, one: Suggestion) -> None:
        """Write one down."""
        self.folder.write_json(f"{FOLDER}/{self.name}/{one.number:06d}.json", one.model_dump())

    def _names(self) -> list[str]:
        return self.folder.names(f"{FOLDER}/{self.name}", ".json")

    def _read(self, name: str) -> Suggestion:
        try:
            return Suggestion.model_validate(self.folder.read_json(name))
        except ValidationError as error:
            raise ResultsError(
                f"{self.folder.shown(name)}: not a suggestion written by finebench: {sentences(error)[0]}"
            ) from error
