"""A driver with a thousand slots: what share of them it keeps busy, and what memory it takes.

    python -m tests.benchmarks.driver_slots [--slots 1000] [--seconds 30] [--rounds 6] [--profile FILE]

Real is all that is the driver's: a run with Ray Tune's own loop, which has a future of Ray's in flight for each slot;
the reports that come back through Ray; each trial's rows, stored in a folder; the scheduler; the lock. Real are also
the workers' reports (tests.benchmarks.noop), now and then and at a trial's end. Simulated are the slots: two
processes hold them all, and a trial is a sleep of half to one and a half times `--seconds`, drawn from its id. Left
out are processes that start, nodes, networks, and Ray's placement groups. The driver and the slots' processes share
this machine's cores.

A slot is busy while its trial sleeps. Counted is the time from when all slots have had a trial to when the first one
finds nothing more to start.
"""

import argparse
import asyncio
import cProfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import ray
from ray.air.execution._internal import RayActorManager
from ray.air.execution.resources.request import AcquiredResources, ResourceRequest
from ray.air.execution.resources.resource_manager import ResourceManager

from finebench.bench.driver.ray.worker import HEARTBEAT_SECONDS
from tests.benchmarks.machine import MIB
from tests.benchmarks.noop import NoopWorker
from tests.benchmarks.scale import CELLS, RATES, make_study, run_scale

HOSTS = 2
"""Processes that hold the slots."""
Span = tuple[int, float, float]
"""A slot, and from when to when it slept, on the machine's clock."""


class Sleeper(NoopWorker):
    """A worker whose trials take time, which its host sleeps: `nap` before each report."""

    seconds = 30.0

    def _begin(self, config: dict[str, Any]) -> None:
        super()._begin(config)
        self.left = self.seconds * (0.5 + int(self.pack.trials[0].id[:8], 16) / 2**32)

    def nap(self) -> float:
        """Seconds until the next report."""
        now = min(HEARTBEAT_SECONDS, self.left)
        self.left -= now
        return now

    def step(self) -> dict[str, Any]:
        """A heartbeat, or the trial's end."""
        if self.left > 0:
            payload = {"gpu_memory": None, "notes": [], "ended": []}
            return {"done": False, "rung": 0, "value": 0.0, "payload": payload}
        return super().step()


