"""What a scheduler asks of one cell's search (bench.scheduling.optuna_search)."""

from typing import Protocol

from finebench.bench.results.folder import Done
from finebench.bench.training.worker.messages import Pack


class CellSearch(Protocol):
    """One cell's search: asks for configurations, is told how they did."""

    def ask(self) -> Pack | None:
        """The next configuration's trials, or None when none can be asked for now."""

    def rung(self, pack: Pack, index: int, value: float) -> bool:
        """Take in the mean `select` score at evaluation `index`; True to stop the configuration."""

    def tell(self, pack: Pack, rows: list[Done]) -> None:
        """Take in a configuration's finished rows."""

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be asked for."""

    @property
    def finished(self) -> bool:
        """Whether everything asked for has ended."""
