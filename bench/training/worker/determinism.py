"""Strict determinism where a model's operations allow it, found by trying.

Strictly, torch raises at an operation that has no deterministic implementation, leaves cuDNN's attention alone, and
runs the backward passes of its other fused attention kernels in a fixed order. Where it is to warn only, those three
are as fast as they can be, and a run on a GPU is another one each time (torch 2.13, aten/native/transformers/cuda:
attention_backward.cu, sdp_utils.cpp). A model with an operation that would raise is therefore trained with warnings,
and writes its attention out (bench.models.attention).
"""

from collections.abc import Iterable

import torch

from finebench.bench.training.worker.float32_modules import FAILURES, Attempt
from finebench.bench.util.device_faults import out_of_memory


def set_strict(strict: bool) -> None:
    """Whether torch raises at what cannot be deterministic, or warns."""
    torch.use_deterministic_algorithms(True, warn_only=not strict)


def obstacle(precision: str, attempts: Iterable[Attempt]) -> str | None:
    """What torch says against running these strictly; None where nothing. Leaves torch strict or warning accordingly.

    Raises whatever says that memory ran out; what fails for another reason is left to whoever does it in earnest.
    """
    set_strict(True)
    for attempt in attempts:
        try:
            attempt(precision)
        except FAILURES as error:
            if out_of_memory(error):
                raise
            if "determinis" in str(error):
                set_strict(False)
                return " ".join(str(error).split())[:200]
    return None
