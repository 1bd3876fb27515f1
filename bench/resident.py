"""What stays in a process from trial to trial: pristine backbones, tokenised data, and the device it trains on."""

import math
import os
from dataclasses import replace
from pathlib import Path

import torch

from bench.architecture import Architecture, read_architecture
from bench.data import Tokens, cached_tokens
from bench.features import FeatureStore
from bench.heap import keep_freed_memory
from bench.keeper import Watch
from bench.methods import Method
from bench.model import Backbone, load_backbone
from bench.shipment import Share, Shipment
from bench.sources import TaskData
from bench.splits import Draw, draw
from bench.study import Select
from bench.trial import Trial


class Resident:
    """What stays in a process from trial to trial: pristine backbones and tokenised data. Nothing a trial does changes
    it."""

    def __init__(self, shipment: Shipment, share: Share) -> None:
        self.shipment = shipment
        self.watch = Watch(shipment)
        self.take(share)
        self.folder = Path(shipment.model_folder)
        self.architecture: Architecture = read_architecture(self.folder)
        self._backbones: dict[tuple[int, bool], Backbone] = {}
        self._tokens: dict[tuple[str, str, int], Tokens] = {}
        self.notes: list[str] = []
        self.features = FeatureStore()

    def take(self, share: Share) -> None:
        """Train on this share of the machine from now on."""
        self.share, self.device = share, _claim(share)

    def backbone(self, task: TaskData) -> Backbone:
        """The pristine model with a head for this task, on the CPU."""
        key = (task.num_labels, task.task.kind == "regression")
        if key not in self._backbones:
            self._backbones[key] = load_backbone(self.folder, *key)
        return self._backbones[key]

    def tokens(self, task: TaskData, split: str, max_length: int) -> Tokens:
        """One split, tokenised once per node."""
        key = (task.task.name, split, max_length)
        if key not in self._tokens:
            found = cached_tokens(task, split, self.folder, max_length, self.notes.append)
            self._tokens[key] = replace(found, left=self.backbone(task).side == "left")
        return self._tokens[key]

    def draw(self, trial: Trial) -> Draw:
        """The rows of train that this trial fits and chooses on."""
        return draw_rows(self.shipment.tasks[trial.task.name], trial.fraction, trial.seeds.subset, trial.select)


def draw_rows(task: TaskData, fraction: float, subset_seed: int, select: Select) -> Draw:
    """Draw a fraction of a task's train split and split it into `fit` and `select`."""
    regression = task.task.kind == "regression"
    return draw(
        task.train.labels,
        regression,
        fraction,
        subset_seed,
        select.fraction,
        select.at_least,
        select.scale,
        task=task.task.name,
        names=task.label_names,
    )


def longest_input(asked: int, tuned: Method, architecture: Architecture) -> int:
    """Tokens after which inputs are cut: as asked, or what the model's positions leave beside the method's own
    tokens."""
    room = architecture.max_tokens
    return asked if room is None else min(asked, room - tuned.positions)


def has_gpu() -> bool:
    """Whether this process can train on a GPU."""
    return _logical() or torch.cuda.is_available()


def gpu_count() -> int:
    """GPUs that this process can train on."""
    return torch.cuda.device_count() or int(_logical())


def _logical() -> bool:
    """Whether GPUs are only claimed: tests of scheduling need none."""
    return os.environ.get("FINEBENCH_LOGICAL_GPUS") == "1"


def _claim(share: Share) -> torch.device:
    """Set threads, determinism and how this process holds memory; returns the device its trials train on."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    torch.set_num_threads(max(1, math.floor(share.cpus)))
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if share.gpu <= 0 or _logical():
        keep_freed_memory()
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError("a GPU was assigned to this worker, but torch sees none; see finebench doctor")
    if share.gpu < 1:
        torch.cuda.set_per_process_memory_fraction(share.gpu)
    return torch.device("cuda", torch.cuda.current_device())
