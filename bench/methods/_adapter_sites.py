"""Where bottleneck adapters go in each encoder family: endings of module names, as regular expressions."""

import re
from typing import Literal, NamedTuple

Variant = Literal["pfeiffer", "houlsby", "parallel"]


class Places(NamedTuple):
    """One family whose layers end each residual sum with a LayerNorm.

    `sums`: the modules whose outputs are added to the residual, after attention and after the feed-forward part.
    `norms`: the LayerNorms that follow. `parallel`: the module that a parallel adapter stands beside (None: there is
    none); `residual`: whether that module takes the feed-forward input as its second argument, as BERT's output does,
    or as its only one.
    """

    sums: tuple[str, str]
    norms: tuple[str, str]
    parallel: str | None
    residual: bool = True

    def wrapped(self, variant: Variant) -> tuple[str, ...]:
        """Patterns of the modules that a variant wraps; empty where it cannot be used."""
        if variant == "pfeiffer":
            return (self.norms[1],)
        if variant == "houlsby":
            return self.sums
        return () if self.parallel is None else (self.parallel,)


_BERT = Places(
    sums=(r"attention\.output\.dropout", r"\d+\.output\.dropout"),
    norms=(r"attention\.output\.LayerNorm", r"\d+\.output\.LayerNorm"),
    parallel=r"\d+\.output",
)
_DISTILBERT = Places(
    sums=(r"attention\.out_lin", r"\d+\.ffn"),
    norms=(r"sa_layer_norm", r"output_layer_norm"),
    parallel=r"\d+\.ffn",
    residual=False,
)
_ALBERT = Places(
    sums=(r"attention\.output_dropout", r"\d+\.ffn_output"),
    norms=(r"attention\.LayerNorm", r"full_layer_layer_norm"),
    parallel=None,
)
_LIKE_BERT = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie", "deberta", "deberta-v2")
PLACES: dict[str, Places] = dict.fromkeys(_LIKE_BERT, _BERT) | {"distilbert": _DISTILBERT, "albert": _ALBERT}
"""Model type -> places."""


def unsuited(model_type: str, variant: Variant) -> str | None:
    """Why a variant cannot be used in models of this type, or None."""
    places = PLACES.get(model_type)
    if places is None:
        return f"bottleneck adapters are known for the encoders {', '.join(sorted(PLACES))}"
    if not places.wrapped(variant):
        return f"their feed-forward part is no module that a {variant} adapter could stand beside"
    return None


def ends(pattern: str, name: str) -> bool:
    """Whether a module's name ends as the pattern says."""
    return re.fullmatch(r"(?:.*\.)?" + pattern, name) is not None
