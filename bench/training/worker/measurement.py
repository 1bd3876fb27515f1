"""What a trial costs: peak memory and energy, null where they cannot be observed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from finebench.bench.util.cpu_allocator import give_back

if TYPE_CHECKING:
    import torch


class Meter:
    """Peak memory (bytes) and energy (joules) since `start`, what `aside` was told to leave out apart.

    On a GPU: the peaks of what the allocator holds of the trial's device and of what tensors take of that, and NVML's
    energy counter where the GPU is the trial's alone. On a CPU: the process's peak resident memory, reset at the start
    (Linux), else null; energy is null, since cores share it.
    """

    def __init__(self, device: "torch.device", exclusive: bool) -> None:
        self.device = device
        self.exclusive = exclusive
        self._resettable = False
        self._energy: float | None = None
        self._peak_before = 0

    def start(self) -> None:
        """Begin: reset what can be reset."""
        if self.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            give_back()  # what the trial before freed would count as this one's
            self._resettable = _reset_peak_rss()
        self._energy = self._joules()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the memory that this block takes out of a CPU's peak (a checkpoint is no part of a trial's cost)."""
        if self._resettable:
            self._peak_before = self.peak_memory() or 0
        yield
        if self._resettable:
            self._resettable = _reset_peak_rss()

    def peak_memory(self) -> int | None:
        """Peak bytes that the process held since `start` (on a GPU: its allocator), or None."""
        if self.device.type == "cuda":
            import torch

            return int(torch.cuda.max_memory_reserved(self.device))
        now = _peak_rss() if self._resettable else None
        return None if now is None else max(now, self._peak_before)

    def peak_allocated(self) -> int | None:
        """Peak bytes that tensors took of a GPU since `start`; None on a CPU."""
        if self.device.type != "cuda":
            return None
        import torch

        return int(torch.cuda.max_memory_allocated(self.device))

    def energy(self) -> float | None:
        """Joules since `start`, or None."""
        now = self._joules()
        return None if now is None or self._energy is None else now - self._energy

    def _joules(self) -> float | None:
        if self.device.type != "cuda" or not self.exclusive:
            return None
        import torch

        return _nvml_joules(torch.cuda.get_device_properties(self.device).uuid)


def most(*values: int | None) -> int | None:
    """The largest of what is known."""
    return max((value for value in values if value is not None), default=None)


def _reset_peak_rss() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_rss() -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return None if line is None else int(line.split()[1]) * 1024


def _nvml_joules(uuid: object) -> float | None:
    """The GPU's total energy counter in joules; None where nvidia-ml-py is not installed or the GPU has no counter."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000.0
    except pynvml.NVMLError:
        return None
