"""The training loop: a generator of evaluations that knows no Ray, no method and no task.

Each evaluation scores `select`; only where `select` has improved is the held-out `score` split evaluated too, after the
decision, so that no choice can see it. The chosen checkpoint is the one with the best `select` score; its predictions
on `score` are kept. Dropout masks follow from (dropout seed, step) alone (bench.models.dropout; what a model draws
itself is reseeded at every step from the same two), and batches from (order seed, step), so that a trial's random
streams do not depend on what else runs in the process and need no saved state: a run goes on from its trained tensors,
its optimiser and its progress alone (bench.training.checkpoint), bit by bit as it would have.
bench.training.packs.batched_loop trains several runs at once.
"""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from finebench.bench.data.tokenize import epoch_order
from finebench.bench.models.dropout import step_keys, stream
from finebench.bench.models.each_step import EARLY, calls_of
from finebench.bench.models.frozen_encoder import training_mode
from finebench.bench.training.evaluation import Evaluation, Progress
from finebench.bench.training.job import Diverged, Inputs, Job, Keeper, TimedOut
from finebench.bench.training.losses import parts, row_shares
from finebench.bench.training.optimiser import make_optimizer, rate_of, set_learning_rate
from finebench.bench.training.prediction import evaluate, evaluation_steps, logits_of, loss_of, synchronize

CHECK_EVERY = 50
"""Steps between looks at the loss on a GPU, where each look waits for the device."""


def train(
    job: Job, progress: Progress, optimizer: torch.optim.AdamW | None = None, keeper: Keeper | None = None
) -> Iterator[Evaluation]:
    """Train up to `job.steps` steps, yielding an evaluation at each evaluation point; `progress` is kept up to date.

    Goes on where `progress` stands: a run that is continued brings its model, its optimiser and its progress as they
    were after that step. Raises Diverged on a non-finite loss and TimedOut past `job.deadline` (seconds of
    time.monotonic()).
    """
    optimizer = optimizer or make_optimizer(job.model, job.lr, job.training.weight_decay, job.multipliers)
    if (calls := calls_of(job.model)) is not None:
        calls.begin(job.steps)
    points = set(evaluation_steps(job.steps, job.training.evals))
    first = progress.steps + 1
    coming = batches(job, progress.steps)
    trained = [p for p in job.model.parameters() if p.requires_grad]
    finite = torch.ones((), dtype=torch.bool, device=job.device)
    begin = time.perf_counter()
    for step in range(first, job.steps + 1):
        if step == first or (step - 1) in points:
            training_mode(job.model)
        rows = next(coming)
        loss = _step(job, optimizer, trained, rows, step)
        finite &= loss.isfinite()
        count(progress, job.fit.tokens, rows)
        keep = keeper is not None and step < job.steps and keeper.due()
        if job.device.type == "cpu" or step in points or keep or step % CHECK_EVERY == 0:
            failed = failure(job, step, bool(finite))
            if failed is not None:
                progress.train_seconds += time.perf_counter() - begin
                raise failed
        if step in points:
            synchronize(job.device)
            progress.train_seconds += time.perf_counter() - begin
            yield evaluate(job, progress, rate_of(job, step))
            begin = time.perf_counter()
        if keep and keeper is not None:
            progress.train_seconds += time.perf_counter() - begin
            keeper.save()
            begin = time.perf_counter()


def failure(job: Job, step: int, finite: bool) -> Diverged | TimedOut | None:
    """What ends a run after a step whose losses so far were all `finite` or not; all ranks of a run agree on it."""
    broke, late = not finite, time.monotonic() > job.deadline
    if job.parallel is not None:
        broke, late = job.parallel.ranks.any(broke, late)
    if broke:
        return Diverged(f"the loss is not finite at step {step}")
    if late:
        return TimedOut(f"the time limit ran out at step {step} of {job.steps}")
    return None


