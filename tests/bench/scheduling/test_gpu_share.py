"""Shares of a GPU: as many as fit with a reserve and have work to do, raised after an out-of-memory."""

from types import SimpleNamespace

import pytest
import torch

from finebench.bench.scheduling.gpu_share import Shares
from finebench.bench.scheduling.pack_benchmark import MOST_PER_GPU, RESERVE, Figures, Timing
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Plan
from finebench.bench.training.worker.messages import CONTEXT_BYTES, Need, Pack, Share, own_bytes
from finebench.bench.training.worker.worker_cache import _claim
from finebench.bench.util.errors import StudyError
from tests.bench.scheduling.test_scheduler import KNOWN, done_row
from tests.bench.tiny import drain, tiny_study

GIB = 2**30


IDLE: Figures = {1: Timing(1.0, 2 * GIB), 2: Timing(1.0, 3 * GIB)}
"""A second trial costs nothing: the device was idle."""


def packs(**changes: object) -> list[Pack]:
    """The packs of a tiny study."""
    return drain(Scheduler(Plan(tiny_study(**changes)), KNOWN, {}))


def test_without_gpus_auto_means_none() -> None:
    """A CPU-only machine trains on CPUs."""
    assert Shares(tiny_study(), gpus=0).gpu(packs()[0]) == 0.0


def test_a_whole_gpu_for_whom_costs_are_taken_from_and_before_anything_is_measured() -> None:
    """The first seed of a cell is alone, as is a measurement; nothing is shared on a guess."""
    known = Shares(tiny_study(), gpus=1, gpu_memory=24 * GIB, figures=lambda trial: IDLE)
    first = packs()[0]
    assert first.alone
    assert known.gpu(first) == 1.0
    assert known.gpu(Pack(first.trials, measures=Need("packs", "k"))) == 1.0
    assert Shares(tiny_study(), gpus=1, gpu_memory=24 * GIB).gpu(Pack(first.trials)) == 1.0


@pytest.mark.parametrize("size", [1, 2])
def test_as_many_as_fit_with_a_reserve(size: int) -> None:
    """Where the device has idle time for all of them."""
    trials = packs(seeds=3)[0].trials * size
    share = Shares(tiny_study(), gpus=1, gpu_memory=24 * GIB, figures=lambda trial: IDLE).gpu(Pack(trials))
    need = (1 + size) * GIB * RESERVE + CONTEXT_BYTES
    fitting = round(1 / share)
    assert fitting * need <= 24 * GIB < (fitting + 1) * need


@pytest.mark.parametrize(
    ("seconds", "size", "sharing"),
    [
        ((1.0, 2.0), 1, 1),  # the device is busy all the time
        ((1.0, 1.5), 1, 2),  # half of it
        ((1.0, 1.1), 1, 9),  # hardly: 1 / 0.1, less a rounding error
        ((1.0, 1.5), 2, 1),  # a pack of two fills it
        ((1.0, 1.0), 1, MOST_PER_GPU),
    ],
)
def test_no_more_than_have_work_to_do(seconds: tuple[float, float], size: int, sharing: int) -> None:
    """Bounded by what one more trial adds to a step."""
    figures = {1: Timing(seconds[0], 1), 2: Timing(seconds[1], 2)}
    shares = Shares(tiny_study(), gpus=1, gpu_memory=24 * GIB, figures=lambda trial: figures)
    assert shares.gpu(Pack(packs()[0].trials * size)) == 1 / sharing


@pytest.mark.parametrize(("peak", "share"), [(1 << 20, 1 / MOST_PER_GPU), (20 * GIB, 1.0), (90 * GIB, 1.0)])
def test_tiny_and_huge_peaks(peak: int, share: float) -> None:
    """Never more than MOST_PER_GPU to a GPU; what fills more than half has it alone. A real trial's peak counts too."""
    pack = packs()[0]
    shares = Shares(tiny_study(), 1, gpu_memory=24 * GIB, figures=lambda trial: {1: Timing(1, 1), 2: Timing(1, 1)})
    row = done_row(pack.trials[0])
    shares.observe(row.__class__(**{**row.__dict__, "peak_memory_bytes": peak}))
    assert shares.gpu(Pack(pack.trials)) == share


def test_a_methods_own_resources_win() -> None:
    """What the study says is taken as said."""
    study = tiny_study(methods={"full": {"lr": 1e-3, "resources": {"gpu": 0.25, "cpu": 2}}}, resources={"gpu": 1})
    pack = drain(Scheduler(Plan(study), KNOWN, {}))[0]
    shares = Shares(study, gpus=4)
    assert shares.gpu(pack) == 0.25
    assert shares.others(pack).cpu == 2.0


def test_out_of_memory_on_a_share_is_tried_with_more() -> None:
    """Doubled up to a whole GPU, and then it counts."""
    study = tiny_study(resources={"gpu": 0.25})
    pack = drain(Scheduler(Plan(study), KNOWN, {}))[0]
    shares = Shares(study, gpus=1)
    assert shares.raise_after_oom(pack, 0.25) == shares.gpu(pack) == 0.5
    assert shares.raise_after_oom(pack, 0.5) == shares.gpu(pack) == 1.0
    assert shares.raise_after_oom(pack, 1.0) is None
    assert shares.raise_after_oom(pack, 0.25) == 1.0  # another one, started before
    assert shares.gpu(pack) == 1.0


def test_trials_that_ran_out_of_memory_keep_their_share_in_smaller_packs() -> None:
    """Their pack is halved, and is another one; others of that size start on what they asked for."""
    study = tiny_study(resources={"gpu": 0.25}, methods={"full": {"lr": [1e-3]}}, seeds=4)
    first, *others = [trial for pack in drain(Scheduler(Plan(study), KNOWN, {})) for trial in pack.trials]
    shares = Shares(study, gpus=1)
    shares.raise_after_oom(Pack((first, others[0])), 0.25)
    assert shares.gpu(Pack((first,))) == 0.5
    assert shares.gpu(Pack((others[1],))) == 0.25


@pytest.mark.parametrize("sharing", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("total", [16 * GIB, 24 * GIB, 80 * GIB])
def test_processes_that_share_a_gpu_fit_with_their_contexts(total: int, sharing: int) -> None:
    """What their tensors may take, and what CUDA takes for each of them, is no more than there is."""
    assert sharing * (own_bytes(total, 1 / sharing) + CONTEXT_BYTES) <= total


def test_a_share_without_room_for_anything_is_refused() -> None:
    with pytest.raises(StudyError, match=r"resources\.gpu: 0\.01 of a GPU of 24 GiB leaves no memory"):
        own_bytes(24 * GIB, 0.01)


def test_a_process_is_capped_to_its_share_less_its_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's allocator; a process with a GPU to itself is not."""
    caps: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", caps.append)
    threads = torch.get_num_threads()
    for share in (1.0, 1 / 16):
        assert _claim(Share(1, share)).type == "cuda"
    torch.set_num_threads(threads)
    assert caps == [pytest.approx((5 * GIB - CONTEXT_BYTES) / (80 * GIB))]
