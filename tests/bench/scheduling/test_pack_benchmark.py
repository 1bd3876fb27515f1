"""Sizes from timings: which pack is best, what fits, how many processes; timed on a real pack with a clock of ours."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.calibration import FILE, Calibration, rate_key
from finebench.bench.scheduling.gpu_share import Shares
from finebench.bench.scheduling.pack_benchmark import (
    SIZES,
    STEPS,
    Figures,
    Timing,
    best_size,
    measure,
    peak_bytes,
    processes,
)
from finebench.bench.scheduling.pack_queue import timing_key
from finebench.bench.scheduling.pack_size import AsWritten, PackSizes
from finebench.bench.scheduling.worker_benchmark import measure_for, time_pack
from finebench.bench.study.parts.training import Resources
from finebench.bench.study.plan import Plan
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import CONTEXT_BYTES, Need, Share, Shipment
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util.errors import ResultsError
from tests.bench.scheduling.test_scheduler import KNOWN
from tests.bench.tiny import tiny_prepared, tiny_study

GIB = 2**30


def host_and_device(host: float, device: float, peak: int = 1) -> Figures:
    """A step takes the host's time, or the device's for all its trials, whichever is longer."""
    return {size: Timing(max(host, size * device), size * peak) for size in SIZES}


@pytest.mark.parametrize(
    ("host", "device", "best"),
    [(1.0, 1.0, 1), (1.0, 0.6, 2), (1.0, 0.25, 4), (1.0, 0.1, 16), (1.0, 0.01, 16), (0.0, 1.0, 1)],
)
def test_the_best_size_fills_the_device_and_is_no_bigger(host: float, device: float, best: int) -> None:
    """Beyond it a pack finishes no more trials per hour."""
    assert best_size(host_and_device(host, device)) == best


def test_a_gain_too_small_to_be_sure_of_is_none() -> None:
    """And what does not fit into memory is not chosen."""
    assert best_size({1: Timing(1.0), 2: Timing(1.96)}) == 1
    assert best_size(host_and_device(1.0, 0.01, GIB), memory=10 * GIB) == 8
    assert best_size(host_and_device(1.0, 0.01, GIB), memory=0.5 * GIB) == 1


@pytest.mark.parametrize(
    ("host", "device", "size", "sharing"),
    [
        (1.0, 1.0, 1, 1),
        (1.0, 0.25, 1, 4),
        (1.0, 0.25, 4, 1),
        (1.0, 0.25, 2, 2),
        (1.0, 0.001, 1, 16),
        (1.0, 0.25, 16, 1),
    ],
)
def test_processes_share_what_a_pack_leaves_idle(host: float, device: float, size: int, sharing: int) -> None:
    """The more a pack fills, the fewer packs."""
    assert processes(host_and_device(host, device), size) == sharing


def test_of_one_timing_nothing_follows() -> None:
    """No benefit of sharing is known, so that there is none."""
    assert processes({1: Timing(1.0)}, 1) == 1


def test_peaks_lie_on_a_line_between_and_beyond_what_was_measured() -> None:
    """Frozen weights are there once, whatever the size."""
    figures = {1: Timing(1, 10), 2: Timing(1, 12), 4: Timing(1, 16)}
    assert [peak_bytes(figures, size) for size in (1, 2, 3, 4, 8)] == [10, 12, 14, 16, 24]
    assert peak_bytes({1: Timing(1, 10)}, 3) == 30
    assert peak_bytes({1: Timing(1, None)}, 1) is None


def test_measuring_ends_at_what_does_not_fit_and_at_what_does_not_pay() -> None:
    """Sizes are tried in order, each once."""
    asked: list[int] = []

    def run(figures: Figures, most: int = 16) -> Any:
        def one(size: int) -> Timing:
            asked.append(size)
            if size > most:
                raise MemoryError
            return figures[size]

        return one

    good = host_and_device(1.0, 0.01, GIB)
    assert list(measure(run(good))) == list(SIZES)
    assert list(measure(run(good), memory=10 * GIB)) == [1, 2, 4, 8]
    assert list(measure(run(good, most=4))) == [1, 2, 4]
    slower = {1: Timing(1.0), 2: Timing(1.2), 4: Timing(2.5)}
    asked.clear()
    assert list(measure(run(slower))) == [1, 2, 4]
    assert asked == [1, 2, 4]
    with pytest.raises(MemoryError):
        measure(run(good, most=0))


def trials(**changes: Any) -> list[Trial]:
    """The grid of a tiny study."""
    return list(Plan(tiny_study(**changes)).grid(KNOWN))


def sizes_of(folder: ResultsFolder, gpus: float, **changes: Any) -> PackSizes:
    """A driver's sizes over a folder."""
    study, calibration = tiny_study(**changes), Calibration(folder)
    shares = Shares(study, gpus, (), calibration.gpu_memory, calibration.figures_of)
    return PackSizes(study, shares, calibration)


