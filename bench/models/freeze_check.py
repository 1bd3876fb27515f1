"""The freeze audit: after training, what the method does not name is bit-identical."""

import hashlib

import torch
from torch import Tensor, nn

from finebench.bench.models.parameters import whole


class FreezeAudit:
    """Fingerprints of all tensors of a model, taken when it has been built and stands on its device.

    A fingerprint is the tensor's bytes summed up as 64-bit integers (modulo 2^64): exact whatever the order of
    summation, one fast pass, and no copy of the weights. (torch.hash_tensor's xor is blind to an even number of equal
    changes, such as Adam's first step on a bias of zeros.)
    """

    def __init__(self, model: nn.Module) -> None:
        self._before = _fingerprints(model)
        self._trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    def digest(self) -> str:
        """A hash of what is frozen, as it was when the audit began."""
        frozen = sorted((name, sums) for name, sums in self._before.items() if name not in self._trained)
        return hashlib.blake2b(repr(frozen).encode(), digest_size=16).hexdigest()

    def check(self, model: nn.Module) -> list[str]:
        """Names of frozen parameters and buffers that have changed, appeared or vanished; empty is what it should
        be.
        """
        after = _fingerprints(model)
        names = self._before.keys() | after.keys()
        return sorted(n for n in names - self._trained if self._before.get(n) != after.get(n))

    def idle(self, model: nn.Module) -> list[str]:
        """Names of trained parameters that are still what they were."""
        after = _fingerprints(model)
        return sorted(name for name in self._trained if self._before[name] == after.get(name))


def _fingerprints(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shape and fingerprint of every parameter and buffer, in one transfer from the device."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    if not tensors:
        return {}
    sums = torch.stack([_word_sum(whole(tensor.detach())) for tensor in tensors.values()]).tolist()
    return {name: (*tensor.shape, value) for (name, tensor), value in zip(tensors.items(), sums, strict=True)}


def _word_sum(tensor: Tensor) -> Tensor:
    """The bytes of a tensor as 64-bit words, summed; elements that fill no whole word are summed as what they are.

    A part of another tensor may begin between two words, where it cannot be seen as such; it is copied.
    """
    flat = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).reshape(-1)
    if flat.storage_offset() * flat.element_size() % 8:
        flat = flat.clone()
    whole = flat.numel() - flat.numel() % (8 // flat.element_size())
    rest = flat[whole:].double().view(torch.int64)
    return flat[:whole].view(torch.int64).sum() + rest.sum()
