"""What a method costs on a model: trained parameters and FLOPs, in closed form for BERT, else by building it.

FLOPs are twice the multiply-adds of matrix products. Per token a forward pass takes 2N for N matmul weights; the
backward pass takes 2N for the gradient of the activations, down to the lowest trained part and no further, and 2 for
every trained matmul weight. Attention's two products take 4h per layer and squared length forward and twice that
backward, whatever is trained above it. Heads and poolers see one token per input.
"""

from dataclasses import dataclass

from bench.architecture import Architecture
from bench.errors import MethodError
from bench.methods import Method, MethodCost
from bench.probe import Polynomial, ProbeAnswer, probe
from bench.shapes import encoder_matmul, encoder_parameters, head_parameters


@dataclass(frozen=True)
class Counts:
    """Parameters: trained in the encoder, trained in the head, and in all (frozen ones and inserted ones too)."""

    encoder: int
    head: int
    total: int


@dataclass(frozen=True)
class Flops:
    """FLOPs as a function of the work: `token` per token, `square` per squared length, `example` per input."""

    token: float
    square: float
    example: float

    def __call__(self, tokens: int, squares: int) -> float:
        """FLOPs of inputs with this many tokens in all and this sum of squared lengths.

        Their number is taken as tokens² / squares, which is exact where all are equally long and a little low
        otherwise.
        """
        examples = tokens * tokens / squares if squares else 0.0
        return self.token * tokens + self.square * squares + self.example * examples


def count(method: Method, arch: Architecture, num_labels: int) -> Counts:
    """Count a method's parameters; raises MethodError where it does not apply to the architecture."""
    cost = closed_form(method, arch)
    if cost is None:
        found = _ask(method, arch, num_labels)
        return Counts(found.encoder, found.head, found.total)
    head = head_parameters(arch, num_labels)
    return Counts(cost.trainable, head, encoder_parameters(arch) + cost.inserted + head)


def train_flops(method: Method, arch: Architecture, num_labels: int, batch_size: int = 16) -> Flops:
    """FLOPs of training steps: forward and backward, the optimiser's own arithmetic left out."""
    cost = closed_form(method, arch)
    if cost is not None:
        return bert_train_flops(cost, arch, num_labels)
    return _per_example(_ask(method, arch, num_labels).train, batch_size)


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
