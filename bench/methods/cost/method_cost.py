"""What a method costs on a model: trained parameters and FLOPs, in closed form for BERT, else by building it.

FLOPs are twice the multiply-adds of matrix products. Per token a forward pass takes 2N for N matmul weights; the
backward pass takes 2N for the gradient of the activations, down to the lowest trained part and no further, and 2 for
every trained matmul weight. Attention's two products take 4h per layer and squared length forward and twice that
backward, whatever is trained above it. Heads and poolers see one token per input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from finebench.bench.methods import Method, MethodCost
from finebench.bench.methods.cost.answer import Polynomial, ProbeAnswer
from finebench.bench.methods.cost.probe import probe
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.bert_shapes import encoder_matmul, encoder_parameters, head_parameters
from finebench.bench.models.head_input import read_of
from finebench.bench.util.errors import MethodError


@dataclass(frozen=True)
class ParameterCounts:
    """Parameters: trained in the encoder, trained in the head, and in all (frozen ones and inserted ones too)."""

    encoder: int
    head: int
    total: int


@dataclass(frozen=True)
class Flops:
    """FLOPs as a function of the work: `token` per token, `square` per squared length, `example` per input; `once`
    whatever the work."""

    token: float
    square: float
    example: float
    once: float = 0.0

    def __call__(self, tokens: int, squares: int, examples: int | None = None) -> float:
        """FLOPs of inputs with this many tokens in all and this sum of squared lengths.

        Where it is not given, their number is taken as tokens² / squares, which is exact where all are equally long and
        a little low otherwise.
        """
        inputs = examples if examples is not None else tokens * tokens / squares if squares else 0.0
        return self.token * tokens + self.square * squares + self.example * inputs + self.once

    def of_step(self, tokens: int, squares: int, examples: int) -> float:
        """FLOPs of one step, what is done once left out."""
        return replace(self, once=0.0)(tokens, squares, examples if self.once else None)


@dataclass(frozen=True)
class HeadFlops:
    """FLOPs where only the head is trained, on features of a frozen encoder: `features` of computing them, `step` of
    training on them, `forward` of predicting from them."""

    features: Flops
    step: Flops
    forward: Flops

    def training(self, tokens: int, squares: int, examples: int) -> Flops:
        """FLOPs of training steps after the features of so many rows, tokens and squared lengths."""
        return replace(self.step, once=self.features(tokens, squares, examples))


def count(method: Method, arch: Architecture, num_labels: int) -> ParameterCounts:
    """Count a method's parameters; raises MethodError where it does not apply to the architecture."""
    cost = closed_form(method, arch)
    if cost is None:
        found = _ask(method, arch, num_labels)
        return ParameterCounts(found.encoder, found.head, found.total)
    head = head_parameters(arch, num_labels)
    return ParameterCounts(cost.trainable, head, encoder_parameters(arch) + cost.inserted + head)


def trace(method: Method, arch: Architecture, num_labels: int) -> str | None:
    """A hash of what a family's member makes of the architecture; None for other methods, and where none was tried."""
    return None if method.model_extra is None else _ask(method, arch, num_labels).trace


def effects(method: Method, arch: Architecture, num_labels: int) -> Mapping[str, bool]:
    """The values of a family's member in words, and whether each does something to the architecture; empty for other
    methods, and where that could not be tried."""
    return {} if method.model_extra is None else _ask(method, arch, num_labels).effects


def train_flops(method: Method, arch: Architecture, num_labels: int, batch_size: int = 16) -> Flops:
    """FLOPs of training steps: forward and backward, the optimiser's own arithmetic left out."""
    cost = closed_form(method, arch)
    if cost is not None:
        return bert_train_flops(cost, arch, num_labels)
    return _per_example(_ask(method, arch, num_labels).train, batch_size)


