"""What each part brings on a GPU, alone and together: variants of one setting, each a run of finebench.

A variant is the setting's study with other resources and precision, and perhaps another worker. The first is the
baseline: resident workers (which every finebench run has), one trial to a GPU, float32, an optimiser that is not fused.
Stock Ray Tune, without resident workers, stands beside it in the yardstick's own table.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finebench.bench.driver.ray.worker import Worker
from finebench.bench.util.errors import InputError
from tests.benchmarks.figures import Run
from tests.benchmarks.setting import Setting

PACKS = (2, 4, 8, 16)
SHARES = (0.5, 0.25, 0.125)


class PlainOptimizerWorker(Worker):
    """A worker whose AdamW goes parameter by parameter: what the fused one replaces."""

    def setup(self, config: dict[str, Any], shipment: Any = None, files: Any = None) -> None:
        """Let AdamW run unfused in this process, whoever asks for it."""
        import torch

        class Plain(torch.optim.AdamW):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options | {"fused": False, "foreach": False})

        torch.optim.AdamW = Plain  # type: ignore[misc]
        super().setup(config, shipment, files)


@dataclass(frozen=True)
class Variant:
    """A variant of a setting: share of a GPU, trials per pack, bf16 or float32, fused optimiser or not."""

    name: str
    gpu: float = 1.0
    pack: int = 1
    precision: str = "fp32"
    fused: bool = False

    def of(self, setting: Setting) -> Setting:
        """The setting with this variant's resources; without a GPU its share is 0."""
        resources = {"gpu": self.gpu if setting.device == "cuda" else 0, "pack": self.pack}
        training = setting.study["training"] | {"precision": self.precision}
        return replace(setting, study=setting.study | {"resources": resources, "training": training})

    @property
    def extra(self) -> list[str]:
        """What the runner is told of the worker."""
        return [] if self.fused else [PlainOptimizerWorker.__name__]


def variants() -> Iterator[Variant]:
    """Alone: each part on top of the baseline. Together: bf16 and the fused optimiser with each share and pack."""
    yield Variant("resident workers alone")
    yield Variant("fused optimiser", fused=True)
    yield Variant("bf16", precision="bf16")
    yield from (Variant(f"GPU share {share:g}", gpu=share) for share in SHARES)
    yield from (Variant(f"packs of {k}", pack=k) for k in PACKS)
    yield Variant("bf16, fused", precision="bf16", fused=True)
    yield from (Variant(f"bf16, fused, share {share:g}", share, 1, "bf16", True) for share in SHARES)
    yield from (Variant(f"bf16, fused, packs of {k}", 1.0, k, "bf16", True) for k in PACKS)


@dataclass(frozen=True)
class Part:
    """A line of the table: seconds of the whole run, trials per hour, times the baseline; or why it was not run."""

    name: str
    makespan: float | None
    trials_per_hour: float | None
    times: float | None
    note: str = ""


def measure_parts(
    setting: Setting, run: Callable[[str, Setting, Sequence[str]], Run], chosen: Sequence[Variant]
) -> Iterator[Part]:
    """Run each variant; one whose study this version refuses is a line with the refusal."""
    baseline: float | None = None
    for variant in chosen:
        changed = variant.of(setting)
        try:
            changed.built()
        except InputError as error:
            yield Part(variant.name, None, None, None, str(error))
            continue
        done = run("finebench", changed, variant.extra)
        baseline = baseline or done.makespan
        hourly = 3600 * done.found["trials"] / done.makespan
        yield Part(variant.name, done.makespan, hourly, baseline / done.makespan)
