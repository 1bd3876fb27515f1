"""The other ranks of a process that trains as rank 0: how they are started and told, and what one of them does.

    ranks = assemble(cache, trials)
    python -m finebench.bench.training.worker.follower   # what `LocalFollowers` starts, one for each other rank

Other ranks get the shipment without RESULTS and the same packs as rank 0, and hand in nothing. They are kept from pack
to pack; after a failure that is not every rank's they are ended, and started anew for the next pack.
"""

import pickle
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from finebench.bench.study.trial_id import Trial
from finebench.bench.training.ranks.group import Place, RankLost, Ranks, listen
from finebench.bench.training.worker.messages import Orders, Pack, Share, Shipment
from finebench.bench.util import own_python
from finebench.bench.util.errors import DeviceLost, plain

if TYPE_CHECKING:
    from finebench.bench.training.worker.worker_cache import WorkerCache

CHILD = "finebench.bench.training.worker.follower"

SILENCE = 120.0
"""Seconds beyond the time that its trials may take after which a rank that waits for another gives up."""


class LocalFollowers:
    """Processes of this machine, which end with this one."""

    host = "127.0.0.1"

    def __init__(self, shipment: Shipment, share: Share) -> None:
        self._first = replace(shipment, results="", run=""), share
        self._children: list[subprocess.Popen[bytes]] = []

    def follow(self, orders: Orders) -> None:
        """Start what is not there, or has ended, and hand the orders over."""
        if len(self._children) != orders.number - 1 or self.gone() is not None:
            self.end()
            command = own_python.run_module(CHILD)
            for rank in range(1, orders.number):
                child = subprocess.Popen(
                    command, stdin=subprocess.PIPE, env=own_python.environment(), start_new_session=True
                )  # Ctrl-C is rank 0's to answer
                self._children.append(child)
                _send(child, (rank, *self._first))
        for child in self._children:
            _send(child, orders)

    def gone(self) -> str | None:
        """Which process has ended."""
        codes = [child.poll() for child in self._children]
        return next((f"rank {i + 1} has ended ({code})" for i, code in enumerate(codes) if code is not None), None)

    def end(self) -> None:
        """Kill them: they hold nothing that anyone waits for."""
        for child in self._children:
            child.kill()
            child.communicate()
        self._children.clear()


def _send(child: "subprocess.Popen[bytes]", message: object) -> None:
    assert child.stdin is not None
    try:
        pickle.dump(message, child.stdin)
        child.stdin.flush()
    except BrokenPipeError:  # it has ended, which `gone` tells
        pass


def assemble(cache: "WorkerCache", pack: Pack, rate: float | None = None, measures: bool = False) -> Ranks:
    """Meet the other ranks of a pack, as its rank 0; they are this machine's where nobody has brought others. Raises
    DeviceLost where they do not come: another process may have ones that do."""
    if cache.followers is None:
        cache.followers = LocalFollowers(cache.shipment, cache.share)
    followers, number = cache.followers, pack.trials[0].ranks
    store = listen(followers.host)
    texts = tuple(trial.to_json() for trial in pack.trials)
    place = Place(0, number, followers.host, store.port)
    try:
        followers.follow(Orders(cache.share, texts, pack.rungs, rate, number, followers.host, store.port, measures))
        return Ranks.open(place, cache.device, patience(cache.shipment, pack.trials), store, followers.gone)
    except (RankLost, RuntimeError) as error:
        followers.end()
        raise DeviceLost(f"not all {number} ranks of a trial came together: {plain(str(error))}") from error


def patience(shipment: Shipment, trials: Sequence[Trial]) -> float:
    """Seconds that one rank of these trials waits for another."""
    return shipment.timeout * len(trials) + SILENCE
