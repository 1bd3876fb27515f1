"""The one place that speaks to `peft`: options in, a tuned model out that is still called as model(**batch).logits.

Tuners that insert layers are injected, so that the model keeps its class and its names; those whose layers share
state stay inside a PeftModel; prompt learning keeps PeftModelForSequenceClassification, which feeds the prompt in.
"""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftConfig, PeftType, TaskType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from threadpoolctl import threadpool_limits
from torch import nn

from finebench.bench.methods._peft.options import check_config, find_config, make_config, own_fields
from finebench.bench.methods._peft.steps import ADAPTER, step_calls
from finebench.bench.models.each_step import attach
from finebench.bench.models.module_roles import role_regex
from finebench.bench.models.parameters import base_name, head_parameter_names, model_type
from finebench.bench.util.errors import MethodError, choose


def tune(model: nn.Module, kind: str, **options: Any) -> nn.Module:
    """Apply peft's tuner `kind` (e.g. "LORA"); trains what the tuner inserts, and the head.

    Raises MethodError for an unknown tuner or option, for a tuner that plain classification cannot train, and, in
    peft's own words, for a model that the tuner cannot be put into.
    """
    config_class = find_config(kind)
    check_options(kind, config_class, options)
    head = head_parameter_names(model)  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings(), _one_thread():
            warnings.simplefilter("ignore")
            tuned = _attach(model, config_class, options)
    except MethodError:
        raise
    except Exception as error:  # peft raises many kinds; whichever it is, this method cannot be applied here
        text = " ".join(str(error).split()) or type(error).__name__
        raise MethodError(f"peft's {kind} cannot be applied to a {model_type(model)} model: {text}") from error
    for name, parameter in tuned.named_parameters():
        if base_name(name) in head:
            parameter.requires_grad_(".original_module." not in name)
    return tuned


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tuners that decompose weights (an SVD, clusters) come out the same whatever the process's threads: a kept delta
    is put on what another machine makes of the same weights."""
    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def check_options(kind: str, config_class: type[PeftConfig], options: dict[str, Any]) -> None:
    """Raise MethodError for an option that the tuner's config does not have."""
    known = own_fields(config_class)
    for name in options:
        if name not in known:
            raise MethodError(choose(f"hyperparameter of peft's {kind}", name, known))


def _attach(model: nn.Module, config_class: type[PeftConfig], options: dict[str, Any]) -> nn.Module:
    """Build the config and put the tuner into the model."""
    config: Any = make_config(config_class, options)
    tuner: Any = PEFT_TYPE_TO_TUNER_MAPPING.get(config.peft_type)
    check_config(config)
    if config.is_prompt_learning:
        config.task_type = TaskType.SEQ_CLS
        _fit_prompt(model, config)
    if config.is_prompt_learning or getattr(tuner, "uses_shared_state", False):
        inside: nn.Module = get_peft_model(model, config)
        return inside
    injected = tuner(model, config, adapter_name=ADAPTER)
    if (calls := step_calls(injected, config)) is not None:
        attach(injected.model, calls)
    tuned: nn.Module = injected.model
    return tuned


def _fit_prompt(model: Any, config: Any) -> None:
    """Tell a prompt tuner the model's sizes, and refuse models in which it would not do what it says."""
    if config.num_virtual_tokens is None:
        raise MethodError(
            f"peft's {config.peft_type.value} needs num_virtual_tokens, the length of its prompt in tokens, e.g. 20"
        )
    backbone, prefix = model.base_model, config.peft_type == PeftType.PREFIX_TUNING
    if prefix and "past_key_values" not in inspect.signature(backbone.forward).parameters:
        raise MethodError(f"{model_type(model)} models take no past keys and values, which carry the prefix")
    if not prefix and "past_key_values" in inspect.signature(backbone.forward).parameters and _decoder(model):
        raise MethodError(
            f"{model_type(model)} models classify at the last token, found by its id, and embedded prompts "
            f"come without ids"
        )
    sizes = model.config
    config.token_dim = sizes.hidden_size if prefix else model.get_input_embeddings().embedding_dim
    config.num_layers, config.num_attention_heads = sizes.num_hidden_layers, sizes.num_attention_heads
    config.num_transformer_submodules = 1


def _decoder(model: Any) -> bool:
    """Whether the model reads its class off the last token: its head is `score`, as in GPT-2 and Llama."""
    return hasattr(model, "score")


def backbone_regex(model: nn.Module, kind: str, roles: tuple[str, ...]) -> str:
    """A regular expression for the modules of the backbone (never of the head) that play one of the roles."""
    return rf"{model.base_model_prefix}\.{role_regex(kind, roles)}"


def modules_of_class(model: nn.Module, part: str) -> list[str]:
    """Names of the backbone's modules whose class name holds `part`."""
    inside = f"{model.base_model_prefix}."
    return [name for name, module in model.named_modules() if name.startswith(inside) and part in type(module).__name__]
