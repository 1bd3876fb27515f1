"""Try a study's model and methods on a few of its rows: what bench.driver.preflight asks, in a process with torch.

    python -m finebench.bench.driver.preflight_child < pickled Question

prints what it is doing and its verdict, a JSON document a line. Whatever a library raises here is what every trial of
the model or of the method would fail with; it is said once, with the folder, the rows and the method.
"""

import copy
import json
import math
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from finebench.bench.data.task_data import TaskData
from finebench.bench.data.tokenize import Tokens, place_of, row_number, row_of
from finebench.bench.driver.preflight import Question
from finebench.bench.methods import longest_input, method
from finebench.bench.models.checkpoint_checks import RESIZE
from finebench.bench.models.load import Backbone
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.loop import rehearse
from finebench.bench.training.prediction import autocast, on_device
from finebench.bench.training.worker.float32_modules import spare
from finebench.bench.training.worker.messages import Share
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.worker_cache import WorkerCache, has_gpu
from finebench.bench.util.cores import slots
from finebench.bench.util.device_faults import out_of_memory
from finebench.bench.util.errors import InputError, MethodError, ModelError


def try_all(asked: Question, say: Callable[[str], None]) -> None:
    """Load the model, tokenise the data, run the model on the shortest and the longest row, and take a step of each
    trial; `say` is told what is being done.

    Raises ModelError, DataError or MethodError at the first thing that does not work.
    """
    say("loading the model")
    cache = WorkerCache(asked.shipment, Share(slots(), 1.0 if asked.gpu and has_gpu() else 0.0))
    lengths = {_longest(cache, trial) for trial in asked.trials}
    for task in asked.shipment.tasks.values():
        say(f"tokenising task {task.task.name!r}")
        for longest in sorted(lengths):
            check_tokens(cache, task, longest)
    for trial in {trial.task.name: trial for trial in asked.trials}.values():
        say("running the model")
        check_output(cache, trial)
    for trial in asked.trials:
        say(f"taking a step of {trial.method} {trial.configuration}")
        check_step(cache, trial)


def _longest(cache: WorkerCache, trial: Trial) -> int:
    tuned = method(trial.method)(**trial.hyperparameters)
    return longest_input(trial.training.max_length, tuned, cache.architecture)


def check_tokens(cache: WorkerCache, task: TaskData, longest: int) -> None:
    """Raise ModelError where the tokenizer makes ids that the model has no embedding for, of padding or in a text."""
    backbone = cache.backbone(task)
    rows = _embedded(backbone)
    found = {split: _tokens(cache, task, split, longest) for split in ("train", "score")}
    if rows is None:
        return
    where = f"model folder {cache.folder}: its tokenizer"
    if backbone.pad_id >= rows:
        raise ModelError(
            f"{where}'s padding token {backbone.tokenizer.pad_token!r} has id {backbone.pad_id}, and the model embeds "
            f"ids 0 to {rows - 1}; {RESIZE}, or set tokenizer.pad_token to a token that it embeds"
        )
    for split, tokens in found.items():
        if len(tokens.ids) and int(tokens.ids.max()) >= rows:
            first = int(np.argmax(tokens.ids >= rows))
            row, token = int(np.searchsorted(tokens.offsets, first, side="right")), int(tokens.ids[first])
            word = backbone.tokenizer.convert_ids_to_tokens(token)
            raise ModelError(
                f"{where} has token {word!r} with id {token}, and the model embeds ids 0 to {rows - 1}; it stands in "
                f"{row_of(task, split, row - 1)}; {RESIZE}"
            )


def _tokens(cache: WorkerCache, task: TaskData, split: str, longest: int) -> Tokens:
    try:
        return cache.tokens(task, split, longest)
    except InputError:
        raise
    except (
        Exception
    ) as error:  # tokenizers raises Exception itself, e.g. for a word that its vocabulary has no token for
        raise ModelError(
            f"model folder {cache.folder}: its tokenizer fails on {place_of(task, split)}: {_words(error)}"
        ) from error


