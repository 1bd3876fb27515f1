"""What options a tuner of peft has, read off its config class: their defaults, and which may be lists or mappings.

    describe("LORA")["target_modules"] == {"default": None, "plural": True}

Imports peft; processes without torch ask bench.methods.cost.probe, which answers from its child and keeps the answer.
"""

from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from finebench.bench.models.each_step import EARLY
from finebench.bench.util.errors import MethodError, choose

_NOT_THE_USERS = {"peft_type", "task_type", "inference_mode", "base_model_name_or_path", "revision", "peft_version"}
_NOT_THE_USERS |= {"auto_mapping", "modules_to_save"}
_NOT_THE_USERS |= {"total_step"}  # AdaLoRA's; a trial's own number of steps (bench.methods._peft.steps)
_UNFIT = {
    "ADAPTION_PROMPT": "it is made for generation with Llama",
    "CARTRIDGE": "it is distilled from a text, not fine-tuned on labels",
    "CPT": "it is made for generation with labelled context",
    "MULTITASK_PROMPT_TUNING": "it needs a task number with every example",
    "SHADOW": "it trains a network of its own beside a decoder",
    "POLY": "it needs a task number with every example",
    "TRAINABLE_TOKENS": "it needs a list of token numbers",
    "XLORA": "it mixes LoRA adapters that have to be trained before",
}
"""Tuners that a plain classification run cannot train as they are meant to be, and why."""

_WANT_DATA = ("corda", "eva", "lora_ga")
"""Initialisations that peft works out from data before training."""


def find_config(kind: str) -> type[PeftConfig]:
    """The config class of a tuner; raises MethodError with the choices, or with the reason for leaving a tuner out."""
    known = {str(one.value): config for one, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if kind in _UNFIT:
        raise MethodError(f"peft's {kind} is not offered: {_UNFIT[kind]}")
    if kind not in known:
        raise MethodError(choose("peft tuner", kind, known.keys() - _UNFIT.keys()))
    found: type[PeftConfig] = known[kind]
    return found


def own_fields(config_class: type[PeftConfig]) -> dict[str, Field[Any]]:
    """The fields of a config class that are the user's to set, by name."""
    return {field.name: field for field in fields(config_class) if field.name not in _NOT_THE_USERS}


def describe(kind: str) -> dict[str, dict[str, Any]]:
    """Option -> {"default": as JSON, "plural": whether its value may be a list or a mapping}."""
    config_class = find_config(kind)
    hints = get_type_hints(config_class)
    return {
        name: {"default": _default(field), "plural": any(_plural(one) for one in _members(hints[name]))}
        for name, field in own_fields(config_class).items()
    }


def make_config(config_class: type[PeftConfig], options: dict[str, Any]) -> Any:
    """The tuner's config; mappings given for options that are configs of their own become those."""
    hints = get_type_hints(config_class)
    given = {name: _nested(hints[name], value) for name, value in options.items()}
    if "total_step" in hints:
        given["total_step"] = EARLY  # until a run says how long it is
    return config_class(**given)


def check_config(config: Any) -> None:
    """Raise MethodError for options that say something else in a plain classification run than they mean."""
    start = getattr(config, "init_lora_weights", None)
    if start in _WANT_DATA:
        raise MethodError(f"init_lora_weights: {start} is worked out from data before training, and gets none here")
    if getattr(config, "monteclora_config", None) is not None:
        raise MethodError("monteclora_config is not offered: it draws ahead, so that a trial could not be continued")


def _nested(hint: Any, value: Any) -> Any:
    inner = next((one for one in _members(hint) if isinstance(one, type) and is_dataclass(one)), None)
    return inner(**value) if inner is not None and isinstance(value, dict) else value


def _members(hint: Any) -> list[Any]:
    """The types of a union, of unions within it too; a type alone is its only one."""
    unions = get_origin(hint) not in (None, list, tuple, dict, set) and get_args(hint)
    return [one for part in get_args(hint) for one in _members(part)] if unions else [hint]


def _plural(hint: Any) -> bool:
    kind = get_origin(hint) or hint
    return isinstance(kind, type) and (issubclass(kind, list | tuple | dict | set) or is_dataclass(kind))


def _default(field: Field[Any]) -> Any:
    """A default as JSON would give it back."""
    made = field.default_factory() if field.default_factory is not MISSING else field.default
    if isinstance(made, Enum):
        return made.value
    return asdict(made) if is_dataclass(made) and not isinstance(made, type) else made
