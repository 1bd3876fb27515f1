"""The process in which a tracker runs (`python -m finebench.bench.driver.logger_child NAME STUDY RESULTS`), started by
bench.driver.loggers.

It says whether it can log, and then takes trials: each as its length in 8 bytes and Arrow bytes on standard input, and
each answered by a line of JSON: null, or why it could not be logged. Whatever the tracker itself prints goes nowhere.
"""

import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from typing import IO

from finebench.bench.results.record import Record

LONGEST_GROUP = 120
"""Characters; Weights & Biases takes 128."""

_SETTINGS = (
    "study",
    "stage",
    "model",
    "task",
    "method",
    "fraction",
    "seed",
    "budget",
    "batch_size",
    "status",
    "reason",
)
_RESULTS = (
    "score", "score_last", "select_score", "majority_score", "steps", "train_seconds", "eval_seconds",
    "peak_memory_bytes", "train_flops", "trainable_params", "delta_bytes",
)  # fmt: skip


def settings(record: Record) -> dict[str, str | int | float | bool]:
    """What a trial was: its cell, seed and hyperparameters, how it ended."""
    row = record.trial
    given = {key: row[key] for key in _SETTINGS} | json.loads(row["hyperparameters"])
    return {key: value for key, value in given.items() if value is not None}


def results(record: Record) -> dict[str, float]:
    """What a trial came to; what is not known is left out. In a folder of their own: MLflow makes files of names, and a
    curve is called score/mcc."""
    return {f"final/{key}": float(record.trial[key]) for key in _RESULTS if record.trial[key] is not None}


def curves(record: Record) -> dict[int, dict[str, float]]:
    """Its evaluations: step -> name -> value, in the order of steps."""
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for row in record.evals.to_pylist():
        values = {f"{row['split']}/{row['metric']}": row["value"], f"{row['split']}/loss": row["loss"], "lr": row["lr"]}
        found[row["step"]] |= {key: float(value) for key, value in values.items() if value is not None}
    return dict(sorted(found.items()))


def group(record: Record) -> str:
    """A name that a configuration's trials have in common, whatever their seed: its cell and hyperparameters in words,
    safe as a file's name, cut and told apart by a hash where it is long."""
    row = record.trial
    parts = [row["task"], row["method"], f"{row['fraction']:g}"]
    for text in (row["budget"], row["hyperparameters"]):
        parts += [f"{key}={value}" for key, value in json.loads(text).items()]
    name = " ".join(parts)
    safe = re.sub(r"[^\w.=+-]+", "_", name)
    if len(safe) <= LONGEST_GROUP:
        return safe
    return f"{safe[: LONGEST_GROUP - 9]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


class TensorBoard:
    """Event files in RESULTS/tensorboard/GROUP/TRIAL_ID."""

    def __init__(self, study: str, results: str) -> None:
        import tensorboardX  # noqa: F401  what cannot be imported is said before the start

        self.folder = os.path.join(results, "tensorboard")

    def log(self, record: Record) -> None:
        """Curves, and settings with what they came to."""
        from tensorboardX import SummaryWriter

        with SummaryWriter(os.path.join(self.folder, group(record), record.trial["trial_id"])) as writer:
            for step, values in curves(record).items():
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            writer.add_hparams(settings(record), results(record), name="trial")


class MLflow:
    """Runs of the experiment named like the study, wherever MLflow is set up to track; the tag `group` is common to a
    configuration."""

    def __init__(self, study: str, results: str) -> None:
        import mlflow

        self.study = study
        mlflow.MlflowClient().search_experiments(max_results=1)  # raises where the store or its server is not there

    def log(self, record: Record) -> None:
        """Parameters, curves and results."""
        import mlflow

        mlflow.set_experiment(self.study)
        with mlflow.start_run(run_name=record.trial["trial_id"], tags={"group": group(record)}):
            mlflow.log_params(settings(record))
            for step, values in curves(record).items():
                mlflow.log_metrics(values, step=step)
            mlflow.log_metrics(results(record))


class WandB:
    """Runs of the project named like the study, grouped by configuration."""

    def __init__(self, study: str, results: str) -> None:
        import wandb

        self.study = study
        offline = wandb.setup().settings.mode in ("offline", "dryrun", "disabled")
        if not offline and not wandb.login():  # which asks nobody: there is no terminal here
            raise RuntimeError("no login: run `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline")

    def log(self, record: Record) -> None:
        """Settings, curves and results."""
        import wandb

        trial, common = record.trial, group(record)
        with wandb.init(
            project=self.study, group=common, job_type=trial["stage"], name=trial["trial_id"], config=settings(record)
        ) as run:
            for step, values in curves(record).items():
                run.log(values, step=step)
            run.summary.update(results(record))


TRACKERS: dict[str, type[TensorBoard] | type[MLflow] | type[WandB]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def main() -> None:
    """Say whether the tracker can log, then log what comes; ends with its input."""
    answers = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    trials = os.fdopen(os.dup(0), "rb")
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    name, study, folder = sys.argv[1:]
    try:
        tracker = TRACKERS[name](study, folder)
    except Exception as error:  # trackers raise many kinds
        _say(answers, error)
        return
    _say(answers, None)
    while size := trials.read(8):
        record = Record.decode(trials.read(int.from_bytes(size, "big")))
        try:
            tracker.log(record)
        except Exception as error:  # many kinds again, and none may end a sweep
            _say(answers, error)
        else:
            _say(answers, None)


def _say(answers: IO[str], error: Exception | None) -> None:
    text = None if error is None else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    print(json.dumps(text), file=answers, flush=True)


if __name__ == "__main__":
    main()
