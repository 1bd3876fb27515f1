"""The training loop against Hugging Face Trainer, step by step: the same model, rows, batches and settings.

Dropout is off, since each draws its masks from streams of its own. Warm-up is off too: there Trainer's learning rate
runs one step behind ours (its first step trains with 0); after warm-up they are the same, as the last test shows.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finebench.bench.data.tokenize import collate, epoch_order
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.parts.training import Training
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.job import Job
from finebench.bench.training.loop import train
from finebench.bench.training.optimiser import learning_rate
from finebench.bench.training.worker.messages import Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun, WorkerCache
from tests.bench.tiny import tiny_prepared

STEPS = 12


def make_job(method: str, task: str, schedule: str, weight_decay: float) -> Job:
    """A job of STEPS steps on the embedded model, without dropout, in float64.

    Adam divides by small gradients: with float32's rounding in them two correct loops drift apart within a few steps.
    """
    ready = tiny_prepared(
        tasks=[task],
        methods={method: {"lr": 2e-3}},
        budget={"steps": STEPS},
        training={"evals": 1, "batch_size": 8, "warmup": 0, "schedule": schedule, "max_grad_norm": 0.5}
        | {"weight_decay": weight_decay},
    )
    cell = next(iter(ready.plan.cells()))
    trial = ready.plan.trial(cell, "grid", ready.plan.points(cell)[0], Seeds.paired(1), ready.known)
    cache = WorkerCache(Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0), Share())
    job, _ = PackRun(cache, Pack((trial,))).members[0].make_job()
    for module in job.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    job.model.double()
    return job


def batches_of(job: Job) -> list[dict[str, torch.Tensor]]:
    """The job's first STEPS batches, with labels."""
    lengths = job.fit.tokens.lengths[job.fit.rows]
    picked: list[np.ndarray] = []
    epoch = 0
    while len(picked) < STEPS:
        picked += [
            job.fit.rows[order] for order in epoch_order(lengths, job.training.batch_size, job.order_seed, epoch)
        ]
        epoch += 1
    dtype = torch.float64 if job.regression else torch.int64
    return [
        collate(job.fit.tokens, rows, job.pad_id) | {"labels": torch.as_tensor(job.fit.labels[rows], dtype=dtype)}
        for rows in picked[:STEPS]
    ]


def train_with_trainer(model: nn.Module, job: Job, folder: Path) -> tuple[list[float], nn.Module]:
    """Losses and the trained model, by Trainer on exactly the job's batches."""
    from transformers import Trainer, TrainingArguments

    class OnTheseBatches(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(batches_of(job), batch_size=None)  # type: ignore[arg-type]

    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        learning_rate=job.lr,
        weight_decay=job.training.weight_decay,
        lr_scheduler_type=job.training.schedule,
        max_grad_norm=job.training.max_grad_norm,
        warmup_steps=0,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = OnTheseBatches(model=model, args=settings, train_dataset=[{}])
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], trainer.model


@pytest.mark.parametrize(
    ("method", "weight_decay"),
    # Trainer tells norms by name, and so decays nothing below one, where our adapters stand
    [("full", 0.1), ("bitfit", 0.1), ("lora", 0.1), ("adapter", 0.0)],
)
@pytest.mark.parametrize(("task", "schedule"), [("mini-cola", "linear"), ("mini-stsb", "cosine")])
def test_every_step_is_that_of_hugging_face_trainer(
    method: str, weight_decay: float, task: str, schedule: str, tmp_path: Path
) -> None:
    """After STEPS steps of AdamW, decay, clipping and schedule, all weights agree to rounding."""
    job = make_job(method, task, schedule, weight_decay)
    before = {name: p.detach().clone() for name, p in job.model.named_parameters()}
    losses, trained = train_with_trainer(copy.deepcopy(job.model), job, tmp_path)
    assert len(losses) == STEPS
    list(train(job, Progress()))
    theirs = dict(trained.named_parameters())
    moved = 0.0
    for name, parameter in job.model.named_parameters():
        torch.testing.assert_close(
            parameter, theirs[name], rtol=1e-7, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}"
        )
        moved = max(moved, float((parameter - before[name]).detach().abs().max()))
    assert moved > 10 * 2e-3 / 4, "nothing was trained: the comparison would be empty"


def test_the_schedule_is_trainers_after_warm_up() -> None:
    """During warm-up ours is one step ahead: Trainer's first step has a learning rate of 0."""
    from transformers import get_linear_schedule_with_warmup

    steps, warm = 40, 8
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, warm, steps)
    theirs = []
    for _ in range(steps):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    ours = [learning_rate(step, steps, 1.0, Training(warmup=warm / steps)) for step in range(1, steps + 1)]
    assert theirs[0] == 0.0
    np.testing.assert_allclose(ours[: warm - 1], theirs[1:warm])
    np.testing.assert_allclose(ours[warm:], theirs[warm:])