def _embedded(backbone: Backbone) -> int | None:
    """How many ids the model embeds; None where it embeds no ids (CANINE hashes characters)."""
    try:
        embedding: Any = backbone.model.get_input_embeddings()
    except NotImplementedError:
        return None
    return getattr(embedding, "num_embeddings", None)


def _extremes(tokens: Tokens) -> np.ndarray:
    """The shortest row and the longest."""
    return np.unique([tokens.lengths.argmin(), tokens.lengths.argmax()])


def _places(task: TaskData, rows: np.ndarray) -> str:
    numbers = [str(row_number(task, "train", int(row))) for row in rows]
    return f"{place_of(task, 'train')}, {'rows' if len(rows) > 1 else 'row'} {' and '.join(numbers)}"


def check_output(cache: WorkerCache, trial: Trial) -> None:
    """Run the model as it is, head and all, on the shortest and the longest row of a task."""
    task = cache.shipment.tasks[trial.task.name]
    backbone, tokens = cache.backbone(task), cache.tokens(task, "train", _longest(cache, trial))
    rows = _extremes(tokens)
    where = f"model folder {cache.folder}: the model"
    try:
        model = copy.deepcopy(backbone.model).to(cache.device)  # type: ignore[arg-type]
        batch = on_device(tokens.batch(rows, backbone.pad_id), cache.device)

        def run(precision: str) -> Any:
            with torch.no_grad(), autocast(cache.device, precision):
                return model(**batch).logits

        spare(model, cache.device, trial.training.precision, run)
        logits = run(trial.training.precision)
    except Exception as error:  # whatever it is, every trial would fail with it
        raise ModelError(f"{where} fails on {_places(task, rows)}: {_words(error)}") from error
    if tuple(logits.shape) != (len(rows), task.num_labels):
        raise ModelError(f"{where} gives outputs of shape {tuple(logits.shape)}, not {(len(rows), task.num_labels)}")
    if not bool(logits.isfinite().all()):
        raise ModelError(
            f"{where} gives outputs that are not finite on {_places(task, rows)} (training.precision: "
            f"{trial.training.precision}): are its weights sound?"
        )


def check_step(cache: WorkerCache, trial: Trial) -> None:
    """Apply a trial's method and take one step of it; raises MethodError where that fails or changes what is frozen."""
    task = cache.shipment.tasks[trial.task.name]
    settings = {key: value for key, value in trial.hyperparameters.items() if key != "lr"}
    where = f"methods.{trial.method}: {settings}: " if settings else f"methods.{trial.method}: "
    rows = _extremes(cache.tokens(task, "train", _longest(cache, trial)))
    batch = rows if (most := trial.training.micro_batch) is None else np.resize(rows, most + 1)  # more than a part
    try:
        job, audit = Member(trial, cache, None).make_job()
        loss = rehearse(job, batch, _extremes(cache.tokens(task, "score", _longest(cache, trial))))
        changed = audit.check(job.model)
    except (MethodError, ModelError) as error:
        raise type(error)(f"methods.{trial.method}: {error}") from error
    except InputError:
        raise
    except Exception as error:  # whatever it is, every trial of the method would fail with it
        raise MethodError(
            f"{where}a step on {_places(task, rows)} fails on model folder {cache.folder}: {_words(error)}"
        ) from error
    if not math.isfinite(loss):
        raise MethodError(f"{where}the loss is not finite before the first step, on {_places(task, rows)}")
    if changed:
        raise MethodError(f"{where}a step changes what the method leaves frozen: {', '.join(changed[:5])}")


def _words(error: Exception) -> str:
    """An exception in one line."""
    if out_of_memory(error):
        return f"{type(error).__name__}: memory runs out already with these rows"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> None:
    """Answer one question from stdin; libraries' output goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        try_all(pickle.load(sys.stdin.buffer), lambda doing: tell(doing=doing))
    except InputError as error:
        tell(verdict={"kind": type(error).__name__, "text": str(error)})
    else:
        tell(verdict="passed")