class Host:
    """Many slots in one process, each with a worker of its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.workers: dict[int, Any] = {}
        self.spans: list[Span] = []

    async def make(self, slot: int, cls: Any, kwargs: dict[str, Any]) -> None:
        """Start a slot's worker."""
        cls.seconds = self.seconds
        self.workers[slot] = cls(**kwargs)

    async def call(self, slot: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What Ray Tune asks of a worker."""
        if name in ("__ray_ready__", "__ray_terminate__"):
            return None
        worker = self.workers[slot]
        if name == "train":
            begin = time.monotonic()
            await asyncio.sleep(worker.nap())
            self.spans.append((slot, begin, time.monotonic()))
        return getattr(worker, name)(*args, **kwargs)

    async def told(self) -> list[Span]:
        """When each slot slept."""
        return self.spans


class Handle:
    """A slot as Ray Tune sees it: an actor."""

    def __init__(self, host: Any, slot: int) -> None:
        self._host, self._slot = host, slot

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and not name.startswith("__ray_"):
            raise AttributeError(name)
        return SimpleNamespace(remote=lambda *args, **kwargs: self._host.call.remote(self._slot, name, args, kwargs))


@dataclass
class Slots:
    """The slots' hosts, started with the first worker."""

    seconds: float
    hosts: list[Any] = field(default_factory=list)
    cls: Any = None
    number: Iterator[int] = field(default_factory=count)
    spans: list[Span] = field(default_factory=list)

    def start(self, cls: Any, kwargs: dict[str, Any]) -> Handle:
        """A worker in a slot that is free."""
        if not self.hosts:
            host = ray.remote(num_cpus=0, max_concurrency=100_000)(Host)
            self.hosts = [host.remote(self.seconds) for _ in range(HOSTS)]
            self.cls = ray.put(cls)
        slot = next(self.number)
        host = self.hosts[slot % HOSTS]
        host.make.remote(slot, self.cls, kwargs)
        return Handle(host, slot)

    def gather(self) -> None:
        """When each slot slept; while Ray is there."""
        self.spans = [span for host in self.hosts for span in ray.get(host.told.remote())]


class Class:
    """In place of an actor's class: `remote` starts a worker in a slot."""

    def __init__(self, slots: Slots, cls: Any) -> None:
        self.slots, self.cls = slots, cls

    @property
    def __class__(self) -> type:
        """Ray asks for it."""
        return ray.actor.ActorClass

    def options(self, **options: Any) -> "Class":
        """Nothing is asked of Ray."""
        return self

    def remote(self, **kwargs: Any) -> Handle:
        """Start it."""
        return self.slots.start(self.cls, kwargs)


class Places(ResourceManager):
    """So many places, one for each request: no placement groups."""

    def __init__(self, number: int) -> None:
        self.free, self.asked = number, 0

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """One more waits."""
        self.asked += 1

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """One fewer."""
        self.asked -= 1

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether a place is free."""
        return self.free > 0 and self.asked > 0

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        """Take one."""
        if not self.has_resources_ready(resource_request):
            return None
        self.free, self.asked = self.free - 1, self.asked - 1
        return Place(resource_request)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        """Give it back."""
        self.free += 1

    def clear(self) -> None:
        """Nothing is held."""


class Place(AcquiredResources):
    """A place for one worker."""

    def _annotate_remote_entity(self, entity: Any, bundle: dict[str, float], bundle_index: int) -> Any:
        return entity


@contextmanager
def simulated(slots: Slots, number: int) -> Iterator[None]:
    """Let sweeps inside the block run on slots that are not there."""
    import ray.tune.execution.tune_controller as controller

    from finebench.bench.driver.ray.session import ray_session

    class Manager(RayActorManager):  # type: ignore[misc]
        """Ray Tune's keeper of workers, which starts them in slots."""

        def add_actor(self, cls: Any, *args: Any, **kwargs: Any) -> Any:
            return super().add_actor(Class(slots, cls.__ray_metadata__.modified_class), *args, **kwargs)

    @contextmanager
    def session(*args: Any, **kwargs: Any) -> Iterator[None]:
        with ray_session(*args, **kwargs):
            try:
                yield
            finally:
                slots.gather()

    with ExitStack() as patched:
        for what, stand_in in (
            ("finebench.bench.driver.ray.sweep.cpus_available", lambda: float(number)),
            ("finebench.bench.driver.backends.slots", lambda: number),
            ("finebench.bench.driver.ray.session.ray_session", session),
        ):
            patched.enter_context(patch(what, stand_in))
        patched.enter_context(patch.object(controller, "RayActorManager", Manager))
        patched.enter_context(patch.object(controller, "PlacementGroupResourceManager", lambda: Places(number)))
        yield


@dataclass(frozen=True)
class Busy:
    """Share of the slots' time in which they slept, seconds counted, and seconds until all slots had a trial."""

    share: float
    seconds: float
    ramp: float


def busy(spans: list[Span], number: int) -> Busy:
    """From when the last slot began to when the first had nothing more to do."""
    first, last = dict[int, float](), dict[int, float]()
    for slot, begin, end in spans:
        first[slot] = min(begin, first.get(slot, begin))
        last[slot] = max(end, last.get(slot, end))
    if len(first) != number:
        raise RuntimeError(f"{len(first)} of {number} slots had a trial")
    begin, end = max(first.values()), min(last.values())
    slept = sum(max(0.0, min(stop, end) - max(start, begin)) for _, start, stop in spans)
    return Busy(slept / (number * (end - begin)), end - begin, begin - min(first.values()))


def main() -> None:
    """Run it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--profile", type=Path, help="write the driver's cProfile statistics here")
    asked = parser.parse_args()
    trials = max(1, round(asked.slots * asked.rounds / (CELLS * RATES))) * CELLS * RATES
    slots, profile = Slots(asked.seconds), cProfile.Profile()
    with (
        tempfile.TemporaryDirectory(prefix="finebench-slots-") as scratch,
        simulated(slots, asked.slots),
        patch("tests.benchmarks.noop.NoopWorker", Sleeper),
    ):
        study, folder = make_study(trials, "grid"), Path(scratch) / "results"
        found = profile.runcall(run_scale, study, folder) if asked.profile else run_scale(study, folder)
    if asked.profile:
        profile.dump_stats(asked.profile)
    got = busy(slots.spans, asked.slots)
    peak = max(size for _, size in found.memory) / MIB
    print(
        f"{trials:,} trials of {asked.seconds:g} s on {asked.slots:,} slots in {found.seconds:.0f} s: "
        f"{got.share:.1%} of the slots' time busy over {got.seconds:.0f} s, "
        f"{asked.slots * got.share / asked.seconds:.1f} trials/s; all had a trial after {got.ramp:.0f} s; "
        f"the driver's memory {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
