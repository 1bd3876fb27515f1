"""What a trial on several ranks does together: its job, its checkpoints, what it took.

Every rank trains the same job on its part of each batch. Rank 0 alone looks at the clock, reads and writes RESULTS,
and has the rows: seconds are its own, the peak of memory is that of the rank which took most, energy is that of all.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from finebench.bench.training.job import Job
from finebench.bench.training.prediction import logits_of
from finebench.bench.training.worker.checkpoint_policy import Stopped, TrialKeeper

if TYPE_CHECKING:
    from finebench.bench.training.ranks.group import Ranks


class Taken(NamedTuple):
    """What a trial took of one rank's machine: bytes, joules, and whether nothing else ran there."""

    peak_memory: int | None
    peak_allocated: int | None
    joules: float | None
    alone: bool


def on_ranks(job: Job, ranks: "Ranks") -> Job:
    """The job as a rank trains it."""
    from finebench.bench.training.ranks.parallel import wrap

    parallel = wrap(job.model, ranks, lambda: logits_of(job, job.fit.tokens, job.fit.rows[:1]))
    return replace(job, parallel=parallel, deadline=math.inf if ranks.rank else job.deadline)


def taken_by_all(ranks: "Ranks", own: Taken) -> Taken:
    """What all ranks took together; what one of them does not know, nobody does."""
    every = [Taken(*one) for one in ranks.gathered(tuple(own))]
    memory, allocated = [one.peak_memory for one in every], [one.peak_allocated for one in every]
    joules = [one.joules for one in every]
    return Taken(
        None if None in memory else max(one for one in memory if one is not None),
        None if None in allocated else max(one for one in allocated if one is not None),
        None if None in joules else sum(one for one in joules if one is not None),
        all(one.alone for one in every),
    )


@dataclass
class SharedKeeper:
    """A trial's keeper on every rank: they put the state together, where it is in shards, and rank 0 writes it."""

    ranks: "Ranks"
    own: TrialKeeper
    encode: Callable[[], bytes]

    def due(self) -> bool:
        """Whether rank 0 has to write."""
        return self.ranks.any(self.ranks.rank == 0 and self.own.due())[0]

    def save(self) -> None:
        """Write the state as it is; raises Stopped on every rank where the run is to stop."""
        with self.own.aside():
            state = self.encode()
        stopped = False
        if self.ranks.rank == 0:
            self.own.encode = lambda: state
            try:
                self.own.save()
            except Stopped:
                stopped = True
            finally:
                self.own.encode = self.encode
        if self.ranks.any(stopped)[0]:
            raise Stopped("the run was told to stop")
