"""The errors a user can cause, and how they are worded.

    FinebenchError              anything finebench raises on purpose
    └── InputError              the user can mend it: one message, exit code 2, never a traceback
        ├── StudyError          the study file, or a --set override
        │   └── PluginNotHere   a stored study names a plugin, whose code it does not hold
        ├── DataError           a task's data: file, row, column
        ├── ModelError          the model folder or hub id
        │   └── ModelNotHere    a hub id whose files cannot be had now
        ├── MethodError         a method that does not apply to this model, or a bad hyperparameter
        ├── DeviceLost          a GPU that fails whatever this process asks of it
        └── ResultsError        the results folder: another study, a foreign schema, a bad URI
            ├── StorageError    its disk or object store: full, read-only, refusing, not answering
            └── DamagedFile     one of its files is truncated or corrupted

Every message names what was given, where it stood, and what is allowed; `choose` words a wrong name.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST, MOST = 200, 200
"""Characters of a value, and number of choices, that a message gives: the input may be a stranger's."""

MEANT: dict[str, tuple[str, ...]] = {
    "learning_rate": ("lr", "methods"),
    "learning_rates": ("lr", "methods"),
    "rate": ("lr",),
    "step_size": ("lr",),
    "rank": ("r",),
    "lora_r": ("r",),
    "lora_alpha": ("alpha",),
    "scaling": ("alpha",),
    "lora_dropout": ("dropout",),
    "target_modules": ("target",),
    "modules": ("target",),
    "prefix_length": ("tokens",),
    "prompt_length": ("tokens",),
    "num_virtual_tokens": ("tokens",),
    "bottleneck_size": ("bottleneck",),
    "activation": ("non_linearity",),
    "batch": ("batch_size",),
    "bs": ("batch_size",),
    "train_batch_size": ("batch_size",),
    "per_device_train_batch_size": ("batch_size",),
    "gradient_accumulation": ("micro_batch",),
    "gradient_accumulation_steps": ("micro_batch",),
    "gradient_checkpointing": ("checkpointing",),
    "clip": ("max_grad_norm",),
    "grad_clip": ("max_grad_norm",),
    "gradient_clipping": ("max_grad_norm",),
    "seq_len": ("max_length",),
    "max_len": ("max_length",),
    "max_seq_length": ("max_length",),
    "sequence_length": ("max_length",),
    "warmup_ratio": ("warmup",),
    "warmup_steps": ("warmup",),
    "l2": ("weight_decay",),
    "decay": ("weight_decay",),
    "scheduler": ("schedule",),
    "lr_scheduler": ("schedule",),
    "lr_scheduler_type": ("schedule",),
    "lr_schedule": ("schedule",),
    "dtype": ("precision",),
    "fp16": ("precision", "bf16"),
    "float16": ("bf16",),
    "bfloat16": ("bf16",),
    "float32": ("fp32",),
    "eval_steps": ("evals",),
    "evaluations": ("evals",),
    "epoch": ("epochs",),
    "num_epochs": ("epochs",),
    "num_train_epochs": ("epochs",),
    "max_steps": ("steps",),
    "iterations": ("steps",),
    "time": ("seconds",),
    "train_time": ("seconds", "budget"),
    "seed": ("seeds",),
    "num_seeds": ("seeds",),
    "random_state": ("seeds", "seed"),
    "repeats": ("seeds",),
    "runs": ("seeds",),
    "dataset": ("tasks", "data"),
    "datasets": ("tasks",),
    "data": ("tasks",),
    "base_model": ("model",),
    "model_name": ("model",),
    "model_name_or_path": ("model",),
    "encoder": ("model",),
    "hyperparameters": ("methods",),
    "subsets": ("fractions",),
    "data_fractions": ("fractions",),
    "timeout": ("trial_timeout",),
    "max_retries": ("retries",),
    "hypotheses": ("claims",),
    "n_trials": ("trials",),
    "num_samples": ("trials",),
    "cpus": ("cpu",),
    "num_cpus": ("cpu",),
    "gpus": ("gpu",),
    "num_gpus": ("gpu",),
    "target": ("label",),
    "labels": ("label",),
    "class": ("label",),
    "sentence": ("text",),
    "input": ("text",),
    "metrics": ("metric",),
    "test": ("validation",),
    "dev": ("validation",),
    "training": ("train",),
    "split": ("validation",),
    "path": ("file",),
    "tolerance": ("margin",),
    "baseline": ("b",),
}
"""What other tools and papers call a key or a value of ours: the names here, the likeliest first."""

