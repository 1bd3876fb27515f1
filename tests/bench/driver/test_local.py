"""`--debug`: every method gets its own resources, as far as one process can give them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finebench.bench.cli.rerun import rerun_command
from finebench.bench.driver.local import own_share, shares_here
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.parts.training import Resources
from finebench.bench.training.worker import worker_cache
from finebench.bench.training.worker.messages import Pack, Share
from finebench.bench.util import machine
from finebench.bench.util.errors import StudyError
from tests.bench.tiny import run_tiny, tiny_study

METHODS: dict[str, Any] = {"full": {"lr": [1e-3], "resources": {"cpu": 2}}, "bitfit": {"lr": [5e-3]}}


class Threads(Observer):
    """Notes with how many threads each method trains."""

    def __init__(self) -> None:
        self.method, self.seen = "", set[tuple[str, int]]()

    def on_start(self, pack: Pack) -> None:
        self.method = pack.trials[0].method

    def tick(self) -> None:
        self.seen.add((self.method, torch.get_num_threads()))


def test_each_method_trains_with_its_own_threads(tmp_path: Path) -> None:
    """Whatever the others ask for, and in either order of the two."""
    before, watch = torch.get_num_threads(), Threads()
    try:
        run_tiny(tmp_path, methods=METHODS, seeds=2, observer=lambda scheduler: watch)
    finally:
        torch.set_num_threads(before)
    assert watch.seen == {("full", 2), ("bitfit", 1)}


@pytest.mark.parametrize(
    ("asked", "there", "gpu"),
    [("auto", True, 1.0), ("auto", False, 0.0), (0.25, True, 1.0), (2.0, True, 1.0), (0.0, True, 0.0), (0, False, 0.0)],
)
def test_a_trial_gets_a_whole_gpu_unless_it_asks_for_none(asked: Any, there: bool, gpu: float) -> None:
    """Nothing else of the run is on it, so that its costs are its own."""
    share = own_share(Resources(cpu=3, gpu=asked), there)
    assert share == Share(3.0, gpu)
    assert share.exclusive


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the method that asks for it. Through Ray such a trial waits, for a cluster may grow; this machine does not."""
    monkeypatch.setattr(worker_cache.torch.cuda, "is_available", lambda: False)
    methods = METHODS | {"lora": {"lr": [1e-2], "resources": {"gpu": 0.5}}}
    with pytest.raises(StudyError, match=r"method 'lora' asks for gpu: 0\.5, .*torch sees none"):
        run_tiny(tmp_path / "out", methods=methods)
    assert not (tmp_path / "out").exists()


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is only claimed: which method trains where follows from the study."""
    monkeypatch.setenv("FINEBENCH_LOGICAL_GPUS", "1")
    methods = METHODS | {"lora": {"lr": [1e-2], "resources": {"gpu": 0}}}
    assert shares_here(tiny_study(methods=methods)) == {
        "full": Share(2.0, 1.0), "bitfit": Share(1.0, 1.0), "lora": Share(1.0, 0.0),
    }  # fmt: skip


def test_rerun_trains_on_a_cpu_what_was_trained_on_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where there is a GPU (one that is only claimed here): bits are compared on the same device."""
    run_tiny(tmp_path, methods={"bitfit": {"lr": [5e-3]}})
    trial_id = next(iter(ResultsFolder(str(tmp_path)).rows()))["trial_id"]
    monkeypatch.setenv("FINEBENCH_LOGICAL_GPUS", "1")
    taken, take = list[Share](), worker_cache.WorkerCache.take

    def noted(self: worker_cache.WorkerCache, share: Share) -> None:
        taken.append(share)
        take(self, share)

    monkeypatch.setattr(worker_cache.WorkerCache, "take", noted)
    assert rerun_command(str(tmp_path), trial_id) == 0
    monkeypatch.setattr(machine, "device_name", lambda kind: f"another {kind}")
    rerun_command(str(tmp_path), trial_id)
    assert taken == [Share(1.0, 0.0), Share(1.0, 1.0)]
    assert "bit-equal" in capsys.readouterr().out
