"""Between Ray Tune's trials and the conductor's packs: what starts, what its end means, what is tried again.

A lost worker or node is retried, `retries` times for a pack; what a trial itself came to (also a divergence or an
exception) is a row at once. A worker that says nothing for longer than a trial may take is killed: its trial is a
`timeout`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.tune.search import Searcher

from bench.conductor import Conductor, Pack
from bench.kernel import KernelKills
from bench.outcome import lost_record
from bench.record import Record
from bench.recorder import Recorder
from bench.shares import Shares
from bench.shipment import Shipment
from bench.stop import Stop

HANG_GRACE = 60.0
"""Seconds beyond `trial_timeout` after which a silent worker is killed. One that can ends its trial by itself, after
the evaluation that it is in."""

STOP_GRACE = 60.0
"""Seconds that workers have for their last checkpoints once the run is told to stop."""


@dataclass
class _Running:
    """A pack in Ray's hands; `heard` is set once it has its worker."""

    pack: Pack
    trial: Any = None
    heard: float | None = None
    hung: bool = False


class Bridge:
    """One sweep's packs by Ray Tune's trial ids."""

    def __init__(
        self,
        conductor: Conductor,
        recorder: Recorder,
        shares: Shares,
        shipment: Shipment,
        rate: Callable[[Pack], float | None],
        retries: int = 0,
        stop: Stop | None = None,
        lives: Callable[[], bool] = lambda: True,
        kernel: KernelKills | None = None,
    ) -> None:
        self.conductor, self.recorder, self.shares, self.rate = conductor, recorder, shares, rate
        self.study, self.tasks, self.timeout = shipment.study, shipment.tasks, shipment.timeout
        self.retries, self.stop = retries, stop or Stop()
        self.lives, self.kernel = lives, kernel
        self.running: dict[str, _Running] = {}
        self.retry: list[Pack] = []
        self._losses: dict[str, int] = {}
        self._stopped_at: float | None = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Ray Tune pickles its searcher and callbacks for its own restore, which is never used: nothing of ours goes
        in."""
        return (object, ())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack as a config, None to wait, FINISHED at the end."""
        if self.stop.requested:
            return None
        pack = self.retry.pop(0) if self.retry else self.conductor.next_pack()
        if pack is None:
            return str(Searcher.FINISHED) if self.conductor.finished and not self.running else None
        self.running[trial_id] = _Running(pack)
        return {
            "pack": [trial.to_json() for trial in pack.trials],
            "rungs": pack.rungs,
            "rate": self.rate(pack),
            "cpus": self.shares.cpus(pack),
            "gpu": self.shares.gpu(pack),
        }

    def started(self, trial_id: str, trial: Any) -> None:
        """A pack has its worker."""
        one = self.running[trial_id]
        one.trial, one.heard = trial, time.monotonic()
        self.recorder.observer.on_start(one.pack)

    def heard(self, trial_id: str, notes: list[str]) -> None:
        """A worker has reported."""
        if trial_id in self.running:
            self.running[trial_id].heard = time.monotonic()
        for note in notes:
            self.recorder.observer.on_note(note)

    def rung(self, trial_id: str, index: int, value: float) -> bool:
        """Whether the pack's search stops it at this rung."""
        pack = self.running[trial_id].pack
        return pack.rungs and self.conductor.on_rung(pack, index, value)

    def finished(self, trial_id: str, payload: dict[str, Any]) -> None:
        """A worker has ended a pack: rows, or a checkpoint, or memory that was not enough."""
        one = self.running.pop(trial_id, None)
        if one is None:
            return
        if payload.get("stopped"):
            if not self.stop.requested:  # it took another driver's word for ours
                self.retry.append(one.pack)
            return
        records = [Record.decode(data) for data in payload["records"]]
        if any(r.trial["status"] == "oom" for r in records) and self.shares.raise_after_oom(one.pack):
            self.recorder.observer.on_note(
                f"{one.pack.name}: out of memory on a shared GPU; trying again with more of it"
            )
            self.retry.append(one.pack)
            return
        self.recorder.store(one.pack, records, payload.get("gpu_memory"))

    def lost(self, trial_id: str, trial: Any) -> None:
        """A pack's worker is gone: try again where that can help, else its trials become rows."""
        one = self.running.pop(trial_id, None)
        if one is None or self.stop.requested:
            return
        if not self.lives():  # it went down with all of Ray, which ends the run: no fault of its own
            self.retry.append(one.pack)
            return
        status, reason = self._why(one, trial)
        losses = self._losses[one.pack.name] = self._losses.get(one.pack.name, 0) + 1
        if not one.hung and losses <= self.retries:
            self.recorder.observer.on_note(
                f"{one.pack.name}: {reason[:200]}; trying again ({losses} of {self.retries})"
            )
            self.retry.append(one.pack)
            return
        tasks = self.tasks
        rows = [lost_record(t, self.study, tasks[t.task.name], status, reason) for t in one.pack.trials]
        self.recorder.store(one.pack, rows)

    def _why(self, one: _Running, trial: Any) -> tuple[str, str]:
        if one.hung:
            return "timeout", f"hung: no sign of life for {HANG_GRACE:.0f} s beyond trial_timeout ({self.timeout:g} s)"
        return why_lost(trial, self.kernel.struck() if self.kernel else None)

    def tick(self) -> None:
        """Now and then: refresh the display, end what hangs, end the run when it is told to stop.

        Raises KeyboardInterrupt once nothing is left to wait for, and ResultsError where the folder is lost.
        """
        self.recorder.observer.tick()
        now = time.monotonic()
        for one in self.running.values():
            if one.heard is not None and not one.hung and now - one.heard > self.timeout + HANG_GRACE:
                one.hung = True
                ray.kill(one.trial.temporary_state.ray_actor)
        if self.stop.requested:
            self._stop(now)

    def _stop(self, now: float) -> None:
        if self._stopped_at is None:
            self._stopped_at = now
            self.recorder.stopping()
        training = sum(one.heard is not None for one in self.running.values())
        if not training or now - self._stopped_at > STOP_GRACE:
            if training:
                self.recorder.observer.on_note(f"{training} trials did not answer; they go on from an older checkpoint")
            raise KeyboardInterrupt


def why_lost(trial: Any, kernel: str | None = None) -> tuple[str, str]:
    """Status and reason of a Ray trial whose worker is gone: Ray wrote its last error down before it asked us.

    A worker that Ray's memory monitor killed is `oom`. One that the kernel's out-of-memory killer ended looks like any
    other lost worker; `kernel` says where that killer was seen to strike meanwhile.
    """
    error = trial.get_pickled_error()
    file = trial.error_file  # where a worker failed while it started, Ray leaves text only
    text = str(error) if error is not None else Path(file).read_text() if file and Path(file).exists() else ""
    memory = isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in text
    words = " ".join(text.split()) or "no reason is known"
    shown = words if len(words) <= 500 else f"{words[:200]} … {words[-300:]}"
    if kernel is not None and not memory:
        return "oom", f"worker lost while the kernel's out-of-memory killer struck ({kernel}): {shown}"
    return ("oom" if memory else "error"), f"worker lost: {shown}"
