"""Runs packs of trials in one process: the same code in a Ray worker, in `--debug`, in `rerun` and in tests.

A `PackRun` trains a pack's members: fused, step by step (bench.training.packs.batched_loop), or each by its own solo
loop in turn, evaluation by evaluation, bit for bit as alone.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finebench.bench.results.record import Record
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.evaluation import Evaluation
from finebench.bench.training.linear_probe import seconds
from finebench.bench.training.loop import steps_per_second
from finebench.bench.training.packs.batched_loop import Lane, obstacle, train_together
from finebench.bench.training.worker.make_job import on_stored_features
from finebench.bench.training.worker.messages import Pack
from finebench.bench.training.worker.on_ranks import on_ranks
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util.errors import DeviceLost

if TYPE_CHECKING:  # what most trials do without
    from finebench.bench.training.ranks.group import Ranks

CALIBRATION_STEPS = 30


@dataclass(frozen=True)
class Rung:
    """The members' mean `select` score at an evaluation (1-based index); one that has diverged counts with the constant
    predictor's."""

    index: int
    value: float


class PackRun:
    """Trains a pack's members in lockstep; `rate` is the stored calibration (steps/s) of a seconds budget.

    `fused` trains them as one stacked model; left open, that is done unless they are a search's. Members that cannot be
    stacked are trained in turn, and a note says why.
    """

    def __init__(
        self,
        cache: WorkerCache,
        pack: Pack,
        rate: float | None = None,
        fused: bool | None = None,
        ranks: "Ranks | None" = None,
    ) -> None:
        cache.watch.begin()
        self.cache = cache
        self.ranks, self._meets = ranks, ranks is None and pack.trials[0].ranks > 1
        self.pack, self.rate = pack, rate
        together = 1 if pack.searches else len(pack.trials)
        beside = len(pack.trials)  # a search's seeds take turns: their times are their own, their memory is not
        self.members = [
            Member(trial, cache, rate, together=together, beside=beside, ranks=self.ranks) for trial in pack.trials
        ]
        self._told: set[str] = set()
        self.metric = cache.shipment.tasks[pack.trials[0].task.name].task.metric
        self.index = 0
        if fused is None:
            fused = not (pack.searches or pack.rungs)
        self._together = self._train_together() if fused and len(pack.trials) > 1 else None

    def advance(self) -> Rung | None:
        """Train every member to its next evaluation (fused: to the next one of any); None once all have ended.

        Raises DeviceLost where the other ranks of a pack do not come.
        """
        if self._meets:
            self._meet()
        if self.ranks is not None and not self._go(True):
            self._leave()
            return None
        evaluation = next(self._together, None) if self._together else None
        evaluations = [evaluation] if evaluation else [member.advance() for member in self.members]
        if all(member.finished for member in self.members):
            self._part()
            return None
        self.index += 1
        values = [evaluation.select.metrics[self.metric] for evaluation in evaluations if evaluation]
        if self._together is None:
            values += [constant for member in self.members if (constant := member.constant) is not None]
        return Rung(self.index, sum(values) / len(values) if values else math.nan)

    def finish(self) -> list[Record]:
        """Train every member to its end; returns their rows. Raises DeviceLost where that takes another process."""
        while self.advance() is not None:
            pass
        self.check_device()
        return self.records()

    def check_device(self) -> None:
        """Raise DeviceLost where a trial has not ended, because the process has lost its GPU on the way."""
        if self.lost is not None:
            raise DeviceLost(f"{self.lost}; run the same command again")

    def _train_together(self) -> Generator[Evaluation]:
        """Train the members as one; those that it leaves unfinished have to be trained in turn."""
        lanes: dict[Lane, Member] = {}
        for member in self.members:
            try:
                first = next(iter(lanes), None)
                lanes[member.prepare(first.job.model if first else None)] = member
            except Exception as error:  # as in `Member.advance`
                member.fail(error)
        try:
            reason = obstacle([lane.job for lane in lanes]) if len(lanes) > 1 else None
            if reason is not None:
                self._apart(list(lanes.values()), reason)
                return
            for lane, event in train_together([*lanes]):
                if isinstance(event, Evaluation):
                    yield event
                    continue
                member = lanes.pop(lane)
                if event is None:
                    member.finish()
                else:
                    member.fail(event)
                del lane, member  # so that its tensors are freed, and the buffers they are views of
        except Exception as error:  # what breaks the step that all share ends them all
            for member in lanes.values():
                if not member.finished:
                    member.fail(error)

    def _apart(self, members: list[Member], reason: str) -> None:
        """Say why members are trained in turn."""
        members[0].notes.append(f"{members[0].trial.id}: a pack of {len(self.members)} is trained in turn: {reason}")

    def close(self) -> None:
        """Give up what is not finished, and free its models: a suspended run holds itself alive."""
        if self._together is not None:
            self._together.close()
            self._together = None
        for member in self.members:
            member.close()
        self._part()

    def _meet(self) -> None:
        """Get the other ranks together."""
        from finebench.bench.training.worker.followers import assemble

        self._meets, self.ranks = False, assemble(self.cache, self.pack, self.rate)
        for member in self.members:
            member.ranks = self.ranks

    def _go(self, on: bool) -> bool:
        """As rank 0, tell the others whether to train to the next evaluation; what rank 0 tells. Where the ranks cannot
        reach each other, what they train has failed."""
        if self.ranks is None or self.ranks.broken is not None:
            return on
        try:
            return self.ranks.go(on)
        except Exception as error:  # as in `Member.advance`
            left = [member for member in self.members if not member.finished]
            for member in left:
                member.fail(error)
            if not left:
                self.ranks.heard(error)
            return on

    def _part(self) -> None:
        """Let the other ranks go, once all is trained or as rank 0 gives it up."""
        self._go(False)
        self._leave()

    def _leave(self) -> None:
        """End the group of ranks; where it is broken, the others' processes too: one of them may wait for ever."""
        ranks, self.ranks = self.ranks, None
        if ranks is not None:
            ranks.close()
            if ranks.broken is not None and self.cache.followers is not None:
                self.cache.followers.end()

    @property
    def lost(self) -> str | None:
        """Why the process can train nothing more, so that what has not ended needs another one; None where it can."""
        return next((member.reason for member in self.members if member.status == "lost"), None)

    @property
    def stopped(self) -> bool:
        """Whether the run was told to stop, so that it has no rows yet."""
        return any(member.status == "stopped" for member in self.members)

    def notes(self) -> list[str]:
        """What the user should know of its trials and its process, since this was last asked."""
        sources = [self.cache.notes, self.cache.watch.notes, *(member.notes for member in self.members)]
        found = [note for notes in sources for note in notes]
        for notes in sources:
            notes.clear()
        return found

    def ended(self) -> list[Record]:
        """Rows of the members that have ended since this was last asked, so that they can be stored before the pack's
        last has ended."""
        found = [one for one in self.members if one.finished and one.status not in ("stopped", "lost")]
        found = [one for one in found if one.trial.id not in self._told]
        self._told.update(one.trial.id for one in found)
        return [one.record(pruned=False) for one in found]

    def records(self, pruned: bool = False) -> list[Record]:
        """Every member's rows as of now."""
        return [member.record(pruned and not member.finished) for member in self.members]


