"""Trains the runs of a pack together, step by step, each as bench.training.loop.train would train it alone.

Members may differ in learning rate, seeds, data order, rows and number of steps; one that ends, fails or is stopped
leaves, and the others go on. Every member keeps its own batches: a shorter one is padded to the pack's longest, a
smaller one filled up with copies of its first row that no loss counts. Only the last one left trains alone.

A GPU is waited for where solo training waits: every CHECK_EVERY steps of a member, at its evaluations and checkpoints.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from finebench.bench.data.tokenize import Tokens
from finebench.bench.models.dropout import step_keys
from finebench.bench.models.each_step import calls_of
from finebench.bench.models.frozen_encoder import training_mode
from finebench.bench.training.evaluation import Evaluation, Progress
from finebench.bench.training.job import Job, Keeper
from finebench.bench.training.loop import CHECK_EVERY, batches, count, failure, train
from finebench.bench.training.losses import row_shares
from finebench.bench.training.optimiser import rate_of, set_learning_rate
from finebench.bench.training.packs.stacked_model import Stack, cannot_pack, mismatch
from finebench.bench.training.prediction import autocast, evaluate, evaluation_steps, on_device, synchronize
from finebench.bench.util.errors import FinebenchError

Event = Evaluation | FinebenchError | None
"""What happened to a member: an evaluation, what ended it, or None at its planned end."""


@dataclass(eq=False)
class Lane:
    """One member: what bench.training.loop.train takes, and its way through its batches."""

    job: Job
    progress: Progress
    optimizer: torch.optim.AdamW
    keeper: Keeper | None = None
    points: set[int] = field(init=False)
    coming: Iterator[np.ndarray] = field(init=False)
    rows: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.points = set(evaluation_steps(self.job.steps, self.job.training.evals))
        self.coming = batches(self.job, self.progress.steps)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.progress.steps >= self.job.steps


def obstacle(jobs: list[Job]) -> str | None:
    """Why these runs cannot be trained together, or None."""
    first = jobs[0]
    if not isinstance(first.fit.tokens, Tokens):
        return "their encoder is frozen, and each trains its head on stored features"
    if first.training.micro_batch is not None or first.training.checkpointing:
        return "micro_batch and checkpointing are for a model that needs the memory to itself"
    if calls_of(first.model) is not None:
        return "their tuner adds to the loss, or is called at every step"
    for job in jobs[1:]:
        if (job.training, job.regression, job.device) != (first.training, first.regression, first.device):
            return "the members' training options differ"
        if job.fit.tokens is not first.fit.tokens or job.fit.labels is not first.fit.labels:
            return "the members' tokens differ"
        if job.multipliers != first.multipliers:
            return "the members' parameter groups differ"
    found = mismatch([job.model for job in jobs])
    precision = first.training.precision
    return found or cannot_pack(first.model, first.fit.tokens, _extremes(jobs), first.pad_id, precision)


def _extremes(jobs: list[Job]) -> np.ndarray:
    """The shortest and the longest row of all jobs': what padding there is stands beside the one that needs it."""
    rows = np.concatenate([job.fit.rows for job in jobs])
    lengths = jobs[0].fit.tokens.lengths[rows]
    return rows[[lengths.argmin(), lengths.argmax()]]


def train_together(lanes: list[Lane]) -> Iterator[tuple[Lane, Event]]:
    """Train every lane to its end, yielding what happens to each as it happens; empties `lanes`."""
    for lane in lanes:
        if lane.finished:
            yield lane, None
    active = [lane for lane in lanes if not lane.finished]
    lanes.clear()  # whoever leaves has to be freed: its tensors are views of buffers as large as all of the pack's
    while len(active) > 1:
        gone: list[Lane] = []
        for lane, event in _until_one_leaves(active):
            yield lane, event
            if not isinstance(event, Evaluation):
                gone.append(lane)
        active = [lane for lane in active if lane not in gone]
        gone.clear()
        del lane, event
    for lane in active:
        yield from _alone(lane)


def _alone(lane: Lane) -> Iterator[tuple[Lane, Event]]:
    """The last member's remaining steps, by the solo loop; its tensors leave the pack's buffers."""
    Stack([lane.job.model], [lane.optimizer])
    try:
        for evaluation in train(lane.job, lane.progress, lane.optimizer, lane.keeper):
            yield lane, evaluation
    except FinebenchError as error:
        yield lane, error
    else:
        yield lane, None


