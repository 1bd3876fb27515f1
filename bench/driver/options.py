"""What is asked of a run apart from its study, and how it ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finebench.bench.results.folder import ResultsFolder


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks of a run, apart from the study."""

    results: str
    data: Path | None = None
    limit: int | None = None
    address: str | None = None
    debug: bool = False
    keep: str = "none"
    logger: str | None = None


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: statuses of the trials it ran, rows of failed ones (diverged ones of earlier runs too), planned
    trials that were there before."""

    folder: ResultsFolder
    statuses: dict[str, int]
    failures: list[dict[str, Any]]
    skipped: int
    seconds: float
