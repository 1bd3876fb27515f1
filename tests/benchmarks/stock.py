"""Way (a): stock Ray Tune, a function trainable around Hugging Face Trainer, as both document it.

    python -m tests.benchmarks.stock SETTING.json OUT.json

One process per trial: each imports, reads and tokenises the data, loads the weights, and trains with dynamic padding.
The rows, the model with its method, steps, batch size, precision and seeds are finebench's own, so that both ways do
the same arithmetic; data order and dropout masks differ by design. Nothing of finebench's harness runs here.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.setting import Setting, trials
from tests.benchmarks.unkeyed import unkeyed


def train_function(config: dict[str, Any]) -> None:
    """One trial: everything from the import to the predictions, then one report."""
    import numpy as np
    from datasets import Dataset
    from ray import tune
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments

    from finebench.bench.data.task_data import load_task
    from finebench.bench.driver.validate import declared
    from finebench.bench.methods import method
    from finebench.bench.metrics import compute
    from finebench.bench.models.load import load_backbone
    from finebench.bench.study.trial_id import Trial
    from finebench.bench.training.build_model import build
    from finebench.bench.training.worker.worker_cache import draw_rows

    trial = Trial.from_json(config["trial"])
    setting = Setting(**config["setting"])
    entry = setting.built().tasks[0]
    task = load_task(declared(entry), None if setting.data is None else Path(setting.data))
    regression = task.task.kind == "regression"
    tokenizer = AutoTokenizer.from_pretrained(config["model"])
    options, seed = trial.training, trial.seeds.init

    def dataset(split: Any, rows: Any) -> Dataset:
        texts = {f"text{k}": [column[i] for i in rows] for k, column in enumerate(split.texts)}
        kind = float if regression else int
        found = Dataset.from_dict(texts | {"labels": [kind(split.labels[i]) for i in rows]})
        names = list(texts)
        return found.map(
            lambda batch: tokenizer(*(batch[name] for name in names), truncation=True, max_length=options.max_length),
            batched=True,
            remove_columns=names,
        )

    rows = draw_rows(task, trial.fraction, trial.seeds.subset, trial.select)
    sets = {
        "fit": dataset(task.train, rows.fit),
        "select": dataset(task.train, rows.select),
        "score": dataset(task.score, np.arange(len(task.score.labels))),
    }
    backbone = load_backbone(Path(config["model"]), task.num_labels, regression)
    model = unkeyed(build(backbone, method(trial.method)(**trial.hyperparameters), trial.seeds.stream("init")))
    arguments = TrainingArguments(
        output_dir="trainer",
        max_steps=trial.budget.steps,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=2 * options.batch_size,
        learning_rate=trial.hyperparameters["lr"],
        weight_decay=options.weight_decay,
        warmup_steps=round(options.warmup * (trial.budget.steps or 0)),
        lr_scheduler_type="linear",
        max_grad_norm=options.max_grad_norm,
        seed=seed,
        bf16=config["bf16"],
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=setting.device == "cpu",
    )
    trainer = Trainer(
        model=model, args=arguments, train_dataset=sets["fit"], data_collator=DataCollatorWithPadding(tokenizer)
    )
    begin = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begin
    report = {"train_seconds": seconds}
    for split, labels in (("select", task.train.labels[rows.select]), ("score", task.score.labels)):
        output = trainer.predict(sets[split]).predictions
        predicted = output.squeeze(-1).astype(float) if regression else output.argmax(-1)
        report[split] = compute(task.task.metrics, labels, predicted)[task.task.metric]
    tune.report(report)


def run(setting: Setting) -> dict[str, Any]:
    """Tune's own defaults, with a grid over the trials."""
    import ray
    from ray import tune

    ready = setting.prepared()
    space = {
        "trial": tune.grid_search([trial.to_json() for trial in trials(ready)]),
        "setting": setting.to_json(),
        "model": str(ready.model.folder),
        "bf16": trials(ready)[0].training.precision == "bf16",
    }
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory(prefix="stock-ray-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(train_function, {"cpu": 1, "gpu": 1 if setting.device == "cuda" else 0}),
            param_space=space,
            tune_config=tune.TuneConfig(metric="score", mode="max"),
            run_config=tune.RunConfig(storage_path=scratch, verbose=0),
        )
        results = tuner.fit()
        if results.errors:
            raise RuntimeError(f"stock Ray Tune: {len(results.errors)} trials failed: {results.errors[0]}")
        rows = [one.metrics for one in results]
    ray.shutdown()
    found = [{key: row[key] for key in ("train_seconds", "select", "score")} for row in rows]
    return {"trials": len(found), "train_seconds": sum(row["train_seconds"] for row in found), "rows": found}


if __name__ == "__main__":
    source, target = sys.argv[1:]
    done = run(Setting(**json.loads(Path(source).read_text())))
    Path(target).write_text(json.dumps(done))
