"""Whether a study's model reads its data and every method trains it, asked before the first trial, not found in each.

    asked = question(plan, known, folder, tasks)
    if not passed(asked):
        with Child(asked) as child:  # loads the model and takes a step of each method (bench.driver.rehearsal)
            child.wait()             # raises an InputError where something fails

The child keeps this process free of torch, and a crash or a lack of memory in it is a message. That a question was
passed is kept in the user's cache folder; a failure is not, since what is missing may be installed meanwhile.
"""

import json
import os
import pickle
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Self

from finebench.bench import __version__
from finebench.bench.data.task_data import TaskData
from finebench.bench.methods import method
from finebench.bench.models.hub import EMBEDDED
from finebench.bench.study.configurations import Defaults, variations
from finebench.bench.study.load import method_resources
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.plugins import worker_plugins
from finebench.bench.study.trial_id import Trial
from finebench.bench.tasks import Embedded
from finebench.bench.training.worker.messages import Shipment
from finebench.bench.util import errors, machine, own_python
from finebench.bench.util.errors import InputError, ModelError
from finebench.bench.util.user_cache import cached, keep

PREFLIGHT_VERSION = 2
"""Grows whenever more is tried, so that what passed before is tried again."""
_CHILD = "finebench.bench.driver.preflight_child"
PATIENCE = 600.0
"""Seconds that any one thing may take in the child, if a trial may not take longer (`trial_timeout`)."""


@dataclass(frozen=True)
class Question:
    """What is tried: the study's inputs, and a trial of one step for each method, each value of its settings, and each
    shape of task. `gpu`: on a GPU, where there is one."""

    shipment: Shipment
    trials: tuple[Trial, ...]
    gpu: bool

    @property
    def key(self) -> list[Any]:
        """What an answer rests on: a trial's id holds model, data, method and training options."""
        packages = machine.versions() | {"tokenizers": metadata.version("tokenizers")}
        device = [machine.hostname(), os.environ.get("CUDA_VISIBLE_DEVICES"), self.gpu]
        data = sorted(task.fingerprint for task in self.shipment.tasks.values())
        ids = sorted(trial.id for trial in self.trials)
        return [PREFLIGHT_VERSION, __version__, packages, device, data, ids]


def question(
    plan: Plan, known: Identities, folder: Path, tasks: Mapping[str, TaskData], defaults: Defaults
) -> Question:
    """What has to work for a plan, the `defaults` of its confirm stage with it; of tasks of one shape, the one with the
    longest text stands for all."""
    study = plan.study
    chosen: dict[tuple[int, int], str] = {}
    for name, found in sorted(tasks.items(), key=lambda item: _longest(item[1])):
        chosen[len(found.train.texts), found.num_labels] = name
    trials: dict[str, Trial] = {}
    for name in chosen.values():
        for tuned in study.methods:
            cell = Cell(name, tuned, max(study.fractions), Budget(steps=1))
            points = [plan.complete(cell, point) for point in variations(plan.space(cell))]
            if (default := defaults.get((tuned, name))) is not None:
                points.append(default)
            for point in points:
                trial = plan.trial(cell, "grid", point, Seeds.paired(1), known)
                trials.setdefault(trial.id, trial)
    shipment = Shipment(study.name, str(folder), tasks, study.trial_timeout, plugins=worker_plugins(study))
    asked = [method_resources(study, name) for name in study.methods]
    gpu = any(one.gpu != 0 for one in asked) and all(one.shard == "none" for one in asked)  # may be too large for one
    return Question(shipment, tuple(trials.values()), gpu)


def shipped(plan: Plan, tasks: Mapping[str, TaskData]) -> bool:
    """Whether all is of our own making and nothing is left to find out: the embedded model, generated tasks, methods of
    this package, trained whole. The tests try those together; a start then costs nothing more."""
    own_methods = all(
        method(name).__module__.startswith("finebench.bench.methods.") and ":" not in name
        for name in plan.study.methods
    )
    own_tasks = all(isinstance(found.task.source, Embedded) for found in tasks.values())
    whole = not plan.study.training.checkpointing and plan.study.training.micro_batch is None
    return plan.study.model == EMBEDDED and own_methods and own_tasks and whole


def _longest(task: TaskData) -> int:
    """Characters of the longest row."""
    return max(sum(map(len, row)) for row in zip(*task.train.texts, strict=True))


def passed(asked: Question) -> bool:
    """Whether the question was passed before, on this machine and under these versions."""
    return cached("preflights", asked.key) is not None


def note_passed(asked: Question) -> None:
    """Keep that it was passed."""
    keep("preflights", asked.key, True)


class Child:
    """A process that tries it, under way; a context manager that ends it."""

    def __init__(self, asked: Question) -> None:
        self._asked = asked
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as long as the child
        with tempfile.TemporaryFile() as inputs:  # a pipe would make us wait until the child reads
            pickle.dump(asked, inputs)
            inputs.seek(0)
            self._process = self._start(inputs)

    def _start(self, inputs: IO[bytes]) -> "subprocess.Popen[str]":
        environment = own_python.environment() | {"HF_HUB_OFFLINE": "1"}
        command = own_python.run_module(_CHILD)
        return subprocess.Popen(
            command, stdin=inputs, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def wait(self) -> None:
        """Return once all has worked; raises the InputError that the child found, or ModelError where it died or
        hangs."""
        doing, verdict = "starting", None
        assert self._process.stdout is not None
        clock = self._ending_late()
        for line in self._process.stdout:
            clock.cancel()
            clock = self._ending_late()
            found = json.loads(line)
            doing, verdict = found.get("doing", doing), found.get("verdict", verdict)
        code = self._process.wait()
        late = not clock.is_alive()
        clock.cancel()
        if verdict is None:
            raise ModelError(self._late(doing) if late else self._death(code, doing))
        if verdict != "passed":
            raise _error(verdict["kind"], verdict["text"])
        note_passed(self._asked)

    @property
    def _limit(self) -> float:
        return max(PATIENCE, self._asked.shipment.timeout)

    def _ending_late(self) -> threading.Timer:
        """A clock that ends the child when it has said nothing for too long."""
        clock = threading.Timer(self._limit, self._process.kill)
        clock.daemon = True
        clock.start()
        return clock

    def _late(self, doing: str) -> str:
        return (
            f"model folder {self._asked.shipment.model_folder}: the process that tried it was ended: it has been "
            f"{doing} for {self._limit:g} seconds; a longer trial_timeout gives it longer"
        )

    def _death(self, code: int, doing: str) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        how = f"ended with {lines[-1][:300]}" if lines and code > 0 else f"ended with code {code}"
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += ", as it is where memory runs out"
        return f"model folder {self._asked.shipment.model_folder}: the process that tried it {how} while {doing}"


def _error(kind: str, text: str) -> InputError:
    """The error of ours that the child named."""
    found: type[InputError] = getattr(errors, kind)
    return found(text)
