"""What a driver sends to its workers: the study's inputs, and each pack's share of the machine. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from finebench.bench.data.task_data import TaskData
from finebench.bench.study.trial_id import Trial
from finebench.bench.util.doors import Plugin, plugins
from finebench.bench.util.errors import StudyError

if TYPE_CHECKING:
    from finebench.bench.data.token_cache import Tokenised  # brings in what a forecast does without

TokensOf = tuple[str, str, int]
"""A task's name, its split ("train" or "score"), and after how many tokens its inputs are cut."""


@dataclass(frozen=True)
class Shipment:
    """What every worker of a study needs, sent once per node. `tokens` are of tasks whose texts may have been left out
    (see bench.driver.cargo).

    `keep` (none, best, all) asks for trained deltas, which go to `results`. `run` is the token by which a worker knows
    its driver's results folder (empty: no checkpoints, no deltas). `plugins` are sent as text.
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
    plugins: tuple[Plugin, ...] = field(default_factory=plugins)


@dataclass(frozen=True)
class Share:
    """What part of the machine one pack has: CPU threads, a share of a GPU (0: none)."""

    cpus: float = 1.0
    gpu: float = 0.0

    @property
    def exclusive(self) -> bool:
        """Whether no other trial may be put on the same GPU."""
        return self.gpu == 0 or self.gpu >= 1


class Orders(NamedTuple):
    """What rank 0 of a pack tells its other ranks: to meet it where its store listens, and to train the same pack on as
    large a share of their machine. `measures`: nothing but its speed."""

    share: Share
    trials: tuple[str, ...]
    rungs: bool
    rate: float | None
    number: int
    host: str
    port: int
    measures: bool = False


class Followers(Protocol):
    """The processes of ranks 1 and on, which reach rank 0 at `host`."""

    host: str

    def follow(self, orders: Orders) -> None:
        """Let every one of them take part in a pack; returns at once."""

    def gone(self) -> str | None:
        """Which of them has ended, and what is known of it; None while all are there."""

    def end(self) -> None:
        """End their processes; the next pack gets others."""


class Need(NamedTuple):
    """A measurement that trials wait for: their speed (`rate`, for a seconds budget) or the timings of growing packs
    (`packs`), and what it is kept by."""

    what: str
    key: str


@dataclass(frozen=True)
class Pack:
    """Trials that one worker trains together.

    `rungs` asks it to report every evaluation. A pack that is `alone` is one whose costs stand for others', so that
    it gets a GPU to itself. One that `measures` trains nothing: a measurement is made in the shape of its trial.
    """

    trials: tuple[Trial, ...]
    rungs: bool = False
    alone: bool = False
    measures: Need | None = None

    @property
    def name(self) -> str:
        """Short name for logs: the first trial's id."""
        return self.trials[0].id

    @property
    def key(self) -> str:
        """What its losses are counted by: all of its trials, and what it measures."""
        return ",".join(trial.id for trial in self.trials) + (self.measures.what if self.measures else "")

    @property
    def searches(self) -> bool:
        """Whether it is one configuration of a search, whose seeds are told together and never apart."""
        return self.trials[0].stage == "search"


CONTEXT_BYTES = 700 * 2**20
"""Room for one process's CUDA context and libraries, outside the allocator's cap."""


def own_bytes(total: int, share: float) -> int:
    """What tensors of a process may take of a GPU of `total` bytes: its share, less its context, so that processes that
    share the GPU fit on it together. Raises StudyError where nothing is left."""
    left = int(total * min(1.0, share)) - CONTEXT_BYTES
    if left <= 0:
        raise StudyError(
            f"resources.gpu: {share:g} of a GPU of {total / 2**30:.0f} GiB leaves no memory for a trial: each process "
            f"also takes {CONTEXT_BYTES / 2**30:.1f} GiB for CUDA itself"
        )
    return left
