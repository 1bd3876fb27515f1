"""What a classifier's head reads of its encoder, by model family: all that cached features keep of an input.

One vector per input: `pooled` is the encoder's own pooler's output (the first token's state where the pooler is
trained too), `first` the first token's state, `mean` the mean over the tokens, `last` the state of the last token that
is no padding. A family that is not listed runs its encoder at every step.
"""

from typing import Any, Literal

Read = Literal["pooled", "first", "mean", "last"]

_READS: dict[str, Read] = {
    **dict.fromkeys(("bert", "albert"), "pooled"),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "electra", "distilbert", "deberta", "deberta-v2"), "first"),
    **dict.fromkeys(("gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "smollm3"), "last"),
}
_MODERN: dict[Any, Read] = {"cls": "first", "mean": "mean"}


def read_of(model_type: str, classifier_pooling: Any = "cls") -> Read | None:
    """What the head of a family reads; None where it is not known. `classifier_pooling`: ModernBERT's own setting."""
    return _MODERN.get(classifier_pooling) if model_type == "modernbert" else _READS.get(model_type)
