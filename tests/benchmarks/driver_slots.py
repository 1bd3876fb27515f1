"""A driver with a thousand slots: what share of them it keeps busy, and what memory it takes.

    python -m tests.benchmarks.driver_slots [--slots 1000] [--seconds 30] [--rounds 4] [--profile FILE]

Real is what the driver does: a run with Ray Tune's own loop and its keeper of workers, the scheduler, every trial's
rows as a worker reports them (tests.benchmarks.noop), taken in and stored in a folder, the display, the lock.
Simulated are the slots and Ray's transport: a trial is an event, half to one and a half times `--seconds` after its
start, drawn from its id; each event costs WAIT for Ray's own waiting, which was measured. Left out are processes,
nodes, networks, placement groups, and what others on the driver's machine take of it.

The clock counts the driver's CPU time and, while nothing has ended, jumps to what ends next: how busy this machine is
changes nothing. A slot is busy while its trial runs. Counted is the time from when all slots have had a trial to when
the first one finds nothing more to start.
"""

import argparse
import cProfile
import heapq
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import ray
from ray.air.execution._internal import RayActorManager, actor_manager, event_manager
from ray.air.execution.resources.request import AcquiredResources, ResourceRequest
from ray.air.execution.resources.resource_manager import ResourceManager
from ray.tune.execution import tune_controller

from tests.benchmarks.machine import MIB
from tests.benchmarks.noop import NoopWorker
from tests.benchmarks.scale import CELLS, RATES, make_study, run_scale

START, RESET = 7.0, 0.01
"""Seconds until a new worker has its first trial, and until one that is there has its next."""


class Sleeper(NoopWorker):
    """A worker whose trials take time: `nap` says how much until its next report."""

    seconds = 30.0

    def _begin(self, config: dict[str, Any]) -> None:
        super()._begin(config)
        self.left = self.seconds * (0.5 + int(self.pack.trials[0].id[:8], 16) / 2**32)

    def nap(self) -> float:
        """Seconds until the next report."""
        now = min(self.beat, self.left)
        self.left -= now
        return now

    def step(self) -> dict[str, Any]:
        """A heartbeat, or the trial's end."""
        if self.left > 0:
            payload = {"gpu_memory": None, "notes": [], "ended": []}
            return {"done": False, "rung": 0, "value": 0.0, "payload": payload}
        return super().step()


