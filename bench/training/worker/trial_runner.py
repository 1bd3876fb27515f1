"""One trial of a pack on its way: from nothing, through evaluations, to a status and its rows.

The only place where an exception becomes a status. What a trial measures is gathered here; how it trains is
bench.training.loop, how several train together bench.training.packs.batched_loop.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from finebench.bench.methods import Method, method
from finebench.bench.metrics import majority_score
from finebench.bench.models.dropout import forget
from finebench.bench.models.freeze_check import FreezeAudit
from finebench.bench.models.frozen_encoder import Apart
from finebench.bench.results.record import Record
from finebench.bench.study.trial_id import TRAINING_VERSION, Trial
from finebench.bench.training import checkpoint
from finebench.bench.training.evaluation import Evaluation, Progress
from finebench.bench.training.job import Diverged, Job, TimedOut
from finebench.bench.training.linear_probe import charge
from finebench.bench.training.loop import train
from finebench.bench.training.measured import Measured
from finebench.bench.training.optimiser import make_optimizer
from finebench.bench.training.packs.batched_loop import Lane
from finebench.bench.training.worker import checkpoint_policy, measurement
from finebench.bench.training.worker.make_job import make_job, on_stored_features
from finebench.bench.training.worker.on_ranks import SharedKeeper, Taken, on_ranks, taken_by_all
from finebench.bench.training.worker.result_rows import make_record, one_line
from finebench.bench.training.worker.solitude import Solitude
from finebench.bench.training.worker.weights import save_delta
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util import machine
from finebench.bench.util.device_faults import lost, out_of_memory
from finebench.bench.util.errors import MethodError, ResultsError

if TYPE_CHECKING:  # what most trials do without
    from finebench.bench.training.ranks.group import Ranks


@dataclass
class Member:
    """One trial of a pack on its way: from nothing, through evaluations, to a status."""

    trial: Trial
    cache: WorkerCache
    rate: float | None
    progress: Progress = field(default_factory=Progress)
    status: str = "ok"
    reason: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    together: int = 1
    beside: int = 1
    measured: Measured = field(init=False)
    run: Generator[Evaluation] | None = None
    lane: Lane | None = None
    apart: Apart | None = None
    finished: bool = False
    notes: list[str] = field(default_factory=list)
    solitude: Solitude | None = None
    ranks: "Ranks | None" = None

    def __post_init__(self) -> None:
        self.measured = Measured(pack_size=self.together)
        self._others_alone = True

    def advance(self) -> Evaluation | None:
        """Train to the next evaluation; None once the trial has ended, for whatever reason."""
        if self.finished:
            return None
        try:
            if self.ranks is not None:
                self.ranks.check()
            if self.run is None:
                self.run = self._start()
            return next(self.run)
        except StopIteration:
            self._end("ok", None)
        except Exception as error:  # a trial's failure is an outcome in the table, never the end of the sweep
            self.fail(error)
        return None

    def fail(self, error: BaseException) -> None:
        """End with the status that an exception stands for."""
        agreed = self.lane is not None and isinstance(error, checkpoint_policy.Stopped | Diverged | TimedOut)
        if self.ranks is not None and not agreed and (heard := self.ranks.heard(error)) is not None:
            self._end(*heard)
        elif isinstance(error, checkpoint_policy.Stopped):
            self._end("stopped", str(error))
        elif isinstance(error, Diverged):
            self._end("diverged", str(error))
        elif isinstance(error, TimedOut):
            self._end("timeout", str(error))
        elif gone := lost(self.cache.device):
            self._end("lost", f"{one_line(error)}; the process has lost its GPU: {gone}")
        else:
            self._end("oom" if out_of_memory(error) else "error", one_line(error))

    def prepare(self, sharing: nn.Module | None = None) -> Lane:
        """Build the trial, or take it up at its checkpoint; its frozen tensors are those of `sharing` where equal."""
        begin = time.perf_counter()
        job, self._audit = self.make_job(sharing)
        tuned: Method = method(self.trial.method)(**self.trial.hyperparameters)
        if (reason := tuned.too_short(job.steps)) is not None:
            raise MethodError(f"{reason}; the trial has {job.steps}")
        optimizer = make_optimizer(job.model, job.lr, job.training.weight_decay, job.multipliers)
        before = self._resume(job, optimizer)
        so_far = before.startup_seconds is None or before.alone  # in its part before the checkpoint, if there was one
        self.solitude = Solitude(self.cache.device, self.cache.share.exclusive and so_far)
        job = replace(job, deadline=time.monotonic() + self._time_left())
        startup = time.perf_counter() - begin
        job, self.apart = on_stored_features(self.trial, self.cache, job, self._audit)
        charge(job, self.progress)
        job = replace(job, deadline=time.monotonic() + self._time_left())
        if self.ranks is not None:
            job = on_ranks(job, self.ranks)

        def measure() -> None:
            together = max(self.measured.pack_size, self.beside) > 1  # what several took of one process is none's own
            self.measured.startup_seconds = (before.startup_seconds or 0.0) + startup
            self._look()
            watched = self.solitude is not None and not self.solitude.company
            taken = Taken(
                measurement.most(before.peak_memory_bytes, self._meter.peak_memory()),
                measurement.most(before.peak_allocated_bytes, self._meter.peak_allocated()),
                self._energy(before) if watched else None,
                self.measured.alone,
            )
            taken = taken if self.ranks is None else taken_by_all(self.ranks, taken)
            self._others_alone = taken.alone
            self.measured.peak_memory_bytes = None if together else taken.peak_memory
            self.measured.peak_allocated_bytes = None if together else taken.peak_allocated
            self.measured.energy_joules = None if together else taken.joules

        self._measure = measure
        self.lane = Lane(job, self.progress, optimizer, self._keeper(job, optimizer, measure))
        return self.lane

    def _look(self) -> None:
        """Note whether the trial has been by itself until now, as far as it is known of all its ranks."""
        self.measured.alone = self._others_alone and self.solitude is not None and self.solitude.kept()

    def complete(self) -> None:
        """What follows the last step: final measures, the freeze audit, the chosen checkpoint."""
        assert self.lane is not None
        self._measure()
        if self.apart is not None:
            self.apart.attach()
        tampered = self._audit.check(self.lane.job.model)
        if tampered:
            raise RuntimeError(f"the freeze audit found changes outside the method: {', '.join(tampered[:5])}")
        self._keep()

    def close(self) -> None:
        """Give up a trial that is not finished."""
        if self.run is not None:
            self.run.close()
        self.run = self.lane = self.apart = None

    def finish(self) -> None:
        """End a trial whose steps are done, with the status that its last checks give."""
        try:
            self.complete()
        except Exception as error:  # as in `advance`
            self.fail(error)
        else:
            self._end("ok", None)

    def _start(self) -> Generator[Evaluation]:
        lane = self.lane or self.prepare()
        yield from list(self.progress.evaluations)
        yield from train(lane.job, self.progress, lane.optimizer, lane.keeper)
        self.complete()

    def make_job(self, sharing: nn.Module | None = None) -> tuple[Job, FreezeAudit]:
        """Build the model and its data for this trial, whose precision is known by now; its frozen tensors are those of
        `sharing` where equal."""
        if self.trial.training.precision == "auto":
            raise ValueError("precision: auto stands for one precision, which is part of a trial's identity")
        forget()  # what dropout kept for the trial before would count as this one's memory
        self._meter = measurement.Meter(self.cache.device, self.cache.share.exclusive)
        self._meter.start()
        return make_job(self.trial, self.cache, self.rate, self.measured, sharing, self._meter.start, self.ranks)

    def _identity(self, job: Job) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued bit by bit."""
        own = {
            "trial_id": self.trial.id,
            "training_version": TRAINING_VERSION,
            "steps": job.steps,
            "versions": machine.versions(),
            "device": machine.device_name(job.device.type),
            "threads": torch.get_num_threads(),
        }
        return own if self.ranks is None else dict(self.ranks.told(own))

    def _resume(self, job: Job, optimizer: torch.optim.AdamW) -> Measured:
        """Take up the trial's checkpoint, where there is one that can be used; returns what was measured before."""
        before, watch, data = Measured(), self.cache.watch, None
        if watch.folder is not None and watch.mine:
            try:
                data = watch.folder.read_bytes(checkpoint_policy.file(self.trial.id))
            except (ResultsError, OSError) as error:
                self.notes.append(f"{self.trial.id}: its checkpoint cannot be read, it starts anew: {error}")
                watch.trouble(error)
        if self.ranks is not None:  # the others need not reach RESULTS
            data = self.ranks.told(data)
        if data is not None:
            try:
                identity = self._identity(job)
                self.started_at = checkpoint.restore(data, identity, job.model, optimizer, self.progress, before)
                self.measured.pack_size = max(self.measured.pack_size, before.pack_size)
                self.notes.append(f"{self.trial.id}: goes on at step {self.progress.steps} of {job.steps}")
            except checkpoint.BadCheckpoint as error:
                self.notes.append(f"{self.trial.id}: its checkpoint is not used, it starts anew: {error}")
        return before

    def _keeper(
        self, job: Job, optimizer: torch.optim.AdamW, measure: Callable[[], None]
    ) -> checkpoint_policy.TrialKeeper | SharedKeeper:
        def encode() -> bytes:
            measure()
            identity = self._identity(job)
            return checkpoint.encode(identity, job.model, optimizer, self.progress, self.measured, self.started_at)

        keeper = checkpoint_policy.TrialKeeper(
            self.cache.watch, self.trial.id, encode, self._meter.aside, self.notes.append, self.beside
        )
        return keeper if self.ranks is None else SharedKeeper(self.ranks, keeper, encode)

    def _time_left(self) -> float:
        """Seconds of the trial's time limit that earlier parts of it have not used; a pack has its trials' together,
        and time in a pack is not a trial's own."""
        limit = self.cache.shipment.timeout * self.beside
        if self.measured.pack_size > 1:
            return limit
        return limit - self.progress.train_seconds - self.progress.eval_seconds

    def _energy(self, before: Measured) -> float | None:
        """Joules in all; None where a part of the trial could not be measured."""
        now = self._meter.energy()
        resumed = before.startup_seconds is not None
        return None if now is None or (resumed and before.energy_joules is None) else now + (before.energy_joules or 0)

    def _keep(self) -> None:
        """Store the chosen checkpoint's trained tensors, where they are asked for. Where RESULTS is away, that is no
        reason to hold a worker up, nor to lose a trial whose row goes by the driver."""
        shipment, folder, tensors = self.cache.shipment, self.cache.watch.folder, self.progress.best_tensors
        if shipment.keep == "none" or folder is None or tensors is None or (self.ranks and self.ranks.rank):
            return
        try:
            save_delta(folder, self.trial, tensors, shipment.tasks[self.trial.task.name])
        except (ResultsError, OSError) as error:
            self.notes.append(
                f"{self.trial.id}: node {machine.hostname()} cannot store its trained tensors in RESULTS, and its row "
                f"is stored without them: {error}"
            )

    def _end(self, status: str, reason: str | None) -> None:
        self._look()
        self.status, self.reason, self.finished = status, reason, True
        self.run = self.lane = self.apart = None  # frees the model and the optimiser

    @property
    def constant(self) -> float | None:
        """What a diverged trial counts as where something is chosen: the constant predictor's `select` score; None of
        any other."""
        if self.status != "diverged":
            return None
        task = self.cache.shipment.tasks[self.trial.task.name]
        fitted, select = task.train.labels, self.cache.draw(self.trial).select
        return majority_score(task.task.metrics, fitted, fitted[select])

    def record(self, pruned: bool) -> Record:
        """The trial's rows as of now; `pruned` where its search stopped it."""
        if not self.finished:
            self._look()
        task = self.cache.shipment.tasks[self.trial.task.name]
        metrics, fitted = task.task.metrics, task.train.labels
        return make_record(
            trial=self.trial,
            study=self.cache.shipment.study,
            status="pruned" if pruned else self.status,
            reason="stopped by ASHA" if pruned else self.reason,
            task=task,
            progress=self.progress,
            measured=self.measured,
            majority=majority_score(metrics, fitted, task.score.labels),
            majority_select=self.constant,
            device=machine.device_name(self.cache.device.type),
            started_at=self.started_at,
        )
