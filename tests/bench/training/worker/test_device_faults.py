"""What exceptions say of a GPU: memory that ran out, or a context that is lost, whose process ends."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from finebench.bench.driver.ray.worker import Worker
from finebench.bench.training.worker import trial_runner
from finebench.bench.training.worker.messages import Need, Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util import device_faults
from finebench.bench.util.device_faults import lost, out_of_memory
from finebench.bench.util.errors import DeviceLost
from tests.bench.tiny import tiny_prepared

MEMORY = [
    "CUDA out of memory. Tried to allocate 20.00 GiB",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
    "cuFFT error: CUFFT_ALLOC_FAILED",
    "NCCL error: unhandled cuda error, Cuda failure 2 'out of memory'",
    "cudaErrorMemoryAllocation: the API call failed",
    "HIP out of memory. Tried to allocate 2.00 GiB",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 9 bytes",
    "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes",
    "std::bad_alloc",
    "[Errno 12] Cannot allocate memory",
    "NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp",
]
OTHERS = [
    "CUDA error: device-side assert triggered",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
    "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "NCCL communicator was aborted",
    "size mismatch for classifier.weight",
]
GONE = "CUDA error: device-side assert triggered"


@pytest.mark.parametrize("text", MEMORY)
def test_these_say_that_memory_ran_out(text: str) -> None:
    assert out_of_memory(RuntimeError(text))


def test_so_do_the_exceptions_made_for_it() -> None:
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("no room"))


@pytest.mark.parametrize("text", OTHERS)
def test_these_do_not(text: str) -> None:
    assert not out_of_memory(RuntimeError(text))


def test_a_device_is_lost_where_it_cannot_add(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is full is not, nor is a CPU ever asked."""
    device = torch.device("cuda")

    def asked(answer: Callable[[], Any]) -> str | None:
        monkeypatch.setattr(torch, "ones", lambda *shape, device: answer())
        return lost(device)

    def fails(error: Exception) -> Callable[[], Any]:
        def answer() -> Any:
            raise error

        return answer

    assert asked(lambda: torch.tensor([1.0])) is None
    assert asked(lambda: torch.tensor([7.0])) == "it adds 1 and 1 to 8.0"
    assert asked(fails(torch.AcceleratorError(GONE))) == GONE
    assert asked(fails(RuntimeError("CUDA error: an illegal memory access was encountered"))) is not None
    assert asked(fails(torch.OutOfMemoryError("CUDA out of memory"))) is None
    assert asked(fails(RuntimeError("CUDA driver error: out of memory"))) is None
    monkeypatch.undo()
    assert lost(torch.device("cpu")) is None


@pytest.fixture
def pack() -> tuple[WorkerCache, Pack]:
    """Three trials of one kind."""
    ready = tiny_prepared(methods={"bitfit": {"lr": [5e-3]}}, seeds=3)
    trials = ready.plan.grid(ready.known)
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0)
    return WorkerCache(shipment, Share()), Pack(tuple(trials))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Breaks the device at the n-th trial that is started."""

    def at(nth: int) -> None:
        started: list[Member] = []
        make = Member.make_job

        def breaking(self: Member, *given: Any) -> Any:
            started.append(self)
            if len(started) >= nth:
                monkeypatch.setattr(trial_runner, "lost", lambda device: GONE)
                raise torch.AcceleratorError(GONE)
            return make(self, *given)

        monkeypatch.setattr(Member, "make_job", breaking)

    return at


@pytest.mark.parametrize("fused", [False, True])
def test_what_ended_before_has_its_rows_and_the_others_none(
    pack: tuple[WorkerCache, Pack], broken: Callable[[int], None], fused: bool
) -> None:
    cache, trials = pack
    broken(3)
    run = PackRun(cache, trials, fused=fused)
    while run.advance() is not None:
        pass
    ended = run.ended()
    assert [record.trial["status"] for record in ended] == ["ok", "ok"]
    assert run.lost is not None
    assert GONE in run.lost
    with pytest.raises(DeviceLost, match="device-side assert"):
        run.check_device()


def test_finish_has_no_rows_of_a_lost_device(pack: tuple[WorkerCache, Pack], broken: Callable[[int], None]) -> None:
    cache, trials = pack
    broken(1)
    with pytest.raises(DeviceLost):
        PackRun(cache, trials).finish()


def worker(cache: WorkerCache, pack: Pack, measures: str | None = None) -> Any:
    """A worker without Ray."""
    made: Any = object.__new__(Worker)
    made.cache = cache
    made._begin(
        {"pack": [t.to_json() for t in pack.trials], "rungs": False, "measures": measures, "rate": None, "beat": 5}
    )
    return made


def test_a_worker_reports_what_ended_and_then_ends_its_process(
    pack: tuple[WorkerCache, Pack], broken: Callable[[int], None]
) -> None:
    cache, trials = pack
    broken(3)
    one = worker(cache, trials)
    report = one.step()
    while not report["payload"].get("ended") and not one.gone:
        report = one.step()
    assert not report["done"]
    assert len(report["payload"]["ended"]) == 2
    with pytest.raises(DeviceLost, match="device-side assert"):
        one.step()


@pytest.mark.parametrize("what", ["rate", "packs"])
def test_a_measurement_that_loses_the_device_ends_its_process(
    pack: tuple[WorkerCache, Pack], broken: Callable[[int], None], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, trials = pack
    broken(1)
    monkeypatch.setattr(device_faults, "lost", lambda device: GONE)
    one = worker(cache, Pack(trials.trials[:1], measures=Need(what, "")), what)
    with pytest.raises(DeviceLost):
        one.step()


def test_memory_that_runs_out_is_an_outcome_of_its_own(
    pack: tuple[WorkerCache, Pack], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device still answers, and the process goes on."""
    cache, trials = pack

    def full(self: Member, *given: Any) -> Any:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr(Member, "make_job", full)
    assert [record.trial["status"] for record in PackRun(cache, trials).finish()] == ["oom"] * 3
