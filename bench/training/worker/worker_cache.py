"""What stays in a process from trial to trial: pristine backbones, tokenised data, and the device it trains on."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from finebench.bench.data.splits import Draw, draw
from finebench.bench.data.task_data import TaskData
from finebench.bench.data.tokenize import Tokens, cached_tokens
from finebench.bench.models.architecture import Architecture, read_architecture
from finebench.bench.models.load import Backbone, load_backbone
from finebench.bench.study.parts.training import Select
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.feature_cache import FeatureStore
from finebench.bench.training.worker.checkpoint_policy import Watch
from finebench.bench.training.worker.determinism import obstacle, set_strict
from finebench.bench.training.worker.float32_modules import Attempt, attempts, run_in_float32, spare
from finebench.bench.training.worker.kind import kind
from finebench.bench.training.worker.messages import Followers, Share, Shipment, own_bytes
from finebench.bench.util.cpu_allocator import keep_freed_memory
from finebench.bench.util.doors import load_plugin


class WorkerCache:
    """What stays in a process from trial to trial: pristine backbones and tokenised data. Nothing a trial does changes
    it."""

    def __init__(self, shipment: Shipment, share: Share) -> None:
        for plugin in shipment.plugins:
            load_plugin(plugin)
        self.shipment = shipment
        self.watch = Watch(shipment)
        self.take(share)
        self.folder = Path(shipment.model_folder)
        self.architecture: Architecture = read_architecture(self.folder)
        self._backbones: dict[tuple[int, bool], Backbone] = {}
        self._tokens: dict[tuple[str, str, int], Tokens] = {}
        self.notes: list[str] = []
        self.features = FeatureStore()
        self.followers: Followers | None = None
        self._fitted: dict[str, tuple[list[str], bool]] = {}  # by kind of trial: `fit_to_device`

    def take(self, share: Share) -> None:
        """Train on this share of the machine from now on."""
        self.share, self.device = share, _claim(share)

    def close(self) -> None:
        """End the processes that train as other ranks than this one."""
        if self.followers is not None:
            self.followers.end()

    def backbone(self, task: TaskData) -> Backbone:
        """The pristine model with a head for this task, on the CPU."""
        key = (task.num_labels, task.task.kind == "regression")
        if key not in self._backbones:
            self._backbones[key] = load_backbone(self.folder, *key)
        return self._backbones[key]

    def tokens(self, task: TaskData, split: str, max_length: int) -> Tokens:
        """One split: as it was sent, or tokenised once per node."""
        key = (task.task.name, split, max_length)
        if key not in self._tokens:
            shipped = self.shipment.tokens.get(key)
            found = (
                cached_tokens(task, split, self.folder, max_length, self.notes.append)
                if shipped is None
                else Tokens(shipped.ids, shipped.offsets, shipped.type_ids)
            )
            self._tokens[key] = replace(found, left=self.backbone(task).side == "left")
        return self._tokens[key]

    def draw(self, trial: Trial) -> Draw:
        """The rows of train that this trial fits and chooses on."""
        return draw_rows(self.shipment.tasks[trial.task.name], trial.fraction, trial.seeds.subset, trial.select)

    def fit_to_device(self, model: nn.Module, trial: Trial, tokens: Tokens, rows: np.ndarray, pad_id: int) -> bool:
        """Let what of a trial's model cannot be autocast run in float32 (bench.training.worker.float32_modules), and
        torch be as strictly deterministic on a GPU as the model allows (bench.training.worker.determinism). Both are
        found once for all trials of a kind, on their training rows; returns whether anything was computed for that
        now."""
        key = kind(trial)
        tried = key not in self._fitted
        if tried:
            alone, together, evaluation = attempts(model, tokens, rows, pad_id)
            tries = (alone, evaluation) if trial.shard == "full" else (alone, together, evaluation)  # never stacked
            self._fitted[key] = self._try(model, trial, tries)
        names, strict = self._fitted[key]
        if not tried:
            run_in_float32(model, names)
        set_strict(strict)
        return tried and (self.device.type != "cpu" or trial.training.precision == "bf16")

    def _try(self, model: nn.Module, trial: Trial, tried: tuple[Attempt, ...]) -> tuple[list[str], bool]:
        """The modules that run in float32, and whether torch is strict."""
        precision = trial.training.precision
        names = spare(model, self.device, precision, *tried)
        if "" in names:
            self.notes.append(f"{trial.method} cannot be autocast on this model: it is trained in float32 throughout")
        if self.device.type == "cpu":  # whose operations are deterministic, whatever torch is told
            return names, False
        reason = obstacle(precision, tried)
        if reason is not None:
            self.notes.append(f"{trial.method} on this model may differ from run to run in the last bits: {reason}")
        return names, reason is None


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
    set_strict(False)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if share.gpu <= 0 or _logical():
        keep_freed_memory()
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError("a GPU was assigned to this worker, but torch sees none; see finebench doctor")
    if share.gpu < 1:
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        torch.cuda.set_per_process_memory_fraction(own_bytes(total, share.gpu) / total)
    return torch.device("cuda", torch.cuda.current_device())