def calibrate(cache: WorkerCache, trial: Trial, ranks: "Ranks | None" = None) -> float:
    """Optimiser steps per second of this trial's shape on this machine, from a short run that leaves nothing behind.

    Where a trial computes features first, what that takes of its seconds budget is spread over its steps.
    """
    if trial.ranks == 1:
        return _rate(cache, trial, None)
    if ranks is None:
        from finebench.bench.training.worker.followers import assemble

        ranks = assemble(cache, Pack((trial,)), measures=True)
    try:
        return _rate(cache, trial, ranks)
    except Exception as error:
        others = ranks.heard(error)
        if cache.followers is not None:  # they may wait for ever
            cache.followers.end()
        if others is None:
            raise
        said = f"while its speed was measured: {others[1]}"
        raise (DeviceLost if others[0] == "lost" else RuntimeError)(said) from error
    finally:
        ranks.close()


def _rate(cache: WorkerCache, trial: Trial, ranks: "Ranks | None") -> float:
    member = Member(trial, cache, rate=1.0, ranks=ranks)
    job, apart = on_stored_features(trial, cache, *member.make_job())
    job = job if ranks is None else on_ranks(job, ranks)
    if apart is None:
        return steps_per_second(job, CALIBRATION_STEPS)
    rate, budget = steps_per_second(job, CALIBRATION_STEPS * 10), trial.budget.seconds or math.inf
    return rate * max(0.0, 1 - seconds(job.fit) / budget) or 1 / budget
