"""Which trials may be trained together as one pack.

A pack's members share the backbone, the method with every hyperparameter that gives a shape, the task, the batch size
and all training options. They may differ in seeds, fraction, budget and in what the method leaves free (`pack_free`:
the learning rate).
"""

import json

from finebench.bench.methods import method
from finebench.bench.study.trial_id import Trial


def kind(trial: Trial) -> str:
    """What must be equal of trials that are trained together."""
    free = method(trial.method).pack_free
    shape = {key: value for key, value in trial.hyperparameters.items() if key not in free}
    model, task = trial.model, trial.task
    names = [model.name, model.revision, task.name, task.revision, trial.method]
    waits = trial.budget.seconds is not None  # for a measured speed
    ranked = [] if trial.ranks == 1 else [trial.ranks, trial.shard]
    return json.dumps([names, shape, trial.training.model_dump(), waits, *ranked], sort_keys=True)
