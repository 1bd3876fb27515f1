"""From a trial to the job that trains it: model, rows, steps, FLOPs; what is frozen is fingerprinted."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from finebench.bench.data.splits import Draw
from finebench.bench.data.task_data import TaskData
from finebench.bench.data.tokenize import Tokens
from finebench.bench.methods import Method, longest_input, method
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.each_step import calls_of
from finebench.bench.models.freeze_check import FreezeAudit
from finebench.bench.models.frozen_encoder import Apart, split
from finebench.bench.models.gradient_checkpointing import recompute
from finebench.bench.models.parameters import trainable_counts, trained_tensors
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.build_model import build
from finebench.bench.training.job import Examples, Job
from finebench.bench.training.linear_probe import on_features
from finebench.bench.training.losses import class_weights
from finebench.bench.training.measured import Measured
from finebench.bench.training.optimiser import multipliers_of
from finebench.bench.training.packs.stacked_model import share_frozen
from finebench.bench.training.prediction import on_device
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util.errors import MethodError

if TYPE_CHECKING:
    from finebench.bench.training.ranks.group import Ranks


def make_job(
    trial: Trial,
    cache: WorkerCache,
    rate: float | None,
    measured: Measured,
    sharing: nn.Module | None = None,
    tried: Callable[[], None] = lambda: None,
    ranks: "Ranks | None" = None,
) -> tuple[Job, FreezeAudit]:
    """Build a trial's model and its data; what is counted on the way is put into `measured`.

    `rate`: steps per second of a seconds budget. Frozen tensors are those of `sharing` where they are equal. `tried` is
    called after passes that find out how such a model runs here: those are no cost of this trial's, since others of its
    kind are spared them. `ranks`: those on which the trial is trained, where it is on several.
    """
    task = cache.shipment.tasks[trial.task.name]
    backbone = cache.backbone(task)
    tuned: Method = method(trial.method)(**trial.hyperparameters)
    rows = cache.draw(trial)
    measured.n_fit, measured.n_select = len(rows.fit), len(rows.select)
    model = build(backbone, tuned, trial.seeds.stream("init"))
    in_shards = ranks is not None and trial.shard == "full"  # which may be too large for a device
    model = model if in_shards else model.to(cache.device)
    audit = FreezeAudit(model)
    encoder, head, total = trainable_counts(model, backbone.head_names)
    measured.trainable_params, measured.head_params = encoder + head, head
    measured.total_params = total
    measured.delta_bytes = sum(4 * tensor.numel() for tensor in trained_tensors(model).values())
    if trial.shard == "full" and calls_of(model) is not None:
        raise MethodError(f"{tuned.name} looks at whole parameters at every step: resources.shard: full has none")
    if ranks is not None and in_shards:
        from finebench.bench.training.ranks.parallel import shard

        shard(model, ranks, cache.device)
    if sharing is not None:
        share_frozen(sharing, model)
    longest = longest_input(trial.training.max_length, tuned, cache.architecture)
    train_tokens = cache.tokens(task, "train", longest)
    if cache.fit_to_device(model, trial, train_tokens, rows.fit, backbone.pad_id):
        tried()
    score_tokens = cache.tokens(task, "score", longest)
    flops = _flops(trial, cache, tuned, model, task, train_tokens, rows)
    measured.flops = flops
    job = Job(
        model=model,
        fit=Examples(train_tokens, task.train.labels, rows.fit),
        select=Examples(train_tokens, task.train.labels, rows.select),
        score=Examples(score_tokens, task.score.labels, np.arange(len(task.score.labels))),
        regression=task.task.kind == "regression",
        metrics=task.task.metrics,
        steps=_steps(trial, rate, train_tokens, rows, flops),
        lr=tuned.lr,
        training=trial.training,
        order_seed=trial.seeds.stream("order"),
        dropout_seed=trial.seeds.stream("dropout"),
        pad_id=backbone.pad_id,
        device=cache.device,
        flops=flops,
        class_weights=class_weights(trial.training, task.train.labels[rows.fit], task.num_labels),
        keep_best=cache.shipment.keep != "none",
        multipliers=multipliers_of(tuned, model),
    )
    if trial.training.checkpointing and split(model) is None:
        recompute(model, on_device(train_tokens.batch(rows.fit[:2], backbone.pad_id), cache.device))
    return job, audit


def on_stored_features(trial: Trial, cache: WorkerCache, job: Job, audit: FreezeAudit) -> tuple[Job, Apart | None]:
    """The job on cached features, where only its head is trained, and the encoder to put back afterwards."""
    apart = split(job.model)
    if apart is None:
        return job, None
    tuned = method(trial.method)(**trial.hyperparameters)
    longest = longest_input(job.training.max_length, tuned, cache.architecture)
    shape = json.dumps(tuned.model_dump(exclude={"lr"}), sort_keys=True)
    cut = (longest, job.training.precision, job.training.batch_size)
    key = (trial.task.name, cut, trial.method, shape, audit.digest(), apart.pooling)
    return on_features(job, apart, cache.features, key), apart


def _flops(
    trial: Trial, cache: WorkerCache, tuned: Method, model: nn.Module, task: TaskData, tokens: Tokens, rows: Draw
) -> method_cost.Flops:
    """FLOPs of a trial's training."""
    shape = (tuned, cache.architecture, task.num_labels, trial.training.batch_size)
    if split(model) is None:
        return method_cost.train_flops(*shape)
    found = method_cost.head_flops(*shape)
    if found is None:
        raise RuntimeError(f"{tuned.name} trains the head alone, yet its cost says otherwise")
    lengths = tokens.lengths[rows.fit].astype(np.int64)
    return found.training(int(lengths.sum()), int((lengths**2).sum()), len(lengths))


def _steps(trial: Trial, rate: float | None, tokens: Tokens, rows: Draw, flops: method_cost.Flops) -> int:
    lengths = tokens.lengths[rows.fit].astype(np.int64)
    size = trial.training.batch_size
    per_step = flops.of_step(int(lengths.mean() * size), int((lengths**2).mean() * size), size)
    return trial.budget.to_steps(
        len(rows.fit), size, steps_per_second=rate or 0.0, flops_per_step=per_step, flops_before=flops.once
    )