def test_on_a_cpu_auto_is_one_and_a_number_is_taken_as_said(tmp_path: Path) -> None:
    """Nothing is measured there."""
    folder, trial = ResultsFolder(str(tmp_path)), trials()[0]
    assert sizes_of(folder, 0).most(trial, 100) == 1
    assert sizes_of(folder, 0).missing(trial, alone=False) is None
    assert sizes_of(folder, 0, resources={"pack": 6}).most(trial, 100) == 6
    assert sizes_of(folder, 8, resources={"gpu": 0}).missing(trial, alone=False) is None


def test_on_a_gpu_sizes_are_measured_once_per_folder(tmp_path: Path) -> None:
    """Trials by themselves wait for nothing; the timings are kept with the results."""
    folder, trial = ResultsFolder(str(tmp_path)), trials()[0]
    sizes = sizes_of(folder, 2)
    need = Need("packs", timing_key(trial))
    assert sizes.missing(trial, alone=True) is None
    assert sizes.missing(trial, alone=False) == need
    figures = host_and_device(1.0, 0.1, GIB)
    sizes.saw_gpu(80 * GIB)
    sizes.learn(need, None, figures)
    again = sizes_of(folder, 2)
    assert again.missing(trial, alone=False) is None
    assert again.calibration.figures_of(trial) == figures
    assert again.shares.gpu_memory == 80 * GIB
    assert [again.most(trial, waiting) for waiting in (1, 8, 32, 1000)] == [1, 4, 16, 16]  # two GPUs share what is left
    few = sizes_of(folder, 1, resources={"gpu": 0.1})
    assert few.most(trial, 1000) == 4  # 8 GiB less a context: four with a reserve
    assert 4 * GIB * 1.15 <= 8 * GIB - CONTEXT_BYTES < 8 * GIB * 1.15


def test_a_seconds_budget_waits_for_its_speed(tmp_path: Path) -> None:
    """By itself or in a pack, on a CPU too; and no longer than it can be had."""
    budget = {"budget": {"seconds": 5}}
    sizes, trial = sizes_of(ResultsFolder(str(tmp_path)), 0, **budget), trials(**budget)[0]
    need = sizes.missing(trial, alone=True)
    assert need is not None
    assert need.what == "rate"
    sizes.give_up(need)
    assert sizes.missing(trial, alone=True) is None
    sizes = sizes_of(ResultsFolder(str(tmp_path)), 0, **budget)
    sizes.learn(need, 12.5, None)
    assert sizes.missing(trial, alone=True) is None
    assert Calibration(ResultsFolder(str(tmp_path))).rates == {need.key: 12.5}


@pytest.mark.parametrize(
    "packs",
    ['{"k": {}}', '{"k": {"1": {"seconds_per_step": 0, "peak_bytes": 1}}}', '{"k": {"x": 1}}', "[1]", '{"k": 2}'],
)
def test_timings_that_are_none_are_refused(tmp_path: Path, packs: str) -> None:
    """With the file's name."""
    (tmp_path / FILE).write_text(f'{{"packs": {packs}}}')
    with pytest.raises(ResultsError, match=r"calibration\.json: not a calibration written by finebench"):
        Calibration(ResultsFolder(str(tmp_path)))


