"""Load a pretrained model once, build a trial's model from it many times.

Loading never asks the hub and never runs code that comes with a model. The loaded backbone stays pristine: `build`
copies it, draws the head anew from the trial's seed and applies the method, all without touching the process's own
random stream.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from bench import attention, dropout
from bench.architecture import read_architecture
from bench.audit import FreezeAudit
from bench.errors import ModelError
from bench.methods import Method
from bench.model_folder import check_folder, quantised, weights_file, why_absent
from bench.padding import CannotTell, Side, padding_side, sample
from bench.parts import (
    fresh_names,
    head_parameter_names,
    mark_fresh,
    pooler_names,
    trainable_counts,
    trained_tensors,
)
from bench.pooler import is_pooler

__all__ = [
    "Backbone",
    "FreezeAudit",
    "build",
    "head_parameter_names",
    "load_backbone",
    "trainable_counts",
    "trained_tensors",
]
_METHOD_STREAM = 0x5851F42D4C957F2D


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


def build(backbone: Backbone, method: Method, init_seed: int) -> nn.Module:
    """A trial's own model on the CPU: the head is drawn from `init_seed`, what the method inserts from a stream
    beside it. Its dropout is keyed (bench.dropout). What it gives does not depend on the number of threads.
    """
    model = copy.deepcopy(backbone.model)
    attention.use_keyed(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed & (2**63 - 1))
        _draw_head(model)
        torch.manual_seed((init_seed ^ _METHOD_STREAM) & (2**63 - 1))
        tuned = method.apply(model)
    dropout.use_keyed(tuned)
    return tuned


def _mark_fresh(model: PreTrainedModel, report: dict[str, Any], raw: dict[str, Any], file: Path) -> None:
    """Mark what the trial's seed draws: what the checkpoint lacks, a pooler that was never trained (bench.pooler), and
    all that lies outside the backbone, which the checkpoint may have been trained with for another task.
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


def _draw_head(model: PreTrainedModel) -> None:
    """Initialise what has no pretrained value as the architecture itself does, in the order of its modules; as the
    module itself does where the architecture has nothing to say about it."""
    fresh = fresh_names(model)
    for prefix, module in model.named_modules():
        own = {leaf: p for leaf, p in module.named_parameters(prefix, recurse=False) if leaf in fresh}
        if own:
            _draw(model, module, own)


@torch.no_grad()
def _draw(model: PreTrainedModel, module: nn.Module, own: dict[str, nn.Parameter]) -> None:
    """Draw the parameters `own` of a module; its others stay. Raises ModelError where nothing says how."""
    for parameter in module.parameters(recurse=False):
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]
    for parameter in own.values():
        parameter._is_hf_initialized = False  # type: ignore[attr-defined]
        parameter.fill_(math.nan)  # so that it shows what has not been drawn
    model._init_weights(module)
    left = [name for name, parameter in own.items() if parameter.isnan().any()]
    if left and len(own) == len(list(module.parameters(recurse=False))) and hasattr(module, "reset_parameters"):
        cast(Any, module).reset_parameters()
        left = [name for name, parameter in own.items() if parameter.isnan().any()]
    if left:
        raise ModelError(f"{type(model).__name__}: how to draw its head anew is not known, e.g. {left[0]}")


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
