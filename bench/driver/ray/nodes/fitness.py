"""Which nodes of a cluster are left out of a run, because workers there could not train, or not start for long."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from finebench.bench.driver.ray.nodes.asks import Ask
from finebench.bench.driver.ray.nodes.roster import Node, there
from finebench.bench.util.errors import InputError

LOOK_EVERY = 2.0
"""Seconds between looks at the nodes while nothing trains."""


LASTING = 15.0
"""Seconds after which trouble on a node, if nothing has ended there since, is no passing one."""


@dataclass
class _Trouble:
    """Workers that could not start on a node since `began`, with no trial ended there; of which packs."""

    began: float
    packs: set[str] = field(default_factory=set)


class Fitness:
    """The nodes that a run leaves out, each told of once; `note` tells the user."""

    def __init__(
        self,
        note: Callable[[str], None],
        nodes: Callable[[], Sequence[Node]] = there,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._note, self._nodes, self._clock = note, nodes, clock
        self._fine: set[str] = set()
        self._troubled: set[str] = set()
        self._trouble: dict[str, _Trouble] = {}
        self._met: dict[str, list[str]] = {}
        self._out: dict[str, str] = {}
        self._were: dict[str, Node] = {}
        self._asked: dict[str, Ask] = {}
        self._next = 0.0

    @property
    def avoid(self) -> list[str]:
        """Ray's ids of the nodes that packs are not to be put on."""
        return sorted(self._out)

    def avoid_for(self, pack: str, ask: Ask) -> list[str]:
        """The nodes that one pack is not to be put on: also those where it met trouble, if others have room for it."""
        met = self._met.get(pack, [])
        return sorted({*self._out, *met}) if met and self._elsewhere(pack, ask) else self.avoid

    def _elsewhere(self, pack: str, ask: Ask) -> bool:
        """Whether a node has room for a pack on which it met no trouble."""
        return ask.fits_on(one for one in self._nodes() if one.id not in {*self._out, *self._met[pack]})

    def fine(self, hosts: Collection[str]) -> None:
        """Trials have ended on these nodes, by host name: workers start there."""
        self._fine.update(hosts)
        if self._trouble:
            well = {one.id for one in self._nodes() if one.name in hosts}
            self._trouble = {node: known for node, known in self._trouble.items() if node not in well}

    def trouble(self, node: str, why: str, pack: str, ask: Ask) -> bool:
        """A pack's worker could not start on a node, by Ray's id, which may pass; whether the pack is simply to be run
        elsewhere.

        A node where that lasts, for different packs, while trials end on others is left out.
        """
        one = next((one for one in self._nodes() if one.id == node), None)
        name, now = one.name if one else node[:8], self._clock()
        again = node in self._met.setdefault(pack, [])
        self._met[pack].append(node)
        if node not in self._troubled:
            self._note(f"node {name}: a worker cannot start there now, its trials run elsewhere: {why}")
        self._troubled.add(node)
        known = self._trouble.setdefault(node, _Trouble(now))
        known.packs.add(pack)
        if len(known.packs) > 1 and now - known.began >= LASTING and self._fine - {name}:
            self.leave_out(node, f"no worker has started there for {now - known.began:.0f} s: {why}")
        return node in self._out or (not again and self._elsewhere(pack, ask))

    def leave_out(self, node: str, why: str) -> None:
        """A worker on a node, by Ray's id, has said why it cannot train."""
        if node in self._out:
            return
        one = next((one for one in self._nodes() if one.id == node), None)
        if one is not None:
            self._were[node] = one
        name = one.name if one else node[:8]
        self._out[node] = f"{name}: {why}"
        self._next = 0.0
        self._note(f"node {name} is left out, its trials run elsewhere: {why}")

    def refuse(self, asked: Mapping[str, Ask]) -> None:
        """Raise InputError where each of the packs that wait, by what it asks for, would have room with the nodes that
        are left out and has none without. Nothing trains, or `asked` is empty.

        Between two calls Ray Tune asks for more packs, which may have room: only what both have stands.
        """
        stands, self._asked = asked == self._asked, dict(asked)
        if not (stands and asked and self._out) or self._clock() < self._next:
            return
        self._next = self._clock() + LOOK_EVERY
        fit = [one for one in self._nodes() if one.id not in self._out]
        every = [*self._were.values(), *fit]
        if all(one.fits_on(every) and not one.fits_on(fit) for one in asked.values()):
            raise InputError(
                f"no node of the cluster can train this study: {'; '.join(self._out.values())}. Mend those nodes "
                "(where versions differ: install there what this command runs with), and run the same command again"
            )