@dataclass
class World:
    """The clock, and what is to happen. `wait` is what an event costs Ray; `theirs` is CPU time that workers took in
    this process, `skipped` what nobody took."""

    wait: float
    skipped: float = 0.0
    theirs: float = 0.0
    events: list[tuple[float, int, "Future"]] = field(default_factory=list)
    order: Iterator[int] = field(default_factory=count)
    spans: list[tuple["Handle", float, float]] = field(default_factory=list)

    def now(self) -> float:
        """Seconds on the driver's clock."""
        return time.process_time() - self.theirs + self.skipped

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What happens in the block takes the driver no time."""
        begin = time.process_time()
        try:
            yield
        finally:
            self.theirs += time.process_time() - begin

    def later(self, seconds: float, future: "Future") -> "Future":
        """Let it come then."""
        heapq.heappush(self.events, (self.now() + seconds, next(self.order), future))
        return future

    def take(self, futures: Sequence["Future"], num_returns: int = 1, timeout: float | None = None) -> Any:
        """As ray.wait does, for the first that comes."""
        self.skipped += self.wait
        wanted = set(futures)
        while self.events and self.events[0][2] not in wanted:  # one that nobody waits for any more
            heapq.heappop(self.events)
        ahead = self.events[0][0] - self.now() if self.events else 1e9
        self.skipped += max(0.0, min(ahead, 0.1 if timeout is None else timeout))
        if not self.events or (timeout is not None and ahead > timeout):
            return [], list(futures)
        return [heapq.heappop(self.events)[2]], []


class Future:
    """What a worker will answer."""

    def __init__(self, handle: "Handle", name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.handle, self.name, self.args, self.kwargs = handle, name, args, kwargs

    def get(self) -> Any:
        """The answer, unpickled as Ray would."""
        with self.handle.world.elsewhere():
            sent = pickle.dumps(self.handle.answer(self.name, self.args, self.kwargs))
        return pickle.loads(sent)


class Handle:
    """A slot's worker, as Ray Tune sees it: an actor."""

    def __init__(self, world: World, cls: Any, kwargs: dict[str, Any]) -> None:
        self.world, self.worker = world, None
        self._made = cls, kwargs

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and not name.startswith("__ray_"):
            raise AttributeError(name)
        return SimpleNamespace(remote=lambda *args, **kwargs: self._ask(name, args, kwargs))

    def _ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future:
        with self.world.elsewhere():
            if self.worker is None:
                cls, given = self._made
                self.worker = cls(**given)
            seconds = {"__ray_ready__": START, "train": 0.0, "reset": RESET}.get(name, 0.0)
            if name == "train":
                seconds = self.worker.nap()
                begin = self.world.now()
                self.world.spans.append((self, begin, begin + seconds))
        return self.world.later(seconds, Future(self, name, args, kwargs))

    def answer(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the worker says."""
        return None if name.startswith("__ray_") else getattr(self.worker, name)(*args, **kwargs)


class Class:
    """In place of an actor's class."""

    def __init__(self, world: World, cls: Any) -> None:
        self.world, self.cls = world, cls

    @property
    def __class__(self) -> type:
        """Ray asks for it."""
        return ray.actor.ActorClass

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise AttributeError("a stand-in")

    def remote(self, **kwargs: Any) -> Handle:
        """Start a worker."""
        return Handle(self.world, self.cls, kwargs)


class Place(AcquiredResources):
    """A place for one worker."""

    def _annotate_remote_entity(self, entity: Any, bundle: dict[str, float], bundle_index: int) -> Any:
        return entity


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


@contextmanager
def simulated(world: World, number: int) -> Iterator[None]:
    """Let sweeps inside the block run on so many slots that are not there."""

    class Manager(RayActorManager):  # type: ignore[misc]
        """Ray Tune's keeper of workers, which starts them in slots."""

        def add_actor(self, cls: Any, *args: Any, **kwargs: Any) -> Any:
            return super().add_actor(Class(world, cls.__ray_metadata__.modified_class), *args, **kwargs)

    waits = SimpleNamespace(wait=world.take, actor=ray.actor, ObjectRef=ray.ObjectRef, kill=ray.kill)
    gets = SimpleNamespace(get=lambda future: future.get(), ObjectRef=ray.ObjectRef)
    with ExitStack() as patched:
        patched.enter_context(patch("finebench.bench.driver.ray.sweep.cpus_available", lambda: float(number)))
        patched.enter_context(patch("finebench.bench.driver.backends.slots", lambda: number))
        patched.enter_context(patch("tests.benchmarks.noop.NoopWorker", Sleeper))
        patched.enter_context(
            patch("tests.benchmarks.noop.majority_score", lambda *given: 0.5)
        )  # 20 ms, not the driver's
        patched.enter_context(patch.object(tune_controller, "RayActorManager", Manager))
        patched.enter_context(patch.object(tune_controller, "PlacementGroupResourceManager", lambda: Places(number)))
        patched.enter_context(patch.object(actor_manager, "ray", waits))
        patched.enter_context(patch.object(event_manager, "ray", gets))
        yield


@dataclass(frozen=True)
class Busy:
    """Share of the slots' time in which a trial ran, seconds of it that are counted, and until all slots had one."""

    share: float
    seconds: float
    ramp: float


def busy(world: World, number: int) -> Busy:
    """From when the last slot had its first trial to when the first one had its last."""
    first, last = dict[Handle, float](), dict[Handle, float]()
    for slot, begin, end in world.spans:
        first.setdefault(slot, begin)
        last[slot] = end
    if len(first) != number:
        raise RuntimeError(f"{len(first)} workers were started for {number} slots")
    begin, end = max(first.values()), min(last.values())
    ran = sum(max(0.0, min(stop, end) - max(start, begin)) for _, start, stop in world.spans)
    return Busy(ran / (number * (end - begin)), end - begin, begin - min(first.values()))


def ray_waits(number: int, times: int = 200) -> float:
    """CPU seconds that Ray takes to look at so many futures and hand out one that is there."""
    with_one = [ray.put(0)]
    asleep = ray.remote(num_cpus=0)(lambda: time.sleep(3600))
    futures = [asleep.options(num_cpus=10**6).remote() for _ in range(number - 1)] + with_one  # they never start
    begin = time.process_time()
    for _ in range(times):
        ray.wait(futures, num_returns=1, timeout=0.1)
        ray.get(with_one[0])
    return (time.process_time() - begin) / times


def main() -> None:
    """Run it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--profile", type=Path, help="write the driver's cProfile statistics here")
    asked = parser.parse_args()
    trials = max(1, round(asked.slots * asked.rounds / (CELLS * RATES))) * CELLS * RATES
    Sleeper.seconds = asked.seconds
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    wait = ray_waits(asked.slots)
    ray.shutdown()
    print(f"Ray takes {1000 * wait:.2f} ms of CPU time to look at {asked.slots:,} futures", flush=True)
    world, profile = World(wait), cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory(prefix="finebench-slots-") as scratch, simulated(world, asked.slots):
        study, folder = make_study(trials, "grid"), Path(scratch) / "results"
        found = profile.runcall(run_scale, study, folder) if asked.profile else run_scale(study, folder)
    if asked.profile:
        profile.dump_stats(asked.profile)
    got = busy(world, asked.slots)
    peak = max(size for _, size in found.memory) / MIB
    print(
        f"{trials:,} trials of {asked.seconds:g} s on {asked.slots:,} slots: {got.share:.1%} of the slots' time busy "
        f"over {got.seconds:.0f} s, {asked.slots * got.share / asked.seconds:.1f} trials/s; all had a trial after "
        f"{got.ramp:.0f} s; the driver's memory, the slots' workers with it, {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
