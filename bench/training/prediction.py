"""What a run's model says of rows: logits, their loss, the predictions of a split, an evaluation of both splits.

An evaluation scores `select`; only where that has improved is the held-out `score` split looked at, after the decision.
"""

import math
import time
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from finebench.bench.data.tokenize import eval_batches
from finebench.bench.metrics import compute
from finebench.bench.models.parameters import trained_tensors, whole
from finebench.bench.training.evaluation import Evaluation, Predictions, Progress
from finebench.bench.training.job import Diverged, Examples, Inputs, Job
from finebench.bench.training.losses import mean_loss


def evaluation_steps(steps: int, evals: int) -> list[int]:
    """The steps after which to evaluate: `evals` of them, evenly spaced, the last one always.

    >>> evaluation_steps(10, 4)
    [3, 5, 8, 10]
    """
    return sorted({math.ceil(steps * k / evals) for k in range(1, evals + 1)})


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
            progress.best_tensors = {name: whole(t).cpu().clone() for name, t in trained_tensors(job.model).items()}
    progress.evaluations.append(evaluation)
    progress.eval_seconds += time.perf_counter() - begin
    return evaluation


@torch.no_grad()
def predict(job: Job, examples: Examples) -> Predictions:
    """Predict a split without dropout and score it by the task's metrics; ranks take whole batches in turn, so that
    each is computed as by one rank."""
    total = torch.zeros((), device=job.device)
    order = eval_batches(examples.tokens.lengths[examples.rows], 2 * job.training.batch_size)

    def of_batch(picked: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = examples.rows[picked]
        logits = logits_of(job, examples.tokens, rows)
        return logits, loss_of(job, logits, examples.labels[rows]) * len(rows)

    each = map(of_batch, order) if job.parallel is None else job.parallel.in_turn(order, of_batch, job.device)
    outputs: list[Tensor] = []
    for logits, loss in each:
        total += loss
        outputs.append(logits)
    logits = torch.cat(outputs)
    inverse = np.argsort(np.concatenate(order), kind="stable")
    values, probability = _read(logits, job.regression)
    values = values[inverse]
    probability = None if probability is None else probability[inverse]
    mean = float(total) / len(examples.rows)
    return Predictions(values, probability, mean, compute(job.metrics, examples.targets, values, probability))


def _read(logits: Tensor, regression: bool) -> tuple[np.ndarray, np.ndarray | None]:
    if regression:
        return logits.squeeze(-1).double().cpu().numpy(), None
    probability = logits.double().softmax(-1)
    return probability.max(-1).indices.cpu().numpy(), probability.float().cpu().numpy()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bf16 autocast where asked for; float32 otherwise. What `auto` stands for is decided before a trial has an id."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def on_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on the device; to a GPU from pinned memory, since only such a copy does not wait."""
    if device.type == "cuda":
        batch = {key: value.pin_memory() for key, value in batch.items()}
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}


def logits_of(job: Job, tokens: Inputs, rows: np.ndarray, among: np.ndarray | None = None) -> Tensor:
    """The model's logits for rows, in the trial's precision: float32 (or float64) [B, outputs]. In a training step on
    several ranks they are a part of the rows `among` which a batch is divided."""
    module = job.model if job.parallel is None or among is None else job.parallel.module
    inputs = on_device(tokens.batch(rows, job.pad_id, among), job.device)
    with autocast(job.device, job.training.precision):
        logits: Tensor = module(**inputs).logits
    return logits if logits.dtype == torch.float64 else logits.float()


def loss_of(job: Job, logits: Tensor, labels: np.ndarray, weights: np.ndarray | None = None) -> Tensor:
    """The mean loss of logits [B, outputs] for labels [B], with `weights` by class; a scalar."""
    target = on_device({"labels": torch.from_numpy(np.ascontiguousarray(labels))}, job.device)["labels"]
    return mean_loss(logits, target, job.regression, weights)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
