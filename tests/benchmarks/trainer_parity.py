"""Does finebench's loop score as Hugging Face Trainer does, on the same rows and settings?

    python -m tests.benchmarks.trainer_parity --model FOLDER --data GLUE_FOLDER [--tasks mrpc stsb] [--seeds 5] [--steps
    200]
    python -m tests.benchmarks.trainer_parity --study docs/studies/embedded/study.yaml --results
    docs/studies/embedded/results [--cells 10] [--seeds 8]

Trains each cell with both, on the same drawn rows, steps, batch size, schedule, weight decay and clipping, with the
seeds 1..N, and prints the last step's score as mean ± standard deviation over seeds. With --results finebench's scores
are those of a study's fresh seeds, which are there, at the learning rates that it chose. Data order, head
initialisation and dropout masks differ between the two by design, so they agree within seed noise, not bit for bit.
Needs `accelerate`.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from scipy import stats
from statsmodels.stats.multitest import multipletests

from finebench.bench.driver.validate import Prepared, prepare
from finebench.bench.methods import method
from finebench.bench.metrics import compute
from finebench.bench.models.load import load_backbone
from finebench.bench.study.load import build_study, load_study
from finebench.bench.study.parts.seeds import Seeds, from_code
from finebench.bench.study.plan import Cell
from finebench.bench.study.precision import gpus_here, resolve
from finebench.bench.study.schema import Study
from finebench.bench.study.selection import Scored, by_configuration, select
from finebench.bench.training.build_model import build
from finebench.bench.training.worker.messages import Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.benchmarks.unkeyed import unkeyed


def make_study(arguments: argparse.Namespace) -> Study:
    """The cells to compare."""
    raw = {
        "name": "parity",
        "model": arguments.model,
        "tasks": arguments.tasks,
        "methods": {"full": {"lr": 5e-5}, "bitfit": {"lr": 1e-3}},
        "fractions": [arguments.fraction],
        "seeds": arguments.seeds,
        "budget": {"steps": arguments.steps},
        "training": {"evals": 1},
    }
    return build_study(raw, "parity", Path("."))


def ours(cache: WorkerCache, trial: Any) -> float:
    """Score at the last step, by finebench."""
    row = PackRun(cache, Pack((trial,))).finish()[0].trial
    if row["status"] != "ok":
        raise RuntimeError(f"{row['status']}: {row['reason']}")
    return float(row["score_last"])


def theirs(cache: WorkerCache, trial: Any) -> float:
    """Score at the last step, by Hugging Face Trainer on the same rows and settings."""
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments

    task = cache.shipment.tasks[trial.task.name]
    regression = task.task.kind == "regression"
    backbone = load_backbone(cache.folder, task.num_labels, regression)
    seed = trial.seeds.init
    model = unkeyed(build(backbone, method(trial.method)(**trial.hyperparameters), seed))
    tokenizer = AutoTokenizer.from_pretrained(cache.folder)
    options = trial.training

    def rows(split: Any, chosen: np.ndarray) -> list[dict[str, Any]]:
        texts = [[column[i] for column in split.texts] for i in chosen]
        encoded = [tokenizer(*text, truncation=True, max_length=options.max_length) for text in texts]
        kind = float if regression else int
        return [dict(e) | {"labels": kind(split.labels[i])} for e, i in zip(encoded, chosen, strict=True)]

    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            output_dir=scratch,
            max_steps=trial.budget.steps,
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=64,
            learning_rate=trial.hyperparameters["lr"],
            weight_decay=options.weight_decay,
            warmup_steps=round(options.warmup * trial.budget.steps),
            lr_scheduler_type="linear",
            bf16=options.precision == "bf16",
            max_grad_norm=options.max_grad_norm,
            seed=seed,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
        )
        trainer = Trainer(
            model=model,
            args=settings,
            train_dataset=rows(task.train, cache.draw(trial).fit),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        output = trainer.predict(rows(task.score, np.arange(len(task.score.labels)))).predictions
    predicted = output.squeeze(-1).astype(float) if regression else output.argmax(-1)
    return compute(task.task.metrics, task.score.labels, predicted)[task.task.metric]


Scores = tuple[str, str, np.ndarray, np.ndarray]
"""Of a cell: its name, method, and finebench's and Trainer's scores."""


def trained(arguments: argparse.Namespace) -> Iterator[Scores]:
    """Cells that are trained with both now."""
    study = make_study(arguments)
    ready = prepare(study, arguments.data, resolve(study, lambda: [gpus_here()]).precision)
    cache = made_for(ready)
    for cell in ready.plan.cells():
        point = ready.plan.points(cell)[0]
        trials = [
            ready.plan.trial(cell, "grid", point, Seeds.paired(k), ready.known) for k in range(1, arguments.seeds + 1)
        ]
        a, b = [np.array([run(cache, trial) for trial in trials]) for run in (ours, theirs)]
        yield cell.task, cell.method, a, b


def stored(arguments: argparse.Namespace) -> Iterator[Scores]:
    """Cells of a study that has run, evenly spread over all; one of a method under another name is not asked twice."""
    changes = [] if arguments.model is None else [f"model={arguments.model}"]
    study = load_study(str(arguments.study), changes)
    ready = prepare(study, arguments.data, resolve(study, lambda: [gpus_here()]).precision)
    cache, rows = made_for(ready), pq.read_table(arguments.results / "trials").to_pandas()
    rows = rows[rows["method"].isin(arguments.methods)]
    keys = ["task", "method", "fraction", "budget"]
    cells = [(key, chosen) for key, mine in rows.groupby(keys) if len(chosen := chosen_fresh(mine)) > 1]
    if not cells:
        raise SystemExit(f"{arguments.results}: no cell of {', '.join(arguments.methods)} has fresh seeds")
    for i in np.linspace(0, len(cells) - 1, min(arguments.cells, len(cells))).round().astype(int):
        (task, name, fraction, budget), some = cells[i]
        cell = Cell(task, name, fraction, next(one for one in study.budget if one.canonical == budget))
        some = some.head(arguments.seeds)
        trials = [
            ready.plan.trial(cell, "confirm", json.loads(row.hyperparameters), from_code(row.seed), ready.known)
            for row in some.itertuples()
        ]
        b = np.array([theirs(cache, trial) for trial in trials])
        yield f"{task}, {fraction:.0%}", name, some["score_last"].to_numpy(), b


def chosen_fresh(rows: pd.DataFrame) -> pd.DataFrame:
    """A cell's scored runs on fresh seeds, of the configuration that is chosen there, by seed."""
    tried = [
        Scored(row.hyperparameters, row.seed, row.status, row.select_score)
        for row in rows[rows["stage"] != "confirm"].itertuples()
    ]
    best = select(by_configuration(tried))
    fresh = rows[(rows["stage"] == "confirm") & rows["score_last"].notna()]
    return fresh[fresh["hyperparameters"] == (best.configuration if best else "")].sort_values("seed")


