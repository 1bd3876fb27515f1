"""torch is strictly deterministic on a GPU wherever the model allows it, and attention is written out where not."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finebench.bench.methods import method
from finebench.bench.models import attention
from finebench.bench.models.attention import is_strict
from finebench.bench.training.build_model import build
from finebench.bench.training.worker.determinism import obstacle, set_strict
from finebench.bench.training.worker.messages import Share, Shipment
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.bench.tiny import tiny_prepared


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    mode = torch.get_deterministic_debug_mode()
    yield
    torch.set_deterministic_debug_mode(mode)


def racing(x: Tensor) -> Tensor:
    """The same values, through an operation that has no deterministic implementation on any device."""
    found = torch.empty_like(x)
    return found.put_(torch.arange(x.numel()), x)


def test_an_operation_without_a_deterministic_implementation_is_found() -> None:
    assert obstacle("fp32", [lambda precision: torch.ones(2) + 1]) is None
    assert is_strict()
    reason = obstacle("fp32", [lambda precision: torch.ones(2) + 1, lambda precision: racing(torch.ones(3))])
    assert reason is not None
    assert reason.startswith("put_ does not have a deterministic implementation")
    assert not is_strict()
    assert torch.are_deterministic_algorithms_enabled()


def test_what_fails_for_another_reason_is_left_to_say_so() -> None:
    def shapes(precision: str) -> Tensor:
        return torch.ones(2, 3) @ torch.ones(4, 5)

    def full(precision: str) -> None:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    assert obstacle("fp32", [shapes]) is None
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        obstacle("fp32", [full])


@pytest.mark.parametrize(
    ("device", "strict", "gradient", "fused"),
    [
        ("cpu", False, True, True),
        ("meta", True, True, True),
        ("meta", False, False, True),
        ("meta", False, True, False),
    ],
)
def test_fused_attention_is_used_where_its_gradient_is_the_same_each_time(
    device: str, strict: bool, gradient: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meta` stands for any device that is no CPU."""
    module = nn.Module()
    module.is_causal = False
    set_strict(strict)
    ran: list[Tensor] = []
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda module, query, *rest, **named: ran.append(query))
    query, key, value = (torch.ones(2, 2, 4, 8, device=device, requires_grad=last) for last in (False, False, True))
    with torch.set_grad_enabled(gradient):
        attention.keyed_attention(module, query, key, value, None)
    assert bool(ran) == fused


class Racing(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    def forward(self, **batch: Tensor) -> Any:
        found: Any = self.inner(**batch)
        found.logits = found.logits + 0 * racing(found.logits.detach())
        return found


def test_a_kind_of_trial_is_tried_once_and_its_setting_comes_back_with_it() -> None:
    """On a GPU; on a CPU nothing is tried. The note says which operation it is."""
    ready = tiny_prepared(methods={"full": {"lr": [1e-3]}, "bitfit": {"lr": [1e-3]}})
    full, bitfit = ready.plan.grid(ready.known)
    cache = WorkerCache(Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=60.0), Share())
    task = ready.tasks["mini-cola"]
    backbone, tokens, rows = cache.backbone(task), cache.tokens(task, "train", 32), np.arange(6)
    models = [build(backbone, method(trial.method)(**trial.hyperparameters), 1) for trial in (full, bitfit)]
    cache.fit_to_device(models[0], full, tokens, rows, backbone.pad_id)
    assert not is_strict()
    cache._fitted.clear()
    cache.device = torch.device("cuda")  # the models stay on the CPU: what is asked for is a setting
    cache.fit_to_device(models[0], full, tokens, rows, backbone.pad_id)
    assert is_strict()
    assert cache.notes == []
    cache.fit_to_device(Racing(models[1]), bitfit, tokens, rows, backbone.pad_id)
    assert not is_strict()
    [note] = cache.notes
    assert note.startswith("bitfit on this model may differ from run to run in the last bits: put_ does not have")
    for trial, strict in ((full, True), (bitfit, False)):
        cache.fit_to_device(nn.Linear(1, 1), trial, tokens, rows, backbone.pad_id)
        assert is_strict() == strict