def _until_one_leaves(lanes: list[Lane]) -> Iterator[tuple[Lane, Event]]:
    """Steps of all lanes together, up to and including the first one after which some lane ends."""
    stack = Stack([lane.job.model for lane in lanes], [lane.optimizer for lane in lanes])
    device = lanes[0].job.device
    finite = torch.ones(len(lanes), dtype=torch.bool, device=device)
    most = torch.tensor([lane.job.training.max_grad_norm for lane in lanes], dtype=stack.flat.dtype, device=device)
    for lane in lanes:
        training_mode(lane.job.model)
    begin, left = time.perf_counter(), False
    while not left:
        losses = _step(stack, lanes, most)
        finite &= losses.isfinite()
        for lane in lanes:
            count(lane.progress, lane.job.fit.tokens, lane.rows)
        keeping = [lane.keeper is not None and not lane.finished and lane.keeper.due() for lane in lanes]
        looked = [keep or _looks(lane) for lane, keep in zip(lanes, keeping, strict=True)]
        if not any(looked):
            continue
        so_far = finite.tolist()
        elapsed = time.perf_counter() - begin
        for lane in lanes:
            lane.progress.train_seconds += elapsed
        for lane, look, keep, fine in zip(lanes, looked, keeping, so_far, strict=True):
            for event in _look(lane, keep, fine) if look else ():
                yield lane, event
                left = left or not isinstance(event, Evaluation)
        begin = time.perf_counter()


def _looks(lane: Lane) -> bool:
    """Whether solo training would look at this step's loss."""
    step = lane.progress.steps
    return lane.job.device.type == "cpu" or step in lane.points or step % CHECK_EVERY == 0


def _look(lane: Lane, keep: bool, finite: bool) -> Iterator[Event]:
    """What solo training does after a step: fail, evaluate, write a checkpoint, end."""
    job, step = lane.job, lane.progress.steps
    failed = failure(job, step, finite)
    if failed is not None:
        yield failed
        return
    try:
        if step in lane.points:
            synchronize(job.device)
            yield evaluate(job, lane.progress, rate_of(job, step))
            training_mode(job.model)
        if keep and lane.keeper is not None:
            lane.keeper.save()
    except FinebenchError as error:
        yield error
        return
    if lane.finished:
        yield None


def _step(stack: Stack, lanes: list[Lane], most: Tensor) -> Tensor:
    """One optimiser step of every lane; returns their losses [K]."""
    first = lanes[0].job
    steps = [lane.progress.steps + 1 for lane in lanes]
    rates = [set_learning_rate(lane.job, lane.optimizer, step) for lane, step in zip(lanes, steps, strict=True)]
    for lane in lanes:
        lane.rows = next(lane.coming)
    tallest = max(len(lane.rows) for lane in lanes)
    filled = [np.concatenate([lane.rows, np.repeat(lane.rows[:1], tallest - len(lane.rows))]) for lane in lanes]
    rows = np.concatenate(filled)
    batch = on_device(first.fit.tokens.batch(rows, first.pad_id), first.device)
    inputs = {name: tensor.unflatten(0, (len(lanes), tallest)) for name, tensor in batch.items()}
    keys = step_keys([lane.job.dropout_seed for lane in lanes], steps, stack.calls)
    with autocast(first.device, first.training.precision):
        logits = stack.logits(inputs, keys)
    weights = np.stack([np.pad(_shares(lane), (0, tallest - len(lane.rows))) for lane in lanes])
    losses = _losses(first, logits, first.fit.labels[rows], weights)
    stack.update(losses, most, rates)
    return losses.detach()


def _shares(lane: Lane) -> np.ndarray:
    """What each row of a member's batch counts in its loss."""
    return row_shares(lane.job.fit.labels[lane.rows], lane.job.class_weights)


def _losses(job: Job, logits: Tensor, labels: np.ndarray, weights: np.ndarray) -> Tensor:
    """Each member's mean over its own rows: logits [K, B, outputs], labels [K · B], the rows' weights [K, B] -> [K]."""
    target = torch.from_numpy(np.ascontiguousarray(labels)).to(job.device, non_blocking=True)
    shares = torch.from_numpy(weights).to(logits.dtype).to(job.device, non_blocking=True)
    if job.regression:
        each = (logits.squeeze(-1) - target.to(logits.dtype).unflatten(0, shares.shape)).square()
    else:
        each = cross_entropy(logits.flatten(0, 1), target, reduction="none").unflatten(0, shares.shape)
    # a filled-up row may have any value, were it infinite: 0 · inf would spoil its member's loss
    return torch.where(shares > 0, each * shares, 0).sum(1)