_STEERS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0e-\x1f\x7f-\x9f]")
"""Escape sequences (colours, cursor, titles, links) and control characters."""


class FinebenchError(Exception):
    """Base of everything finebench raises on purpose."""


class InputError(FinebenchError):
    """Something the user can mend; the command line prints it and exits with code 2."""


class StudyError(InputError):
    """The study file, or an override of it, is wrong."""


class PluginNotHere(StudyError):
    """A stored study rests on a plugin that this process has not been given."""


class DataError(InputError):
    """A task's data cannot be read as declared."""


class ModelError(InputError):
    """A model folder or hub id cannot be used."""


class ModelNotHere(ModelError):
    """A hub id that may well be right, but whose files are not on this machine and cannot be fetched."""


class MethodError(InputError):
    """A method does not apply to the model, or its hyperparameters are wrong."""


class DeviceLost(InputError):
    """This process can no longer use its GPU; another process may."""


class ResultsError(InputError):
    """A results folder cannot be used for this study."""


class StorageError(ResultsError):
    """The storage under a folder fails; what was written before is whole."""


class DamagedFile(ResultsError):
    """A file's bytes are not what was once written; `file` is its name in the folder."""

    def __init__(self, message: str, file: str) -> None:
        super().__init__(message)
        self.file = file


def choose(what: str, given: str, choices: Iterable[str]) -> str:
    """Word a wrong name: what was given, the nearest valid name, and all valid names.

    >>> choose("budget", "step", ["epochs", "steps"])
    "unknown budget 'step'; did you mean 'steps'? choices: epochs, steps"
    """
    names = sorted(choices)
    near = guess(given, names)
    hint = f"; did you mean {near!r}?" if near else ";"
    more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return f"unknown {what} {shown(given)}{hint} choices: {', '.join(names[:MOST])}{more}"


def guess(given: str, choices: Iterable[str]) -> str | None:
    """The valid name that was probably meant: one that means the same, else one that is spelt much like it."""
    names = list(choices)[:MOST]
    meant = MEANT.get(given.lower().replace("-", "_").replace(" ", "_"), ())
    same = next((name for name in meant if name in names), None)
    lower = {name.lower(): name for name in reversed(names)}
    near = get_close_matches(given[:LONGEST], names, n=1, cutoff=0.6)
    return same or lower.get(given.lower()) or next(iter(near), None)


NAME, LONGEST_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$", 100
"""What the names of studies, tasks, metrics and claims look like, and their characters at most."""
NAME_IN_WORDS = "a name of letters, digits, dots, underscores and hyphens, the first a letter or a digit,"


def check_name(what: str, name: object) -> None:
    """Raise StudyError for the name of a thing from a file that could not stand in a study or in a path."""
    if not isinstance(name, str) or not re.fullmatch(NAME, name) or len(name) > LONGEST_NAME:
        raise StudyError(f"{what} {shown(name)}: {NAME_IN_WORDS} is needed")


def plain(text: str, most: int = LONGEST) -> str:
    """A foreign message as one readable line: without what steers a terminal, its middle cut out where it is long."""
    words = " ".join(_STEERS.sub("", text).split())
    half = (most - 3) // 2
    return words if len(words) <= most else f"{words[:half]} … {words[-half:]}"


def shown(value: object) -> str:
    """A value as a message gives it: its repr, cut where it is long."""
    try:
        text = repr(value if not isinstance(value, str) else value[: LONGEST + 1])
    except ValueError:  # an integer of more digits than Python writes out
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST + 2 else f"{text[:LONGEST]}…"