def made_for(ready: Prepared) -> WorkerCache:
    """A process's state for these trials."""
    shipment = Shipment(ready.study.name, str(ready.model.folder), ready.tasks, 36_000.0)
    return WorkerCache(shipment, Share(1.0, 1.0 if torch.cuda.is_available() else 0.0))


def main() -> None:
    """Run both, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tasks", nargs="+", default=["mrpc", "stsb"])
    parser.add_argument("--fraction", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--methods", nargs="+", default=["full", "bitfit", "adapter", "lora"])
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print(
        "| task | method | finebench | Trainer | difference, 95 % interval (Welch) |\n|---|---|---|---|---|", flush=True
    )
    found = []
    for task, name, a, b in (trained if arguments.study is None else stored)(arguments):
        test = stats.ttest_ind(a, b, equal_var=False)
        alike = np.ptp(a) == np.ptp(b) == 0  # neither varies: no test
        found.append(float(a[0] == b[0]) if alike else float(test.pvalue))
        interval = test.confidence_interval()
        cells = [f"{x.mean():.4f} ± {x.std(ddof=1):.4f}" for x in (a, b)]
        change = f"{a.mean() - b.mean():+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
        print(f"| {task} | {name} | {' | '.join(cells)} | {change} |", flush=True)
    corrected = multipletests(found, method="holm")[1]
    print(f"\n{len(found)} cells; smallest p {min(found):.3f}, corrected over them (Holm) {min(corrected):.3f}")


if __name__ == "__main__":
    main()
