"""Closed forms of BERT's shape: parameters and multiply-adds by part, from the config alone.

Symbols: h = hidden, m = intermediate, L = layers, T = tokens of one input. "Matmul weights" are those multiplied with
every token; embeddings are looked up and the pooler sees one token per input, so neither belongs to them.
"""

from finebench.bench.models.architecture import Architecture
from finebench.bench.models.module_roles import ROLES


def role_shapes(arch: Architecture) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each linear layer of one transformer layer."""
    h, m = arch.hidden, arch.intermediate
    return dict.fromkeys(ROLES[:4], (h, h)) | {"intermediate": (h, m), "output": (m, h)}


def layer_matmul(arch: Architecture) -> int:
    """Matmul weights of one layer: 4h² + 2hm."""
    return sum(inputs * outputs for inputs, outputs in role_shapes(arch).values())


def encoder_matmul(arch: Architecture) -> int:
    """Matmul weights of all layers: N = L (4h² + 2hm)."""
    return arch.layers * layer_matmul(arch)


def encoder_parameters(arch: Architecture) -> int:
    """Parameters of a BERT encoder with its embeddings and the pooler that it brings, the head apart."""
    h, m = arch.hidden, arch.intermediate
    embeddings = (arch.vocab + arch.positions + arch.types) * h + 2 * h
    biases_and_norms = 9 * h + m
    return (
        embeddings
        + arch.layers * (layer_matmul(arch) + biases_and_norms)
        + (pooler_parameters(arch) if arch.pooler else 0)
    )


def pooler_parameters(arch: Architecture) -> int:
    """Parameters of BERT's pooler: h² + h."""
    return arch.hidden * (arch.hidden + 1)


def head_parameters(arch: Architecture, num_labels: int) -> int:
    """Parameters of BERT's classification head: one linear layer, and a pooler that the weights do not bring."""
    return arch.hidden * num_labels + num_labels + (0 if arch.pooler else pooler_parameters(arch))


def reach_above(arch: Architecture, lowest: str) -> float:
    """Share of the encoder's matmul weights that the backward pass crosses when the lowest trained part sits at role
    `lowest`.

    In layer 0 no gradient is needed for the input of that role's matrix, nor of any before it (query, key and value
    share their input); all other layers are crossed whole.
    """
    shapes = role_shapes(arch)
    stop = max(ROLES.index(lowest), ROLES.index("value")) + 1
    spared = sum(shapes[role][0] * shapes[role][1] for role in ROLES[:stop])
    return 1.0 - spared / encoder_matmul(arch)
