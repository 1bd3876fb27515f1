"""What the driver knows of a pack that Ray has."""

from dataclasses import dataclass
from typing import Any

from finebench.bench.driver.ray.nodes.asks import Ask
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import Pack

MEASURED = {"rate": "how fast a step is", "packs": "how many trials are trained together fastest"}
"""What is measured before trials (`shipment.Need.what`), in words."""


@dataclass
class InFlight:
    """A pack in Ray's hands, and what it asks of a node; `left` are those of its trials that have not ended, `heard` is
    set once it has its worker, `kills` is what the kernel's out-of-memory killer had counted when it was handed over;
    `unfit` says that its worker's node cannot train, `trouble` where and why its worker could not start now, `begun`
    that a worker has had it before, `reached` whether its worker reached RESULTS when it was last heard."""

    pack: Pack
    ask: Ask
    left: tuple[Trial, ...]
    kills: int = 0
    trial: Any = None
    heard: float | None = None
    hung: bool = False
    unfit: bool = False
    trouble: tuple[str, str] | None = None
    begun: bool = False
    reached: bool = True
