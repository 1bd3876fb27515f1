"""Whether a trial had its cores and its GPU to itself, measured while it trained and scored.

On its cores: of the time in which a thread of the trial could have run, it waited for a core for at most a share of
MOST_WAITING. The kernel counts that wait for each thread (`schedstat`), whoever was on the core: another trial or run,
the driver, any other process, a quota that was used up. Of several busy threads the one that waited most decides, since
a step ends with its slowest thread. Where the kernel does not count, the main thread's CPU time must have filled the
time instead.

On its GPU: no other process has memory there, by NVML's list or, without NVML, by what of the device's memory neither
this process's allocator nor a CUDA context explains.

Not seen: who shares a core's other hyperthread, its caches, the memory bus or the disk.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

MOST_WAITING = 0.05
"""Share of its time for which a trial may wait for a core and still count as alone: times are then at most a nineteenth
too long. Two trials on one core wait half of theirs; the kernel's own work and a driver that looks after a trial on
another core stay below."""

BUSY = 0.1
"""Threads that wanted a core for less than this share of the time of the one that wanted it most are no part of it."""

CONTEXT_BYTES = 1000 * 2**20
"""Memory of a GPU that is no one's trial: a CUDA context with its libraries, and the driver's own."""

TASKS = Path("/proc/self/task")


class Clock(NamedTuple):
    """Nanoseconds of one thread: on a core, and waiting for one."""

    ran: int
    waited: int


class Solitude:
    """Watches over this process from when it is made: does anything else run where its trial does? `may` is False where
    that is known before, of an earlier part of the trial or by the share of a GPU that it has."""

    def __init__(self, device: "torch.device", may: bool = True) -> None:
        self.device, self.may = device, may
        self._threads = threads()
        self._begun, self._ran = time.monotonic(), time.thread_time()
        self.company = self._on_gpu()

    def kept(self) -> bool:
        """Whether nothing else has been seen until now."""
        self.company = self.company or self._on_gpu()
        waited = self.waiting()
        return self.may and not self.company and waited is not None and waited <= MOST_WAITING

    def waiting(self) -> float | None:
        """Share of the time for which the trial waited for a core; None where that cannot be known."""
        found = waiting(self._threads, threads())
        if found is None and self.device.type == "cpu":
            elapsed = time.monotonic() - self._begun
            return max(0.0, 1 - (time.thread_time() - self._ran) / elapsed) if elapsed > 0 else None
        return found

    def _on_gpu(self) -> bool:
        return self.device.type == "cuda" and others_on_gpu(self.device)


def threads(tasks: Path = TASKS) -> dict[str, Clock]:
    """The clocks of this process's threads by thread id; none where the kernel keeps none."""
    found = {}
    try:
        names = os.listdir(tasks)
    except OSError:
        return {}
    for name in names:
        try:
            ran, waited, _ = (tasks / name / "schedstat").read_text().split()
        except (OSError, ValueError):  # the thread has just ended, or this kernel keeps no such file
            continue
        found[name] = Clock(int(ran), int(waited))
    return found


def waiting(before: dict[str, Clock], after: dict[str, Clock]) -> float | None:
    """The largest share of its time that a busy thread spent waiting; None where no thread's clock has moved."""
    start = Clock(0, 0)
    spent = [(now.ran - (was := before.get(name, start)).ran, now.waited - was.waited) for name, now in after.items()]
    most = max((ran + waited for ran, waited in spent), default=0)
    if most <= 0 or not any(ran > 0 for ran, _ in spent):
        return None
    return max(waited / (ran + waited) for ran, waited in spent if ran + waited >= BUSY * most)


def others_on_gpu(device: "torch.device") -> bool:
    """Whether another process has memory on a GPU."""
    listed = _listed(device)
    if listed:
        return any(pid != os.getpid() for pid in listed) if os.getpid() in listed else len(listed) > 1
    return _unexplained(device) > CONTEXT_BYTES


def _listed(device: "torch.device") -> list[int]:
    """Ids of the processes that compute on a GPU, in the driver's own numbering (a container's may differ); none where
    NVML is not installed or does not tell."""
    try:
        import pynvml
    except ImportError:
        return []
    import torch

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return [int(one.pid) for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except pynvml.NVMLError:
        return []


def _unexplained(device: "torch.device") -> int:
    """Bytes of a GPU's memory that are taken and that this process's allocator does not hold."""
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return int(total - free - torch.cuda.memory_reserved(device))