def test_a_speed_holds_for_any_fraction_but_where_features_are_read_first() -> None:
    """What a frozen encoder's features take is paid before the first step, and depends on rows and budget."""
    study = tiny_study(methods={"head": {"lr": [1e-3]}, "bitfit": {"lr": [1e-3]}}, fractions=[0.3, 1.0])
    keys: dict[str, set[str]] = {}
    for trial in Plan(study).grid(KNOWN):
        if trial.task.name == "mini-cola":
            keys.setdefault(trial.method, set()).add(rate_key(trial))
    assert {name: len(found) for name, found in keys.items()} == {"head": 2, "bitfit": 1}
    sizes = AsWritten(study.model_copy(update={"resources": Resources(pack=4)}))
    most = {trial.method: sizes.most(trial, 8) for trial in Plan(study).grid(KNOWN)}
    assert most == {"head": 1, "bitfit": 4}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"training": {"evals": 3, "batch_size": 16}}, False),
        ({"training": {"evals": 3, "batch_size": 8, "max_length": 64}}, False),
        ({"methods": {"lora": {"lr": [1e-3], "r": 4}}}, False),
        ({"tasks": ["mini-mrpc"]}, False),
        ({"training": {"evals": 3, "batch_size": 8, "precision": "bf16"}}, False),
        ({"training": {"evals": 3, "batch_size": 8, "precision": "fp32"}}, True),
        ({"fractions": [1.0]}, True),
        ({"methods": {"lora": {"lr": [1e-2]}}}, True),
    ],
    ids=["batch size", "length", "rank", "task", "bf16", "fp32", "fraction", "learning rate"],
)
def test_a_speed_is_that_of_a_shape(change: dict[str, Any], same: bool) -> None:
    """Whatever makes a step longer or shorter is in its key, and nothing else: one speed serves all it holds for."""
    base: dict[str, Any] = {"methods": {"lora": {"lr": [1e-3]}}}
    one, other = (next(iter(Plan(tiny_study(**given)).grid(KNOWN))) for given in (base, base | change))
    assert (rate_key(one) == rate_key(other)) == same


def test_a_real_pack_is_timed_between_its_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks at the clock, nothing left behind; a pack that is out of memory says so."""
    ready = tiny_prepared(methods={"full": {"lr": [0.5]}})
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0)
    cache = WorkerCache(shipment, Share())
    trial = next(iter(ready.plan.grid(ready.known)))
    ticks = itertools.count(start=0, step=3)
    assert time_pack(cache, trial, 2, clock=lambda: float(next(ticks))) == Timing(3 / STEPS, None)
    assert next(ticks) == 6
    figures = measure_for("packs", cache, trial)["figures"]
    assert [size for size, _, _ in figures] == list(SIZES[: len(figures)])
    assert all(seconds > 0 and peak is None for _, seconds, peak in figures)
    monkeypatch.setattr(
        "finebench.bench.training.worker.make_job.build", lambda *args: (_ for _ in ()).throw(MemoryError("none left"))
    )
    with pytest.raises(MemoryError):
        time_pack(cache, trial, 2)
    monkeypatch.setattr(
        "finebench.bench.training.worker.make_job.build",
        lambda *args: (_ for _ in ()).throw(ValueError("no such thing")),
    )
    with pytest.raises(RuntimeError, match="no such thing"):
        time_pack(cache, trial, 2)


def test_of_gpus_of_several_sizes_the_smallest_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack has to fit wherever it comes to run. The file is written where the size changes, not for every row; what
    an earlier run was on counts until this one has seen its own."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    written: list[str] = []
    write = ResultsFolder.write_json
    monkeypatch.setattr(
        ResultsFolder, "write_json", lambda self, name, document: (written.append(name), write(self, name, document))[1]
    )
    sizes = sizes_of(folder, gpus=2)
    for _ in range(5):
        for memory in (80 * GIB, 24 * GIB, None, 48 * GIB):
            sizes.saw_gpu(memory)
    assert sizes.shares.gpu_memory == 24 * GIB
    assert written == [FILE] * 2
    again = sizes_of(folder, gpus=2)
    assert again.shares.gpu_memory == 24 * GIB
    again.saw_gpu(80 * GIB)
    assert again.shares.gpu_memory == 80 * GIB
    again.saw_gpu(80 * GIB)
    assert written == [FILE] * 3


def test_on_a_cluster_the_smallest_gpu_of_earlier_runs_counts(tmp_path: Path) -> None:
    """The first report may come from a large one, while a worker with a small one is on its way."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    Calibration(folder, cluster=True).saw_gpu(24 * GIB)
    again = Calibration(folder, cluster=True)
    again.saw_gpu(80 * GIB)
    assert again.gpu_memory == 24 * GIB
    again.saw_gpu(16 * GIB)
    assert Calibration(folder).gpu_memory == 16 * GIB
