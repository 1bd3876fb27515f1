"""Peak memory: on a GPU what the allocator held and what tensors took of it, on a CPU what the process held."""

import pytest
import torch

from finebench.bench.training.worker.measurement import Meter


def test_a_gpu_has_two_peaks_that_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its allocator tells them, from the start of the trial."""
    asked: list[str] = []
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *device, name=name: asked.append(name))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 2**30)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2**29)
    meter = Meter(torch.device("cuda", 0), exclusive=False)
    meter.start()
    assert asked == ["empty_cache", "reset_peak_memory_stats"]
    assert (meter.peak_memory(), meter.peak_allocated()) == (2**30, 2**29)


def test_a_cpu_has_one() -> None:
    """The process's, where it can be reset."""
    meter = Meter(torch.device("cpu"), exclusive=True)
    meter.start()
    assert meter.peak_allocated() is None
    held = meter.peak_memory()
    assert held is None or held > 2**20
