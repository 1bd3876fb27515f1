"""What the yardstick trains: studies whose trials every way of running them is given alike.

Each trial evaluates once, after its last step, so that every way predicts the same examples once.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finebench.bench.driver.validate import Prepared, prepare
from finebench.bench.study.load import build_study
from finebench.bench.study.precision import Gpus, gpus_here, resolve
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import Trial

METHODS: dict[str, float] = {"full": 1e-4, "bitfit": 1e-3, "adapter": 1e-3, "lora": 1e-3}
"""The four methods of the yardstick, and a learning rate of each; its grid goes on from there."""


@dataclass(frozen=True)
class Setting:
    """One comparison. `study` is a study as written; `marks` are what the ratios have to reach (see `figures`)."""

    name: str
    study: dict[str, Any]
    data: str | None = None
    device: str = "cpu"
    marks: dict[str, float] | None = None

    def built(self) -> Study:
        """The checked study."""
        return build_study(self.study, self.name, Path("."))

    def prepared(self) -> Prepared:
        """The study with model and data read."""
        study = self.built()
        found = resolve(study, lambda: [gpus_here() if self.device == "cuda" else Gpus(0, False)])
        return prepare(study, None if self.data is None else Path(self.data), found.precision)

    def to_json(self) -> dict[str, Any]:
        """What a runner's process is given; `Setting(**...)` reads it back."""
        return asdict(self)


def trials(ready: Prepared) -> list[Trial]:
    """Every trial, in the plan's order."""
    return list(ready.plan.grid(ready.known))


def _study(name: str, model: str, tasks: list[Any], rates: int, seeds: int, steps: list[int], **more: Any) -> Any:
    training = {"evals": 1} | more.pop("training", {})
    return {
        "name": name,
        "model": model,
        "tasks": tasks,
        "methods": {key: {"lr": [lr * 2**k for k in range(rates)]} for key, lr in METHODS.items()},
        "seeds": seeds,
        "budget": [{"steps": count} for count in steps],
        "training": training,
    } | more


def embedded(tiny: bool = False) -> Setting:
    """The embedded model, 48 trials of 30 and 60 steps (tiny: 4 of 3 steps)."""
    rates, seeds, steps = (1, 1, [3]) if tiny else (2, 3, [30, 60])
    study = _study("yardstick-embedded", "embedded", ["mini-cola"], rates, seeds, steps)
    return Setting("embedded", study, marks={"times_stock": 6.0, "times_floor": 1.10, "warm_overhead": 0.1})


def minilm(model: Path, data: Path) -> Setting:
    """MiniLM on CoLA, 16 trials of 30 steps."""
    study = _study("yardstick-minilm", str(model.resolve()), ["cola"], 2, 2, [30])
    marks = {"times_stock": 2.2, "times_floor": 1.10, "warm_overhead": 0.1}
    return Setting("minilm-cola", study, data=str(data.resolve()), marks=marks)


def generated(
    name: str, model: Path, task: dict[str, Any], batch: int, length: int, *, device: str, tiny: bool, times: float
) -> Setting:
    """A locally made model on generated data, 64 trials of 100 steps (tiny: 4 of 3)."""
    rates, seeds, steps = (1, 1, [3]) if tiny else (4, 4, [100])
    training = {"batch_size": batch, "max_length": length}
    study = _study(f"yardstick-{name}", str(model), [task], rates, seeds, steps, training=training)
    return Setting(f"{name}-b{batch}-t{length}", study, device=device, marks={"times_stock": times})
