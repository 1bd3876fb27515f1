"""What a built model says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Polynomial = tuple[float, float, float, float]
"""(token, square, example, step): a pass over B inputs of T tokens takes B (token·T + square·T² + example) + step
FLOPs.

The step's share are products of weights alone, such as DoRA's and LoHa's, which a bigger batch does not make dearer.
"""


@dataclass(frozen=True)
class ProbeAnswer:
    """What a built model says: trained parameters of encoder and head, all parameters, FLOPs forward and of training.

    `head_step`, where only the head is trained and what it reads is known: FLOPs of computing the features, of a step
    on them, and of predicting from them. Of a family's member, `trace` is a hash of what it makes of a model, equal for
    what is the same, and `effects` says of each of its values whether it does something there. `error` is why the
    method cannot be applied; the numbers are then zero.
    """

    encoder: int = 0
    head: int = 0
    total: int = 0
    forward: Polynomial = (0.0, 0.0, 0.0, 0.0)
    train: Polynomial = (0.0, 0.0, 0.0, 0.0)
    head_step: tuple[Polynomial, Polynomial, Polynomial] | None = None
    trace: str | None = None
    effects: Mapping[str, bool] = field(default_factory=dict)
    error: str | None = None
