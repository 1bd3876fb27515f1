"""What a driver sends to its workers: the study's inputs, and each pack's share of the machine. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.sources import TaskData

if TYPE_CHECKING:
    from bench.token_cache import Tokenised  # brings in what a forecast does without

TokensOf = tuple[str, str, int]
"""A task's name, its split ("train" or "score"), and after how many tokens its inputs are cut."""


@dataclass(frozen=True)
class Shipment:
    """What every worker of a study needs, sent once per node. `tokens` are of tasks whose texts may have been left out
    (see bench.cargo).

    `keep` (none, best, all) asks for trained deltas, which go to `results`. `run` is the token by which a worker knows
    its driver's results folder (empty: no checkpoints).
    """

    study: str
    model_folder: str
    tasks: Mapping[str, TaskData]
    timeout: float
    keep: str = "none"
    results: str = ""
    run: str = ""
    checkpoint_seconds: float = 30.0
    tokens: "Mapping[TokensOf, Tokenised]" = field(default_factory=dict)


@dataclass(frozen=True)
class Share:
    """What part of the machine one pack has: CPU threads, a share of a GPU (0: none)."""

    cpus: float = 1.0
    gpu: float = 0.0

    @property
    def exclusive(self) -> bool:
        """Whether no other trial may be put on the same GPU."""
        return self.gpu == 0 or self.gpu >= 1
