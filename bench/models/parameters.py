"""The parts of a model: which parameters are its head, which are trained, how many there are."""

from collections.abc import Callable

from torch import Tensor, nn
from transformers import PreTrainedModel

from finebench.bench.models.pooler import is_pooler

_FRESH = "finebench_fresh"


def model_type(model: nn.Module) -> str:
    """The Hugging Face model type, e.g. "bert"."""
    return str(model.config.model_type)  # type: ignore[union-attr]


def base_name(name: str) -> str:
    """A parameter's name as the pretrained model has it, without what PEFT's wrappers add to it."""
    for added in ("base_model.model.", "base_model."):
        name = name.removeprefix(added)
    for added in (".modules_to_save.default", ".base_layer", ".original_module"):
        name = name.replace(added, "")
    return name


def pooler_names(model: PreTrainedModel) -> frozenset[str]:
    """Parameters of the backbone's pooler, where it has one."""
    inside = model.base_model_prefix + "."
    return frozenset(name for name, _ in model.named_parameters() if name.startswith(inside) and is_pooler(name))


def mark_fresh(model: nn.Module, names: frozenset[str]) -> None:
    """Remember which parameters no checkpoint gave (they count as head); copies of the model remember it too."""
    setattr(model, _FRESH, names)


def fresh_names(model: nn.Module) -> frozenset[str]:
    """Parameters that no checkpoint gave, as told by `mark_fresh`."""
    return getattr(model, _FRESH, frozenset())


def head_parameter_names(model: PreTrainedModel) -> frozenset[str]:
    """Parameters outside the backbone (classifier, score, DeBERTa's pooler…) and those newly initialised at loading."""
    prefix = model.base_model_prefix + "."
    outside = {name for name, _ in model.named_parameters() if not name.startswith(prefix)}
    return frozenset(outside) | fresh_names(model)


def train_only(model: nn.Module, chosen: Callable[[str], bool]) -> int:
    """Train the head and the encoder parameters that `chosen` accepts by name, freeze the rest; returns how many
    tensors of the encoder are trained."""
    head = head_parameter_names(model)  # type: ignore[arg-type]
    found = 0
    for name, parameter in model.named_parameters():
        picked = name not in head and chosen(name)
        parameter.requires_grad_(picked or name in head)
        found += picked
    return found


def trainable_counts(model: nn.Module, head_names: frozenset[str]) -> tuple[int, int, int]:
    """Parameters: (trained in the encoder, trained in the head, in all). A frozen copy that PEFT keeps is not
    counted.
    """
    encoder = head = total = 0
    for name, parameter in model.named_parameters():
        if ".original_module." in name:
            continue
        total += parameter.numel()
        if parameter.requires_grad:
            if base_name(name) in head_names:
                head += parameter.numel()
            else:
                encoder += parameter.numel()
    return encoder, head, total


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """What is trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What a trial has to store: the trained tensors by name (views, not copies)."""
    return {name: parameter.detach() for name, parameter in trained_parameters(model).items()}


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself or, of one whose shards lie on several ranks, all of it: every rank asks for it, in the same
    order."""
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found
