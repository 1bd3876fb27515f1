"""The other ranks of a worker: an actor in each further bundle of its placement group, ended with the worker itself.

The worker trains as rank 0 and is all that the driver knows of. Before its first pack each of the others proves that
its node runs what rank 0's does, as a worker does (bench.driver.ray.gate). One that is lost ends them all: rank 0 says
why, or is ended where it waits for what will not come, and the driver tries the pack again.
"""

import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from finebench.bench.driver.ray import losses
from finebench.bench.driver.ray.nodes import proof
from finebench.bench.driver.ray.nodes.proof import NodeUnfit, differences, fingerprint

STARTS = 240.0
"""Seconds within which the other ranks must have started and read the study."""

NODE_PATIENCE = 60.0
"""Seconds in which Ray finds out that a node has died to which connections are cut."""

PARTING = 10.0
"""Seconds in which the other ranks end a pack after rank 0; one that takes longer is not waited for."""

GRACE = 90.0
"""Seconds in which rank 0 may end a pack by itself whose other rank is lost: it hears of that by its connections,
except where a cable is cut."""


class Rank:
    """One other rank; sent to its node as it stands, where another finebench may be or none."""

    def look(self, wanted: dict[str, str]) -> tuple[str, str]:
        """The node's id, and in what it differs from rank 0's, with what is installed found before what Ray put in
        front: the driver's working directory."""
        try:
            from finebench.bench.util.own_python import installed_first
        except ImportError:  # the fingerprint tells
            pass
        else:
            installed_first()
        return ray.get_runtime_context().get_node_id(), "; ".join(differences(fingerprint(), wanted))

    def start(self, rank: int, shipment: Any, files: Any, share: Any) -> None:
        """Read the study."""
        from finebench.bench.driver.ray.model_files import localise
        from finebench.bench.training.worker.worker_cache import WorkerCache

        shipment = localise(shipment, files)
        self.unpacked = None if files is None else shipment.model_folder
        self.rank, self.cache = rank, WorkerCache(shipment, share)

    def follow(self, orders: Any) -> bool:
        """Train a pack; whether this process can train another one."""
        from finebench.bench.training.worker.follower import serve
        from finebench.bench.util.user_cache import used

        if self.unpacked is not None:
            used(Path(self.unpacked))  # it may load the model again, days after it began
        return serve(self.cache, self.rank, orders)


class RayFollowers:
    """The other ranks of this worker (bench.training.worker.messages.Followers)."""

    def __init__(self, shipment: Any, files: Any, share: Any) -> None:
        self.host = str(ray.util.get_node_ip_address())
        self._cargo = ray.put(replace(shipment, results="", run="")), files, share
        self._actors: list[Any] = []
        self._nodes: list[str] = []
        self._running: list[Any] = []

    def follow(self, orders: Any) -> None:
        """Start what is not there, or cannot train another pack, and hand the orders over. Raises NodeUnfit, and
        DeviceLost where Ray cannot start them: another process may have ones that it can."""
        from finebench.bench.util.errors import DeviceLost

        lost = self._lost_since() if self._running else None
        if lost is not None:
            self.end()
        try:
            if not self._actors:
                self._start(orders.number)
        except ray.exceptions.RayError as error:
            said = " ".join(str(error).split())[:200]
            said = f"{lost}, and no other came: {said}" if lost else f"its other ranks did not start: {said}"
            raise DeviceLost(said) from error
        self._running = [actor.follow.remote(orders) for actor in self._actors]
        threading.Thread(target=self._watch, args=(self._running,), name="finebench-ranks", daemon=True).start()

    def _lost_since(self) -> str | None:
        """Which rank has not ended the pack before, as rank 0 has, or can train no other one."""
        _, going_on = ray.wait(self._running, num_returns=len(self._running), timeout=PARTING)
        return self.gone() or ("a rank has not ended the pack before" if going_on else None)

    def _start(self, number: int) -> None:
        share = self._cargo[2]
        group: Any = ray.util.get_current_placement_group()  # this worker's own
        with _by_value():
            actor = ray.remote(num_cpus=share.cpus, num_gpus=share.gpu, max_restarts=0)(Rank)
            for rank in range(1, number):
                place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
                self._actors.append(actor.options(scheduling_strategy=place).remote())
        try:
            looks = ray.get([one.look.remote(fingerprint()) for one in self._actors], timeout=STARTS)
            self._nodes = [node for node, _ in looks]
            for node, why in looks:
                if why:
                    raise NodeUnfit(node, why)
            ray.get(
                [one.start.remote(rank, *self._cargo) for rank, one in enumerate(self._actors, start=1)], timeout=STARTS
            )
        except Exception:
            self.end()
            raise

    def gone(self) -> str | None:
        """Which rank has ended, and what Ray says of it."""
        done, _ = ray.wait(self._running, num_returns=len(self._running), timeout=0) if self._running else ([], [])
        for one in done:
            rank = self._running.index(one) + 1
            try:
                if not ray.get(one):
                    return f"rank {rank} has failed"
            except ray.exceptions.RayError as error:
                return f"rank {rank} is gone: {self._why(rank, error)}"
        return None

    def _why(self, rank: int, error: ray.exceptions.RayError) -> str:
        """What Ray says of a lost rank, or comes to say of its node."""
        said = " ".join(str(error).split())[:200]
        unknown, until = isinstance(error, ray.exceptions.ActorUnavailableError), time.monotonic() + NODE_PATIENCE
        while True:
            node = next((one for one in ray.nodes() if one["NodeID"] == self._nodes[rank - 1]), None)
            if node is not None and not node["Alive"]:
                where = f"\nip: {node['NodeManagerAddress']}\n"  # as Ray writes it, for `losses.node_name`
                return f"{losses.NODE_DIED}: {said}{where}"
            if not unknown or time.monotonic() > until:
                return said
            time.sleep(1.0)

    def end(self) -> None:
        """Kill them: they hold nothing that anyone waits for."""
        self._running = []
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def _watch(self, running: list[Any]) -> None:
        """End this process where a rank is lost and rank 0 waits for it nevertheless."""
        waiting = list(running)
        while waiting and running is self._running:
            done, waiting = ray.wait(waiting, timeout=None)
            if self._lost(done) and running is self._running:
                time.sleep(GRACE)
                if running is self._running:
                    print(f"finebench: {self.gone()}; rank 0 ends", file=sys.stderr, flush=True)
                    os._exit(1)

    def _lost(self, done: list[Any]) -> bool:
        try:
            return not all(ray.get(done))
        except ray.exceptions.RayError:
            return True


class _by_value:
    """Within, Ray sends the rank itself to its node, and not its name."""

    _modules = (sys.modules[__name__], proof, losses)

    def __enter__(self) -> None:
        for module in self._modules:
            cloudpickle.register_pickle_by_value(module)

    def __exit__(self, *unused: object) -> None:
        for module in self._modules:
            cloudpickle.unregister_pickle_by_value(module)
