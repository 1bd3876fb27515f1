"""The training loop: a generator of evaluations that knows no Ray, no method and no task.

Each evaluation scores `select`; only where `select` has improved is the held-out `score` split evaluated too, after the
decision, so that no choice can see it. The chosen checkpoint is the one with the best `select` score; its predictions
on `score` are kept. Dropout masks follow from (dropout seed, step) alone (bench.dropout; what a model draws itself is
reseeded at every step from the same two), and batches from (order seed, step), so that a trial's random streams do not
depend on what else runs in the process and need no saved state: a run goes on from its trained tensors, its optimiser
and its progress alone (bench.checkpoint), bit by bit as it would have. bench.lockstep trains several runs at once.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bench.data import epoch_order, eval_batches
from bench.dropout import step_keys, stream
from bench.errors import FinebenchError
from bench.evaluation import Evaluation, Predictions, Progress
from bench.frozen import training_mode
from bench.losses import mean_loss, parts, row_shares
from bench.metrics import compute
from bench.parts import trained_tensors
from bench.study import Training

CHECK_EVERY = 50
"""Steps between looks at the loss on a GPU, where each look waits for the device."""


class Diverged(FinebenchError):
    """The loss is no longer finite."""


class TimedOut(FinebenchError):
    """The trial has used up its time."""


class Inputs(Protocol):
    """What a split's rows are to the model: token ids (bench.data) or features of a frozen encoder (bench.features)."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row."""

    def batch(self, rows: np.ndarray, pad_id: int) -> dict[str, Tensor]:
        """What the model is called with for these rows."""


@dataclass(frozen=True)
class Examples:
    """Rows of one split. `rows` index both `tokens` and `labels`; labels are int64 classes or float64."""

    tokens: Inputs
    labels: np.ndarray
    rows: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """Labels of the rows, in their order: shape [len(rows)]."""
        return np.asarray(self.labels[self.rows])


class Keeper(Protocol):
    """Writes a run's state down between two steps, now and then."""

    def due(self) -> bool:
        """Whether it is time; asked at every step, so that it has to be quick."""

    def save(self) -> None:
        """Write the state as it is; may raise to end the run."""


@dataclass(frozen=True)
class Job:
    """Everything one training run needs; the model is on its device with requires_grad set."""

    model: nn.Module
    fit: Examples
    select: Examples
    score: Examples
    regression: bool
    metrics: tuple[str, ...]
    steps: int
    lr: float
    training: Training
    order_seed: int
    dropout_seed: int
    pad_id: int
    device: torch.device
    flops: Callable[[int, int, int], float]
    class_weights: np.ndarray | None = None
    deadline: float = math.inf
    keep_best: bool = False


def evaluation_steps(steps: int, evals: int) -> list[int]:
    """The steps after which to evaluate: `evals` of them, evenly spaced, the last one always.

    >>> evaluation_steps(10, 4)
    [3, 5, 8, 10]
    """
    return sorted({math.ceil(steps * k / evals) for k in range(1, evals + 1)})


def learning_rate(step: int, steps: int, peak: float, training: Training) -> float:
    """Learning rate of optimiser step `step` (1-based): linear warm-up to `peak`, then the schedule."""
    warm = round(training.warmup * steps)
    if step <= warm:
        return peak * step / warm
    done = (step - warm - 1) / max(1, steps - warm)
    if training.schedule == "constant":
        return peak
    if training.schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    return peak * (1 - done)


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over what is trained, fused, with decay on weight matrices alone.

    Each parameter stands there once, however many modules share it: one that stood twice would be moved twice a step.
    """
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    seen = set[nn.Parameter]()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                (matrices if _decays(module, name, parameter) else vectors).append(parameter)
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, fused=True)


def _decays(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is decayed: biases and norms are not, nor scales that are stored as one row or column (IA3's,
    whose neutral value is 1). A linear layer's weight is, also where it has a single row (a regression head, rank 1).
    """
    linear = isinstance(module, nn.Linear) and name == "weight"
    return parameter.ndim >= 2 and (linear or min(parameter.shape) > 1)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bf16 autocast where asked for; float32 otherwise. What `auto` stands for is decided before a trial has an id."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def train(
    job: Job, progress: Progress, optimizer: torch.optim.AdamW | None = None, keeper: Keeper | None = None
) -> Iterator[Evaluation]:
    """Train up to `job.steps` steps, yielding an evaluation at each evaluation point; `progress` is kept up to date.

    Goes on where `progress` stands: a run that is continued brings its model, its optimiser and its progress as they
    were after that step. Raises Diverged on a non-finite loss and TimedOut past `job.deadline` (seconds of
    time.monotonic()).
    """
    optimizer = optimizer or make_optimizer(job.model, job.lr, job.training.weight_decay)
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
            yield evaluate(job, progress, optimizer.param_groups[0]["lr"])
            begin = time.perf_counter()
        if keep and keeper is not None:
            progress.train_seconds += time.perf_counter() - begin
            keeper.save()
            begin = time.perf_counter()


def failure(job: Job, step: int, finite: bool) -> Diverged | TimedOut | None:
    """What ends a run after a step whose losses so far were all `finite` or not."""
    if not finite:
        return Diverged(f"the loss is not finite at step {step}")
    if time.monotonic() > job.deadline:
        return TimedOut(f"the time limit ran out at step {step} of {job.steps}")
    return None


