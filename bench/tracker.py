"""`--logger`: every trial that ends, with its evaluations by step, as a run of TensorBoard, MLflow or Weights & Biases.

The driver logs a trial once it is stored, in a thread of its own, so that a slow service holds nothing up. What cannot
be logged is a note to the user; the results folder has it all the same.
"""

import importlib.util
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.errors import InputError
from bench.record import Record
from bench.results import ResultsFolder

Log = Callable[[Record], None]

_PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
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


def check_tracker(name: str | None, folder: ResultsFolder) -> None:
    """Raise InputError where a tracker could not log."""
    if name is None:
        return
    if importlib.util.find_spec(_PACKAGES[name]) is None:
        raise InputError(
            f"--logger {name}: the package {_PACKAGES[name]} is not installed; pip install 'finebench[{name}]'"
        )
    if name == "tensorboard" and not folder.local:
        raise InputError(
            f"--logger tensorboard: its files stand in RESULTS/tensorboard, and {folder.uri!r} is no local path; give "
            "--results a path, or choose another logger"
        )


@contextmanager
def tracking(name: str | None, study: str, folder: ResultsFolder, note: Callable[[str], None]) -> Iterator[Log]:
    """Yields what takes in each record as it is stored; at the end all of them have been logged."""
    if name is None:
        yield lambda record: None
        return
    write = {"tensorboard": _to_tensorboard, "mlflow": _to_mlflow, "wandb": _to_wandb}[name]

    def log(record: Record) -> None:
        try:
            write(record, study, folder)
        except Exception as error:  # trackers raise many kinds, and none may end a sweep
            text = " ".join(str(error).split())[:300]
            note(f"{record.trial['trial_id']}: --logger {name}: not logged: {type(error).__name__}: {text}")

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="finebench-tracker") as pool:

        def later(record: Record) -> None:
            pool.submit(log, record)

        yield later


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


def _to_tensorboard(record: Record, study: str, folder: ResultsFolder) -> None:
    """Event files in RESULTS/tensorboard/<trial_id>."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(folder.path(f"tensorboard/{record.trial['trial_id']}")) as writer:
        for step, values in curves(record).items():
            for name, value in values.items():
                writer.add_scalar(name, value, step)
        writer.add_hparams(settings(record), results(record), name="trial")


def _to_mlflow(record: Record, study: str, folder: ResultsFolder) -> None:
    """A run of the experiment named like the study, wherever MLflow is set up to track."""
    import mlflow

    mlflow.set_experiment(study)
    with mlflow.start_run(run_name=record.trial["trial_id"]):
        mlflow.log_params(settings(record))
        for step, values in curves(record).items():
            mlflow.log_metrics(values, step=step)
        mlflow.log_metrics(results(record))


def _to_wandb(record: Record, study: str, folder: ResultsFolder) -> None:
    """A run of the project named like the study."""
    import wandb

    with wandb.init(project=study, name=record.trial["trial_id"], config=settings(record)) as run:
        for step, values in curves(record).items():
            run.log(values, step=step)
        run.summary.update(results(record))
