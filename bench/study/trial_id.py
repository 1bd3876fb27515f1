"""A trial and its identity: the content hash of everything that can change its result, and of nothing else."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from finebench.bench.methods import code as method_code
from finebench.bench.methods import method
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.parts.training import Select, Training
from finebench.bench.study.schedules import SCHEDULES

TRAINING_VERSION = 3
"""Grows whenever the training code would give another score for the same trial; told in CHANGELOG.md."""


CellKey = tuple[str, str, float, str]
"""Task, method, fraction and budget (canonical JSON): what is compared."""


@dataclass(frozen=True)
class Identity:
    """What a name stands for: the revision of a model, the version and content of a task."""

    name: str
    revision: str


@dataclass(frozen=True)
class Trial:
    """One (method, its hyperparameters, task, fraction, seeds, budget) on one model; frozen, JSON-serialisable.

    `hyperparameters` are complete (defaults filled in), so that a row says everything; of `training`, the precision is
    what it is trained in (bench.study.precision), where the study may say auto.
    """

    stage: str
    method: str
    hyperparameters: Mapping[str, Any]
    task: Identity
    model: Identity
    fraction: float
    seeds: Seeds
    budget: Budget
    training: Training
    select: Select
    tuned: tuple[str, ...] = ()
    """Training options that the method's space holds: part of the configuration; the identity has them in
    `training`."""
    ranks: int = 1
    """Processes among which each batch is divided: sums over them are rounded in another order."""
    shard: Literal["none", "full"] = "none"

    @cached_property
    def id(self) -> str:
        """20 hex digits of BLAKE2b over canonical JSON; `stage` and the study's name are not part of it."""
        cls = method(self.method)
        fields = cls.model_fields
        defaults = {name: field.default for name, field in fields.items()}
        changed = {k: v for k, v in self.hyperparameters.items() if k not in defaults or v != defaults[k]}
        code = {"method": method_code(self.method), "schedule": SCHEDULES.code(self.training.schedule)}
        outside = {kind: value for kind, value in code.items() if value is not None}
        content = {
            "training_version": TRAINING_VERSION,
            "method": [self.method, cls.version],
            "hyperparameters": changed | {"lr": self.hyperparameters["lr"]},
            "task": [self.task.name, self.task.revision],
            "model": self.model.revision,
            "fraction": self.fraction,
            "seeds": [self.seeds.init, self.seeds.order, None if self.fraction == 1.0 else self.seeds.subset],
            "budget": json.loads(self.budget.canonical),
            "training": self._options(),
            "select": self.select.model_dump(exclude_defaults=True),
        }
        if outside:
            content["code"] = outside
        if self.ranks > 1:
            content["ranks"] = [self.ranks, self.shard]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    def _options(self) -> dict[str, Any]:
        """The training options of the identity: float32 is what none says, as on CPUs before trials said it."""
        options = self.training.model_dump(exclude_defaults=True)
        return {key: value for key, value in options.items() if (key, value) != ("precision", "fp32")}

    @property
    def cell(self) -> CellKey:
        """(task, method, fraction, budget): what is compared, and what a search is run in."""
        return (self.task.name, self.method, self.fraction, self.budget.canonical)

    @property
    def configuration(self) -> str:
        """Canonical JSON of the hyperparameters and the training options tuned with them: what a choice is between."""
        return json.dumps(dict(self.hyperparameters) | self.options, sort_keys=True)

    @property
    def options(self) -> dict[str, Any]:
        """The training options that are tuned with the hyperparameters, with their values."""
        return {name: getattr(self.training, name) for name in self.tuned}

    def to_json(self) -> str:
        """One JSON document that `from_json` reads back."""
        return json.dumps(
            {
                "stage": self.stage,
                "method": self.method,
                "hyperparameters": dict(self.hyperparameters),
                "task": asdict(self.task),
                "model": asdict(self.model),
                "fraction": self.fraction,
                "seeds": asdict(self.seeds),
                "budget": self.budget.model_dump(exclude_none=True),
                "training": self.training.model_dump(),
                "select": self.select.model_dump(),
                "tuned": self.tuned,
                "ranks": self.ranks,
                "shard": self.shard,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Trial":
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        return cls(
            stage=raw["stage"],
            method=raw["method"],
            hyperparameters=raw["hyperparameters"],
            task=Identity(**raw["task"]),
            model=Identity(**raw["model"]),
            fraction=raw["fraction"],
            seeds=Seeds(**raw["seeds"]),
            budget=Budget(**raw["budget"]),
            training=Training(**raw["training"]),
            select=Select(**raw["select"]),
            tuned=tuple(raw["tuned"]),
            ranks=raw.get("ranks", 1),
            shard=raw.get("shard", "none"),
        )


def meant(given: str, ids: Collection[str]) -> list[str]:
    """The trial ids that a user's text may stand for: that very id, or those that begin so."""
    return [given] if given in ids else [one for one in ids if given and one.startswith(given)]
