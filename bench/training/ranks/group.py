"""The ranks of a trial, as one of them sees them: who it is, what all agree on, and what becomes of one that fails.

Every rank runs the same code on the same trial, one evaluation after the other, as rank 0 tells them (`go`). What a
clock or a signal decides is rank 0's word. A rank that fails by itself (its memory runs out, its process is killed)
closes its connections, upon which the others fail wherever they wait for it: the group is broken then, and is not used
again. Words go over gloo, also between GPUs, whose numbers go over NCCL.

    ranks = Ranks.open(Place(rank=1, number=2, host="127.0.0.1", port=40123), device, patience=3600.0)
"""

import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from finebench.bench.util.errors import FinebenchError

MEETING = 300.0
"""Seconds within which the ranks of a trial find each other: a process imports torch and reads its model before."""

LAST_WORDS = 10.0
"""Seconds in which a rank that has failed says why."""

_HERE, _FAILED = "here", "failed"
_INTERFACE = 0x8915  # SIOCGIFADDR


class RankLost(FinebenchError):
    """The process of another rank is gone, or cannot be reached."""


@dataclass(frozen=True)
class Place:
    """Which of `number` ranks a process is, and where rank 0's store listens."""

    rank: int
    number: int
    host: str
    port: int


@dataclass
class Ranks:
    """A trial's ranks; `words` is the group over which they agree, `gone` tells of a rank whose process has ended."""

    rank: int
    number: int
    store: Store
    words: Any
    gone: Callable[[], str | None] = lambda: None
    broken: str | None = None
    own: bool = False
    """Whether it was this rank's own failure that broke the group."""

    @classmethod
    def open(
        cls,
        place: Place,
        device: torch.device,
        patience: float,
        store: Store | None = None,
        gone: Callable[[], str | None] = lambda: None,
    ) -> "Ranks":
        """Meet the other ranks; rank 0 brings its `store` (`listen`). A rank that says nothing for `patience` seconds
        is lost. Raises RankLost where not all of them come."""
        store = store or TCPStore(place.host, place.port, timeout=timedelta(seconds=MEETING))
        _meet(store, place, gone)
        name = _interface(place.host if place.rank == 0 else _own_address(place))
        if name is not None:  # else gloo takes what the host's name stands for, which may lead nowhere
            os.environ["GLOO_SOCKET_IFNAME"] = name
        dist.init_process_group(
            "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl",
            store=PrefixStore("group", store),
            rank=place.rank,
            world_size=place.number,
            timeout=timedelta(seconds=patience),
        )
        words = dist.group.WORLD if device.type == "cpu" else dist.new_group(backend="gloo")
        return cls(place.rank, place.number, store, words, gone)

    def close(self) -> None:
        """Part from the other ranks."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set on any rank."""
        found = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.words)
        return tuple(bool(one) for one in found.tolist())

    def go(self, on: bool = True) -> bool:
        """Rank 0 tells the others whether to go on; what it tells is returned by all."""
        return bool(self.told(on))

    def told(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        held = [value]
        dist.broadcast_object_list(held, src=0, group=self.words)
        return held[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks, on every rank."""
        held: list[Any] = [None] * self.number
        dist.all_gather_object(held, value, group=self.words)
        return held

    def check(self) -> None:
        """Raise RankLost where the group is broken."""
        if self.broken is not None:
            raise RankLost(self.broken)

    def say(self, status: str, reason: str) -> None:
        """Tell rank 0 what has become of this rank, before its connections go."""
        self.store.set(_FAILED, f"{status} rank {self.rank}: {reason}")

    def heard(self, error: BaseException) -> tuple[str, str] | None:
        """Status and reason where this rank failed since another one did; None where the failure is its own. Either way
        the group is broken."""
        first, others = self.broken is None, _of_others(error)
        if first:
            self.broken, self.own = " ".join(f"the ranks lost each other: {error}".split()), not others
        if not others:
            return None
        if first and self.rank == 0:
            return self._ask()
        return "lost", str(self.broken)

    def _ask(self) -> tuple[str, str]:
        """As rank 0, what became of the rank that failed first."""
        until = time.monotonic() + LAST_WORDS
        while True:
            ended = self.gone()
            if self.store.check([_FAILED]):
                status, _, self.broken = self.store.get(_FAILED).decode().partition(" ")
                return status, self.broken
            if ended is not None or time.monotonic() >= until:
                self.broken = ended or self.broken
                return "lost", str(self.broken)
            time.sleep(0.1)


def listen(host: str) -> TCPStore:
    """A store at a free port of this address alone, for the ranks of one pack."""
    heard = socket.create_server((host, 0))
    port = heard.getsockname()[1]
    return TCPStore(host, port, is_master=True, wait_for_workers=False, master_listen_fd=heard.detach())


def _meet(store: Store, place: Place, gone: Callable[[], str | None]) -> None:
    """Return once every rank has come: a group that is opened before would wait, unasked, for one that is gone."""
    until = time.monotonic() + MEETING
    here = store.add(_HERE, 1)
    while here < place.number:
        if (why := gone()) is not None or time.monotonic() > until:
            raise RankLost(why or f"only {here} of {place.number} ranks came within {MEETING:g} s")
        time.sleep(0.01)
        here = store.add(_HERE, 0)


def _of_others(error: BaseException) -> bool:
    """Whether an error is of a connection to another rank."""
    if isinstance(error, RankLost | dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in ("gloo", "nccl"))


def _own_address(place: Place) -> str:
    """This machine's address on the way to rank 0."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect((place.host, place.port))  # sends nothing
        return str(asked.getsockname()[0])


def _interface(address: str) -> str | None:
    """The network interface that has an IPv4 address; None where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(asked, _INTERFACE, struct.pack("256s", name.encode()[:15]))
            except OSError:  # it has no address
                continue
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return None
