"""Load a pretrained model once, for all trials of a process: it stays pristine, each trial trains a copy of its own.

Loading never asks the hub and never runs code that comes with a model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from finebench.bench.models.architecture import read_architecture
from finebench.bench.models.checkpoint_checks import check_folder, quantised, weights_file, why_absent
from finebench.bench.models.padding import CannotTell, Side, padding_side, sample
from finebench.bench.models.parameters import head_parameter_names, mark_fresh, pooler_names
from finebench.bench.models.pooler import is_pooler
from finebench.bench.util.errors import ModelError


@dataclass(frozen=True)
class Backbone:
    """A pristine model with a head of the right width, on the CPU, in evaluation mode.

    `head_names`: parameters of the head. `pad_id` fills up short inputs, on this `side`.
    """

    model: PreTrainedModel
    head_names: frozenset[str]
    tokenizer: Any
    pad_id: int
    side: Side = "right"


def load_backbone(folder: Path, num_labels: int, regression: bool) -> Backbone:
    """Load a model folder for classification (`num_labels` classes) or regression (one output), in float32.

    Raises ModelError naming the folder for missing or damaged weights, custom code, or an architecture without a
    classification model, or one whose outputs change with padding on either side.
    """
    shape = read_architecture(folder)
    check_folder(folder, shape)
    raw, file = shape.raw, weights_file(folder)
    kind = "regression" if regression else "single_label_classification"
    with _quiet():
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder,
                num_labels=num_labels,
                problem_type=kind,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=file.name.split(".", 1)[1].startswith("safetensors"),
                weights_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except BaseException as error:  # whatever the loader raises, the folder is what is wrong
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # Rust's own
                raise
            text = " ".join(str(error).split())[:400]
            raise ModelError(f"{file}: the model cannot be loaded: {text}{quantised(raw)}") from error
    model.eval()
    _mark_fresh(model, report, raw, file)
    pad_id = _set_padding(model, tokenizer, folder)
    try:
        side = padding_side(model, sample(model, tokenizer), pad_id)
        tokenizer.padding_side = side
    except CannotTell:  # its own fault shows on the study's rows, with their names
        side = "right"
    except ModelError as error:
        raise ModelError(f"model folder {str(folder)!r}: {error}") from error
    return Backbone(model, head_parameter_names(model), tokenizer, pad_id, side)


def _mark_fresh(model: PreTrainedModel, report: dict[str, Any], raw: dict[str, Any], file: Path) -> None:
    """Mark what the trial's seed draws: what the checkpoint lacks, a pooler that was never trained
    (bench.models.pooler), and all that lies outside the backbone, which the checkpoint may have been trained with for
    another task.
    """
    missing = set(report["missing_keys"]) | {entry[0] for entry in report["mismatched_keys"]}
    known = {name for name, _ in model.named_parameters()}
    outside = head_parameter_names(model)
    inside = {name for name in missing & known if name not in outside and not is_pooler(name)}
    if inside:
        listed = ", ".join(sorted(inside)[:3])
        why = why_absent(report["unexpected_keys"], raw)
        raise ModelError(
            f"{file}: {len(inside)} weights of the encoder are missing or of another shape, e.g. {listed}{why}"
        )
    pooler = pooler_names(model)
    biases = [model.get_parameter(name) for name in pooler if name.endswith("bias")]
    untrained = pooler if biases and not any(bool(bias.any()) for bias in biases) else frozenset()
    mark_fresh(model, frozenset(missing & known) | untrained | outside)


def _set_padding(model: PreTrainedModel, tokenizer: Any, folder: Path) -> int:
    """Give decoders without a padding token their end-of-text token for it, in model and tokenizer alike."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ModelError(
                f"model folder {str(folder)!r}: its tokenizer has neither a padding nor an end-of-text token"
            )
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return int(tokenizer.pad_token_id)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loader's progress bars and its notes on missing heads off the terminal."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
