"""Runs packs of trials in one process: the same code in a Ray worker, in `--debug`, in `rerun` and in tests.

A `Resident` keeps what trials share (backbones, tokenised data); a `PackRun` trains a pack's members in lockstep,
evaluation by evaluation, and is the only place where an exception becomes a status.
"""

import math
import os
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import cost, meter
from bench.architecture import Architecture, read_architecture
from bench.conductor import Pack
from bench.data import Tokens, cached_tokens
from bench.evaluation import Evaluation, Progress
from bench.keep import save_delta
from bench.methods import Method
from bench.metrics import majority_score
from bench.model import Backbone, FreezeAudit, build, load_backbone, trainable_counts, trained_tensors
from bench.outcome import Measured, make_record
from bench.record import Record
from bench.registry import method
from bench.results import ResultsFolder
from bench.shipment import Share, Shipment
from bench.sources import TaskData
from bench.splits import Draw, draw
from bench.study import Select
from bench.training import Diverged, Examples, Job, TimedOut, steps_per_second, train
from bench.trial import Trial

CALIBRATION_STEPS = 30


class Resident:
    """What stays in a process from trial to trial: pristine backbones and tokenised data. Nothing a trial does changes
    it."""

    def __init__(self, shipment: Shipment, share: Share) -> None:
        self.shipment, self.share = shipment, share
        self.device = _claim(share)
        self.folder = Path(shipment.model_folder)
        self.architecture: Architecture = read_architecture(self.folder)
        self._backbones: dict[tuple[int, bool], Backbone] = {}
        self._tokens: dict[tuple[str, str, int], Tokens] = {}

    def backbone(self, task: TaskData) -> Backbone:
        """The pristine model with a head for this task, on the CPU."""
        key = (task.num_labels, task.task.kind == "regression")
        if key not in self._backbones:
            self._backbones[key] = load_backbone(self.folder, *key)
        return self._backbones[key]

    def tokens(self, task: TaskData, split: str, max_length: int) -> Tokens:
        """One split, tokenised once per node."""
        key = (task.task.name, split, max_length)
        if key not in self._tokens:
            self._tokens[key] = cached_tokens(task, split, self.folder, max_length)
        return self._tokens[key]

    def draw(self, trial: Trial) -> Draw:
        """The rows of train that this trial fits and chooses on."""
        return draw_rows(self.shipment.tasks[trial.task.name], trial.fraction, trial.seeds.subset, trial.select)


def draw_rows(task: TaskData, fraction: float, subset_seed: int, select: Select) -> Draw:
    """Draw a fraction of a task's train split and split it into `fit` and `select`."""
    regression = task.task.kind == "regression"
    return draw(
        task.train.labels,
        regression,
        fraction,
        subset_seed,
        select.fraction,
        select.at_least,
        select.scale,
        task=task.task.name,
        names=task.label_names,
    )


def longest_input(asked: int, tuned: Method, architecture: Architecture) -> int:
    """Tokens after which inputs are cut: as asked, or what the model's positions leave beside the method's own
    tokens."""
    room = architecture.max_tokens
    return asked if room is None else min(asked, room - tuned.positions)


def _claim(share: Share) -> torch.device:
    """Set threads, determinism and the memory cap of this process; returns the device its trials train on."""
    torch.set_num_threads(max(1, math.floor(share.cpus)))
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if (
        share.gpu <= 0 or os.environ.get("FINEBENCH_LOGICAL_GPUS") == "1"
    ):  # the variable: tests of scheduling, no GPU needed
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError("a GPU was assigned to this worker, but torch sees none; see finebench doctor")
    if share.gpu < 1:
        torch.cuda.set_per_process_memory_fraction(share.gpu)
    return torch.device("cuda", torch.cuda.current_device())