def steps_per_second(job: Job, steps: int, warm: int = 5) -> float:
    """Optimiser steps per second over `steps` steps after `warm` unmeasured ones; trains (and so spoils) the job's
    model."""
    optimizer = make_optimizer(job.model, job.lr, job.training.weight_decay, job.multipliers)
    trained = [p for p in job.model.parameters() if p.requires_grad]
    coming = batches(job)
    if (calls := calls_of(job.model)) is not None:
        calls.begin(EARLY)
    training_mode(job.model)
    begin = time.perf_counter()
    for step in range(1, warm + steps + 1):
        _step(job, optimizer, trained, next(coming), step)
        if step == warm:
            synchronize(job.device)
            begin = time.perf_counter()
    synchronize(job.device)
    return steps / (time.perf_counter() - begin)


def rehearse(job: Job, rows: np.ndarray, scored: np.ndarray) -> float:
    """Train the job's model one step on `rows` of train and predict `scored` rows of the score split, for the sake of
    what fails; returns the loss before the step."""
    if (calls := calls_of(job.model)) is not None:
        calls.begin(EARLY)
    training_mode(job.model)
    trained = [p for p in job.model.parameters() if p.requires_grad]
    optimizer = make_optimizer(job.model, job.lr, job.training.weight_decay, job.multipliers)
    loss = float(_step(job, optimizer, trained, rows, 1))
    job.model.eval()
    with torch.no_grad():
        logits_of(job, job.score.tokens, scored)
    return loss


def _step(job: Job, optimizer: torch.optim.AdamW, trained: list[nn.Parameter], rows: np.ndarray, step: int) -> Tensor:
    set_learning_rate(job, optimizer, step)
    _reseed(job.device, (job.dropout_seed + step * 0x9E3779B97F4A7C15) & (2**63 - 1))
    keys = torch.from_numpy(step_keys([job.dropout_seed], [step])[0]).to(job.device, non_blocking=True)
    labels, loss = job.fit.labels[rows], torch.zeros((), device=job.device)
    shares, calls, ranked = row_shares(labels, job.class_weights), calls_of(job.model), job.parallel
    divided = parts(len(rows), job.training.micro_batch, *((ranked.ranks.rank, ranked.ranks.number) if ranked else ()))
    for index, (part, counts) in enumerate(divided):
        with ranked.adding(last=index == len(divided) - 1) if ranked else nullcontext():
            with stream(keys, part.start, part.stop - part.start):
                logits = logits_of(job, job.fit.tokens, rows[part], among=rows if ranked else None)
            share = loss_of(job, logits, labels[part], job.class_weights)
            if part.stop - part.start < len(rows):
                share = share * float(shares[part].sum())
            if calls is not None and part.stop == len(rows) and (term := calls.penalty()) is not None:
                share = share + term
            if ranked is not None:
                share = share * (ranked.scale * counts)
            share.backward()  # type: ignore[no-untyped-call]
        loss = loss + share.detach()
    if calls is not None:
        calls.before()
    nn.utils.clip_grad_norm_(trained, job.training.max_grad_norm)
    optimizer.step()
    if calls is not None:
        calls.after(step)
    optimizer.zero_grad(set_to_none=True)
    return loss


def _reseed(device: torch.device, seed: int) -> None:
    """Seed the device's own random stream. torch.manual_seed also queues a call, with a stack trace, for an absent
    GPU."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def batches(job: Job, done: int = 0) -> Iterator[np.ndarray]:
    """Rows of each batch, epoch after epoch, from the one after the first `done`."""
    lengths = job.fit.tokens.lengths[job.fit.rows]
    epoch, skip = divmod(done, math.ceil(len(lengths) / job.training.batch_size))
    while True:
        for order in epoch_order(lengths, job.training.batch_size, job.order_seed, epoch)[skip:]:
            yield job.fit.rows[order]
        epoch, skip = epoch + 1, 0


def count(progress: Progress, tokens: Inputs, rows: np.ndarray) -> None:
    """Add a step on these rows to what a run has come to."""
    lengths = tokens.lengths[rows].astype(np.int64)
    progress.steps += 1
    progress.examples += len(rows)
    progress.tokens += int(lengths.sum())
    progress.squares += int((lengths * lengths).sum())
