"""Whether a trial had its core or GPU to itself: what is measured, with real processes on real cores."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finebench.bench.training.worker import solitude
from finebench.bench.training.worker.solitude import MOST_WAITING, Clock, Solitude, others_on_gpu, threads, waiting
from finebench.bench.util.cores import allowed

BURN = """
import os, sys, time
core, seconds, priority = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
os.sched_setaffinity(0, [core])
import torch
from finebench.bench.training.worker.solitude import Solitude
x = torch.ones(100, 100)
x @ x
print(flush=True)
sys.stdin.readline()
if priority:  # not before: of each second, the kernel leaves real-time threads 0.95 s, and imports would use it up
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
seen = Solitude(torch.device("cpu"))
until = time.monotonic() + seconds
while time.monotonic() < until:
    x @ x
print(seen.waiting(), seen.kept(), flush=True)
"""


def burn(*cores: int, priority: int = 0) -> list[tuple[float, bool]]:
    """What processes that compute at the same time, one on each of these cores, say of their solitude."""
    command = [sys.executable, "-c", BURN]
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [*command, str(core), "0.6", str(priority)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own,
        )
        for core in cores
    ]  # fmt: skip
    for one in started:
        assert one.stdout is not None
        one.stdout.readline()
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    found = []
    for one in started:
        out = one.communicate()[0].split()
        assert one.returncode == 0
        found.append((float(out[0]), out[1] == "True"))
    return found


def may_be_first() -> bool:
    """Whether a process here may have a core before all others, so that a busy machine cannot spoil a test."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


needs_clocks = pytest.mark.skipif(not threads(), reason="this kernel does not count how long threads wait")


@needs_clocks
def test_two_on_one_core_are_not_alone() -> None:
    """Each waits while the other runs."""
    core = min(os.sched_getaffinity(0))
    for waited, alone in burn(core, core):
        assert waited > 0.3
        assert not alone


@needs_clocks
@pytest.mark.skipif(allowed() < 2, reason="two cores are needed")
def test_two_on_two_cores_are_alone() -> None:
    """With nothing else on them: they run before whatever else this machine does, in one of five tries at least."""
    if not may_be_first():
        pytest.skip("real-time priority is not allowed here")
    first, second, *_ = sorted(os.sched_getaffinity(0))
    tries = (burn(first, second, priority=1) for _ in range(5))
    assert any(all(alone and waited <= MOST_WAITING for waited, alone in found) for found in tries)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"1": Clock(5, 5)}, {"1": Clock(105, 5)}, 0.0),
        ({"1": Clock(0, 0)}, {"1": Clock(50, 50)}, 0.5),
        ({"1": Clock(0, 0)}, {"1": Clock(100, 0), "2": Clock(50, 50)}, 0.5),  # a thread of its own waits
        ({"1": Clock(0, 0)}, {"1": Clock(100, 0), "2": Clock(1, 5)}, 0.0),  # one that does next to nothing
        ({"1": Clock(0, 0), "2": Clock(9, 9)}, {"1": Clock(90, 10)}, 0.1),  # one has ended
        ({"1": Clock(7, 7)}, {"1": Clock(7, 7)}, None),
        ({}, {}, None),
    ],
)
def test_the_busy_thread_that_waits_most_decides(
    before: dict[str, Clock], after: dict[str, Clock], expected: float | None
) -> None:
    """A step ends with its slowest thread."""
    assert waiting(before, after) == expected


def test_without_the_kernels_clocks_cpu_time_must_fill_the_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a CPU; a GPU's host thread may well sleep, and nothing can be said of it."""
    assert threads(tmp_path / "none") == {}
    (tmp_path / "1").mkdir()
    assert threads(tmp_path) == {}
    monkeypatch.setattr(solitude, "threads", lambda: {})
    clock = SimpleNamespace(monotonic=lambda: now[0], thread_time=lambda: now[1])
    monkeypatch.setattr(solitude, "time", clock)
    now = [0.0, 0.0]
    seen = Solitude(torch.device("cpu"))
    now[:] = [10.0, 9.9]
    assert seen.kept()
    now[:] = [20.0, 10.0]
    assert seen.waiting() == 0.5
    assert not seen.kept()


def test_what_is_known_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part before a checkpoint, or a share of a GPU."""
    monkeypatch.setattr(Solitude, "waiting", lambda self: 0.0)
    assert Solitude(torch.device("cpu")).kept()
    assert not Solitude(torch.device("cpu"), may=False).kept()


class Nvml:
    """NVML as far as it is asked."""

    class NVMLError(Exception):
        """Its errors."""

    def __init__(self, pids: list[int] | None) -> None:
        self.pids = pids

    def nvmlInit(self) -> None:
        """Nothing to do."""

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        """Its id."""
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        """Of the GPU asked for."""
        if handle != "GPU-0b" or self.pids is None:
            raise self.NVMLError
        return [SimpleNamespace(pid=pid) for pid in self.pids]


@pytest.mark.parametrize(
    ("pids", "taken", "expected"),
    [
        ([os.getpid()], 0, False),
        ([os.getpid(), 4], 0, True),
        ([17], 0, False),  # ours, in the host's numbering
        ([17, 18], 0, True),
        ([], 900 * 2**20, False),  # not told: a context is no one's trial
        ([], 3000 * 2**20, True),
        (None, 900 * 2**20, False),
        (None, 3000 * 2**20, True),
    ],
)
def test_others_on_a_gpu(monkeypatch: pytest.MonkeyPatch, pids: list[int] | None, taken: int, expected: bool) -> None:
    """By NVML's list or, where it does not tell, by memory that no one here holds."""
    own, total = 5 * 2**30, 80 * 2**30
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(pids))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0b"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (total - own - taken, total))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: own)
    assert others_on_gpu(torch.device("cuda", 0)) is expected


def test_company_on_a_gpu_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour that has left by the end was there."""
    here = [False, True, False]
    monkeypatch.setattr(solitude, "others_on_gpu", lambda device: here.pop(0))
    monkeypatch.setattr(Solitude, "waiting", lambda self: 0.0)
    seen = Solitude(torch.device("cuda", 0))
    assert not seen.kept()
    assert not seen.kept()