@dataclass
class _Member:
    """One trial of a pack on its way: from nothing, through evaluations, to a status."""

    trial: Trial
    resident: Resident
    rate: float | None
    progress: Progress = field(default_factory=Progress)
    status: str = "ok"
    reason: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    measured: Measured = field(default_factory=Measured)
    run: Iterator[Evaluation] | None = None
    finished: bool = False

    def advance(self) -> Evaluation | None:
        """Train to the next evaluation; None once the trial has ended, for whatever reason."""
        if self.finished:
            return None
        try:
            if self.run is None:
                self.run = self._start()
            return next(self.run)
        except StopIteration:
            self._end("ok", None)
        except Diverged as error:
            self._end("diverged", str(error))
        except TimedOut as error:
            self._end("timeout", str(error))
        except (torch.OutOfMemoryError, MemoryError) as error:
            self._end("oom", _one_line(error))
        except Exception as error:  # a trial's failure is an outcome in the table, never the end of the sweep
            out_of_memory = "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
            self._end("oom" if out_of_memory else "error", _one_line(error))
        return None

    def _start(self) -> Iterator[Evaluation]:
        begin = time.perf_counter()
        job, audit = self._job()
        self.measured.startup_seconds = time.perf_counter() - begin
        yield from train(job, self.progress)
        self.measured.peak_memory_bytes = self._meter.peak_memory()
        self.measured.energy_joules = self._meter.energy()
        tampered = audit.check(job.model)
        if tampered:
            raise RuntimeError(f"the freeze audit found changes outside the method: {', '.join(tampered[:5])}")
        self._keep()

    def _job(self) -> tuple[Job, FreezeAudit]:
        """Build the model and its data for this trial."""
        resident, trial = self.resident, self.trial
        self._meter = meter.Meter(resident.device, resident.share.exclusive)
        self._meter.start()
        task = resident.shipment.tasks[trial.task.name]
        backbone = resident.backbone(task)
        tuned: Method = method(trial.method)(**trial.hyperparameters)
        rows = resident.draw(trial)
        self.measured.n_fit, self.measured.n_select = len(rows.fit), len(rows.select)
        model = build(backbone, tuned, trial.seeds.stream("init")).to(resident.device)
        audit = FreezeAudit(model)
        encoder, head, total = trainable_counts(model, backbone.head_names)
        self.measured.trainable_params, self.measured.head_params = encoder + head, head
        self.measured.total_params = total
        self.measured.delta_bytes = sum(4 * tensor.numel() for tensor in trained_tensors(model).values())
        longest = longest_input(trial.training.max_length, tuned, resident.architecture)
        train_tokens = resident.tokens(task, "train", longest)
        score_tokens = resident.tokens(task, "score", longest)
        flops = cost.train_flops(tuned, resident.architecture, task.num_labels, trial.training.batch_size)
        self.measured.flops = flops
        job = Job(
            model=model,
            fit=Examples(train_tokens, task.train.labels, rows.fit),
            select=Examples(train_tokens, task.train.labels, rows.select),
            score=Examples(score_tokens, task.score.labels, np.arange(len(task.score.labels))),
            regression=task.task.kind == "regression",
            metrics=task.task.metrics,
            steps=self._steps(train_tokens, rows, flops),
            lr=tuned.lr,
            training=trial.training,
            order_seed=trial.seeds.stream("order"),
            dropout_seed=trial.seeds.stream("dropout"),
            pad_id=backbone.pad_id,
            device=resident.device,
            flops=flops,
            deadline=time.monotonic() + resident.shipment.timeout,
            keep_best=resident.shipment.keep != "none",
        )
        return job, audit

    def _keep(self) -> None:
        """Store the chosen checkpoint's trained tensors, where they are asked for."""
        shipment = self.resident.shipment
        if shipment.keep == "none" or self.progress.best_tensors is None:
            return
        task = shipment.tasks[self.trial.task.name]
        folder = ResultsFolder(shipment.results)
        save_delta(folder, self.trial, self.progress.best_tensors, task)

    def _steps(self, tokens: Tokens, rows: Draw, flops: Any) -> int:
        lengths = tokens.lengths[rows.fit].astype(np.int64)
        size = self.trial.training.batch_size
        per_step = flops(int(lengths.mean() * size), int((lengths**2).mean() * size))
        rate = self.rate or 0.0
        return self.trial.budget.to_steps(len(rows.fit), size, steps_per_second=rate, flops_per_step=per_step)

    def _end(self, status: str, reason: str | None) -> None:
        self.status, self.reason, self.finished = status, reason, True
        self.run = None  # frees the model and the optimiser

    def record(self, pruned: bool) -> Record:
        """The trial's rows as of now; `pruned` where its search stopped it."""
        task = self.resident.shipment.tasks[self.trial.task.name]
        metrics, fitted = task.task.metrics, task.train.labels
        majority_select = None
        if self.status == "diverged":
            select = self.resident.draw(self.trial).select
            majority_select = majority_score(metrics, fitted, fitted[select])
        return make_record(
            trial=self.trial,
            study=self.resident.shipment.study,
            status="pruned" if pruned else self.status,
            reason="stopped by ASHA" if pruned else self.reason,
            task=task,
            progress=self.progress,
            measured=self.measured,
            majority=majority_score(metrics, fitted, task.score.labels),
            majority_select=majority_select,
            exclusive=self.resident.share.exclusive,
            device=meter.device_name(self.resident.device.type),
            started_at=self.started_at,
        )


def _one_line(error: BaseException) -> str:
    """Exception and innermost place in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}{where}"


@dataclass(frozen=True)
class Rung:
    """The members' mean `select` score at an evaluation (1-based index)."""

    index: int
    value: float


class PackRun:
    """Trains a pack's members in lockstep; `rate` is the stored calibration (steps/s) of a seconds budget."""

    def __init__(self, resident: Resident, pack: Pack, rate: float | None = None) -> None:
        self.members = [_Member(trial, resident, rate) for trial in pack.trials]
        self.metric = resident.shipment.tasks[pack.trials[0].task.name].task.metric
        self.index = 0

    def advance(self) -> Rung | None:
        """Train every member to its next evaluation; None once all have ended."""
        evaluations = [member.advance() for member in self.members]
        if all(member.finished for member in self.members):
            return None
        self.index += 1
        values = [evaluation.select.metrics[self.metric] for evaluation in evaluations if evaluation]
        return Rung(self.index, sum(values) / len(values) if values else math.nan)

    def records(self, pruned: bool = False) -> list[Record]:
        """Every member's rows as of now."""
        return [member.record(pruned and not member.finished) for member in self.members]


def calibrate(resident: Resident, trial: Trial) -> float:
    """Optimiser steps per second of this trial's shape on this machine, from a short run that leaves nothing behind."""
    member = _Member(trial, resident, rate=1.0)
    job, _ = member._job()
    return steps_per_second(job, CALIBRATION_STEPS)