def head_flops(method: Method, arch: Architecture, num_labels: int, batch_size: int = 16) -> HeadFlops | None:
    """FLOPs on cached features; None where the method trains part of the encoder, or where what the head reads of it is
    not known."""
    if read_of(arch.model_type, arch.raw.get("classifier_pooling", "cls")) is None:
        return None
    cost = closed_form(method, arch)
    if cost is not None:
        return bert_head_flops(cost, arch, num_labels) if cost.trainable == 0 else None
    found = _ask(method, arch, num_labels)
    if found.encoder or found.head_step is None:
        return None
    features, step, forward = (_per_example(one, batch_size) for one in found.head_step)
    return HeadFlops(features, step, forward)


def bert_head_flops(cost: MethodCost, arch: Architecture, num_labels: int) -> HeadFlops:
    """FLOPs of a BERT-shaped classifier on cached features: the pooler's output, or where the pooler is trained with
    the head, the first token's state."""
    h, whole = arch.hidden, bert_forward_flops(cost, arch, num_labels)
    pooler, classifier = 2.0 * h * h, 2.0 * h * num_labels
    features = Flops(whole.token, whole.square, pooler)  # the encoder runs its pooler, whoever reads it
    if arch.pooler:
        return HeadFlops(features, Flops(0.0, 0.0, 2 * classifier), Flops(0.0, 0.0, classifier))
    return HeadFlops(features, Flops(0.0, 0.0, 2 * pooler + 3 * classifier), Flops(0.0, 0.0, pooler + classifier))


def forward_flops(method: Method, arch: Architecture, num_labels: int, batch_size: int = 16) -> Flops:
    """FLOPs of forward passes, as in an evaluation."""
    cost = closed_form(method, arch)
    if cost is not None:
        return bert_forward_flops(cost, arch, num_labels)
    return _per_example(_ask(method, arch, num_labels).forward, batch_size)


def _per_example(measured: Polynomial, batch_size: int) -> Flops:
    """Share what a pass costs whatever its batch among the batch's examples."""
    token, square, example, step = measured
    return Flops(token, square, example + step / batch_size)


def closed_form(method: Method, arch: Architecture) -> MethodCost | None:
    """The method's own closed form where it holds: BERT encoders whose config says all.

    Raises MethodError where the method does not apply.
    """
    method.check(arch)
    sizes = (arch.hidden, arch.layers, arch.intermediate, arch.vocab, arch.positions, arch.types)
    plain = arch.bert_like and all(sizes) and not (arch.raw.get("add_cross_attention") or arch.raw.get("is_decoder"))
    return method.cost(arch) if plain else None


def bert_forward_flops(cost: MethodCost, arch: Architecture, num_labels: int) -> Flops:
    """Forward FLOPs of a BERT-shaped classifier."""
    h = arch.hidden
    token = 2.0 * (encoder_matmul(arch) + cost.inserted_matmul)
    return Flops(token, 4.0 * h * arch.layers, 2.0 * (h * h + h * num_labels))


def bert_train_flops(cost: MethodCost, arch: Architecture, num_labels: int) -> Flops:
    """Forward and backward FLOPs of a BERT-shaped classifier."""
    h, base = arch.hidden, encoder_matmul(arch)
    forward = bert_forward_flops(cost, arch, num_labels)
    crossed = cost.reach > 0
    spared = (1 - cost.reach) * base
    attended = (
        arch.layers - (spared >= 4 * h * h) if crossed else 0
    )  # layer 0's attention lies below all that is trained
    pooled = cost.trained_matmul >= base or not arch.pooler  # the pooler's matrix is trained too
    below = forward.example if crossed else 0.0 if arch.pooler else 2.0 * h * num_labels
    return Flops(
        token=forward.token * (1 + cost.reach) + 2.0 * cost.trained_matmul,
        square=forward.square + 8.0 * h * attended,
        example=forward.example + below + 2.0 * h * num_labels + (2.0 * h * h if pooled else 0),
    )


def _ask(method: Method, arch: Architecture, num_labels: int) -> ProbeAnswer:
    """The built model's answer; raises MethodError with its reason where the method cannot be applied."""
    found = probe(arch.raw, method.name, method.model_dump(), num_labels, pooler=arch.pooler)
    if found.error is not None:
        raise MethodError(found.error)
    return found
