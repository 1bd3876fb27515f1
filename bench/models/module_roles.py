"""Where each model family keeps its query, key, value and feed-forward layers, by the same six names for all.

Patterns are regular expressions for the end of a module's name inside a layer. A family that fuses several roles into
one matrix gives them the same pattern.
"""

import re

from finebench.bench.util.errors import MethodError, choose

ROLES = ("query", "key", "value", "attention_output", "intermediate", "output")
"""The linear layers of a transformer layer, in the order of the forward pass."""

_BERT = {
    "query": r"attention\.self\.query",
    "key": r"attention\.self\.key",
    "value": r"attention\.self\.value",
    "attention_output": r"attention\.output\.dense",
    "intermediate": r"intermediate\.dense",
    "output": r"\d+\.output\.dense",
}
_DEBERTA_V2 = _BERT | {role: rf"attention\.self\.{role}_proj" for role in ("query", "key", "value")}
_DEBERTA = _BERT | {role: r"attention\.self\.in_proj" for role in ("query", "key", "value")}
_DISTILBERT = {
    "query": r"attention\.q_lin",
    "key": r"attention\.k_lin",
    "value": r"attention\.v_lin",
    "attention_output": r"attention\.out_lin",
    "intermediate": r"ffn\.lin1",
    "output": r"ffn\.lin2",
}
_ALBERT = {
    "query": r"attention\.query",
    "key": r"attention\.key",
    "value": r"attention\.value",
    "attention_output": r"attention\.dense",
    "intermediate": r"\d+\.ffn",
    "output": r"\d+\.ffn_output",
}
_MODERNBERT = dict.fromkeys(("query", "key", "value"), r"attn\.Wqkv") | {
    "attention_output": r"attn\.Wo",
    "intermediate": r"mlp\.Wi",
    "output": r"mlp\.Wo",
}
_GPT2 = dict.fromkeys(("query", "key", "value"), r"attn\.c_attn") | {
    "attention_output": r"attn\.c_proj",
    "intermediate": r"mlp\.c_fc",
    "output": r"mlp\.c_proj",
}
_LLAMA = {
    "query": r"self_attn\.q_proj",
    "key": r"self_attn\.k_proj",
    "value": r"self_attn\.v_proj",
    "attention_output": r"self_attn\.o_proj",
    "intermediate": r"mlp\.(?:gate|up)_proj",
    "output": r"mlp\.down_proj",
}
_FAMILIES: dict[str, dict[str, str]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie", "xlm-roberta-xl"), _BERT),
    "deberta-v2": _DEBERTA_V2,
    "deberta": _DEBERTA,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "modernbert": _MODERNBERT,
    "gpt2": _GPT2,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "smollm3", "olmo2"), _LLAMA),
}


def role_patterns(model_type: str) -> dict[str, str]:
    """Role -> pattern for a model type; raises MethodError naming the known types."""
    found = _FAMILIES.get(model_type)
    if found is None:
        raise MethodError(
            f"where models keep their layers is not known for this one: {choose('model type', model_type, _FAMILIES)}"
        )
    return found


def known_type(model_type: str) -> bool:
    """Whether the layers of this model type can be named by role."""
    return model_type in _FAMILIES


def fused(model_type: str) -> bool:
    """Whether query, key and value are one matrix in this model type."""
    patterns = _FAMILIES.get(model_type, {})
    return bool(patterns) and patterns["query"] == patterns["key"]


def role_regex(model_type: str, roles: tuple[str, ...]) -> str:
    """One regular expression that a module's whole name matches if it plays one of the roles."""
    patterns = role_patterns(model_type)
    return r"(?:.*\.)?(?:" + "|".join(dict.fromkeys(patterns[role] for role in roles)) + ")"


def same_roles(given: str, model_type: str) -> str:
    """Roles joined by "+", of those that share one matrix the first: "query" for "query+value" where they are fused."""
    patterns = _FAMILIES.get(model_type)
    if patterns is None:
        return given
    first: dict[str, str] = {}
    for role in ROLES:
        first.setdefault(patterns[role], role)
    return "+".join(dict.fromkeys(first[patterns[role]] for role in given.split("+")))


def split_roles(given: str, choices: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Read "query+value"; names in the order of `choices`. Raises MethodError for an unknown or a repeated name.

    >>> split_roles("value+query", ROLES, "target")
    ('query', 'value')
    """
    names = given.split("+")
    for name in names:
        if name not in choices:
            raise MethodError(choose(what, name, choices))
    if len(set(names)) < len(names):
        raise MethodError(f"{what} {given!r} names a part twice")
    return tuple(name for name in choices if name in names)


def plays(regex: str, module_name: str) -> bool:
    """Whether a module's name matches a regex of `role_regex`."""
    return re.fullmatch(regex, module_name) is not None