def steps_per_second(job: Job, steps: int, warm: int = 5) -> float:
    """Optimiser steps per second over `steps` steps after `warm` unmeasured ones; trains (and so spoils) the job's
    model."""
    optimizer = make_optimizer(job.model, job.lr, job.training.weight_decay)
    trained = [p for p in job.model.parameters() if p.requires_grad]
    coming = batches(job)
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
    training_mode(job.model)
    trained = [p for p in job.model.parameters() if p.requires_grad]
    optimizer = make_optimizer(job.model, job.lr, job.training.weight_decay)
    loss = float(_step(job, optimizer, trained, rows, 1))
    job.model.eval()
    with torch.no_grad():
        _logits(job, job.score.tokens, scored)
    return loss


def _step(job: Job, optimizer: torch.optim.AdamW, trained: list[nn.Parameter], rows: np.ndarray, step: int) -> Tensor:
    set_learning_rate(job, optimizer, step)
    _reseed(job.device, (job.dropout_seed + step * 0x9E3779B97F4A7C15) & (2**63 - 1))
    keys = torch.from_numpy(step_keys([job.dropout_seed], [step])[0]).to(job.device, non_blocking=True)
    labels, loss = job.fit.labels[rows], torch.zeros((), device=job.device)
    shares = row_shares(labels, job.class_weights)
    for part in parts(rows, job.training.micro_batch):
        with stream(keys, part.start, part.stop - part.start):
            logits = _logits(job, job.fit.tokens, rows[part])
        share = _loss(job, logits, labels[part], job.class_weights)
        if part.stop - part.start < len(rows):
            share = share * float(shares[part].sum())
        share.backward()  # type: ignore[no-untyped-call]
        loss = loss + share.detach()
    nn.utils.clip_grad_norm_(trained, job.training.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def set_learning_rate(job: Job, optimizer: torch.optim.AdamW, step: int) -> float:
    """Tell the optimiser the learning rate of a step; returns it."""
    lr = learning_rate(step, job.steps, job.lr, job.training)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


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


def on_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on the device; to a GPU from pinned memory, since only such a copy does not wait."""
    if device.type == "cuda":
        batch = {key: value.pin_memory() for key, value in batch.items()}
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}


def _logits(job: Job, tokens: Inputs, rows: np.ndarray) -> Tensor:
    inputs = on_device(tokens.batch(rows, job.pad_id), job.device)
    with autocast(job.device, job.training.precision):
        logits: Tensor = job.model(**inputs).logits
    return logits if logits.dtype == torch.float64 else logits.float()


def _loss(job: Job, logits: Tensor, labels: np.ndarray, weights: np.ndarray | None = None) -> Tensor:
    target = on_device({"labels": torch.from_numpy(np.ascontiguousarray(labels))}, job.device)["labels"]
    return mean_loss(logits, target, job.regression, weights)


def count(progress: Progress, tokens: Inputs, rows: np.ndarray) -> None:
    """Add a step on these rows to what a run has come to."""
    lengths = tokens.lengths[rows].astype(np.int64)
    progress.steps += 1
    progress.examples += len(rows)
    progress.tokens += int(lengths.sum())
    progress.squares += int((lengths * lengths).sum())


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def evaluate(job: Job, progress: Progress, lr: float) -> Evaluation:
    """Score `select`; decide; only then look at `score` (where `select` improved, and at the last step)."""
    begin = time.perf_counter()
    job.model.eval()
    select = predict(job, job.select)
    if not math.isfinite(select.loss):  # the last step's update can break a model whose every training loss was finite
        raise Diverged(f"the loss on `select` is not finite at step {progress.steps}")
    value, best = select.metrics[job.metrics[0]], progress.best
    improved = best is None or value > best.select.metrics[job.metrics[0]]
    due = improved or progress.steps == job.steps
    evaluation = Evaluation(
        step=progress.steps,
        examples=progress.examples,
        train_seconds=progress.train_seconds,
        train_flops=job.flops(progress.tokens, progress.squares, progress.examples),
        lr=lr,
        improved=improved,
        select=select,
        score=predict(job, job.score) if due else None,
    )
    if improved:
        progress.best = evaluation
        if job.keep_best:
            progress.best_tensors = {name: t.cpu().clone() for name, t in trained_tensors(job.model).items()}
    progress.evaluations.append(evaluation)
    progress.eval_seconds += time.perf_counter() - begin
    return evaluation


@torch.no_grad()
def predict(job: Job, examples: Examples) -> Predictions:
    """Predict a split without dropout and score it by the task's metrics."""
    outputs: list[Tensor] = []
    order: list[np.ndarray] = []
    total = torch.zeros((), device=job.device)
    for picked in eval_batches(examples.tokens.lengths[examples.rows], 2 * job.training.batch_size):
        rows = examples.rows[picked]
        logits = _logits(job, examples.tokens, rows)
        total += _loss(job, logits, examples.labels[rows]) * len(rows)
        outputs.append(logits)
        order.append(picked)
    logits = torch.cat(outputs)
    inverse = np.argsort(np.concatenate(order), kind="stable")
    values, probability = _read(logits, job.regression)
    values = values[inverse]
    probability = None if probability is None else probability[inverse]
    loss = float(total) / len(examples.rows)
    return Predictions(values, probability, loss, compute(job.metrics, examples.targets, values))


def _read(logits: Tensor, regression: bool) -> tuple[np.ndarray, np.ndarray | None]:
    if regression:
        return logits.squeeze(-1).double().cpu().numpy(), None
    probability = logits.double().softmax(-1)
    return probability.max(-1).indices.cpu().numpy(), probability.float().cpu().numpy()
