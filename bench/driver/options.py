"""What is asked of a run apart from its study, and how it ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.study.shards import Shard
from finebench.bench.util.errors import InputError, choose
from finebench.bench.util.places import truly
from finebench.bench.util.storage import is_path

KEEPS = ("none", "best", "all")
"""Which trained deltas a run keeps."""


@dataclass(frozen=True)
class RunOptions:
    """What is asked of a run, apart from the study; raises InputError where two options contradict each other."""

    results: str
    data: Path | None = None
    limit: int | None = None
    address: str | None = None
    debug: bool = False
    keep: str = "none"
    logger: str | None = None
    shard: Shard | None = None

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise InputError(choose("keep", self.keep, KEEPS))
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--trials {self.limit}: at least 1 is needed")
        if self.data is not None and not truly(self.data.is_dir):
            raise InputError(f"--data {self.data}: this folder does not exist")
        if self.debug and self.address:
            raise InputError(
                f"--debug runs in this process, without Ray, and --address {self.address} is Ray's: give one of the two"
            )
        if self.keep != "none" and self.address is not None and is_path(self.results):
            raise InputError(
                f"--keep {self.keep} with --address: workers store the deltas themselves, and {self.results!r} is a "
                "path of this machine; give --results a URI that every node reaches, such as s3://bucket/folder (a "
                "disk that all nodes share needs a server that speaks S3 before it)"
            )


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: statuses of the trials it ran, rows of failed ones (diverged ones of earlier runs too), planned
    trials that were there before."""

    folder: ResultsFolder
    statuses: dict[str, int]
    failures: list[dict[str, Any]]
    skipped: int
    seconds: float

    @property
    def words(self) -> str:
        """It in a line."""
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items())) or "nothing to do"
        return f"this run: {counts}; {self.skipped} there before; {self.seconds:.0f} s"
