"""Between Ray Tune's trials and the scheduler's packs: what starts, what its end means, what is tried again.

A lost worker is retried, `retries` times for a pack, and then trial by trial; one that was lost with its node runs
again without counting, and as often as it takes where Ray itself has gone with it (its end is the driver's:
bench.driver.ray.pulse). What a trial by itself came to (also a divergence or an exception) is a row at once, what
failed in a pack is tried in smaller ones (bench.scheduling.retries).
A worker that says nothing for longer than its trials may take is killed: a trial by itself is then a `timeout`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray
from ray.tune.search import Searcher

from finebench.bench.driver.ray import losses
from finebench.bench.driver.ray.ending import Ending
from finebench.bench.driver.ray.in_flight import MEASURED, InFlight
from finebench.bench.driver.ray.nodes.asks import Ask
from finebench.bench.driver.ray.nodes.fitness import Fitness
from finebench.bench.driver.ray.oom_kills import KernelKills
from finebench.bench.driver.ray.workarounds import actor_of
from finebench.bench.driver.ray.worker import beat
from finebench.bench.results.record import Record
from finebench.bench.scheduling.pack_benchmark import Timing
from finebench.bench.scheduling.pack_size import PackSizes
from finebench.bench.scheduling.recorder import Recorder
from finebench.bench.scheduling.retries import Retries
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.training.worker.messages import Pack, Shipment
from finebench.bench.training.worker.result_rows import lost_record
from finebench.bench.util.machine import hostname
from finebench.bench.util.signals import Stop

HANG_GRACE = 60.0
"""Seconds beyond `trial_timeout` after which a silent worker is killed. One that can ends its trial by itself, after
the evaluation that it is in."""
SOON = 0.02
"""Seconds for which Ray Tune's loop waits for rows to be stored on a disk, where the next pack may rest on them; while
an object store takes its time, it looks after other workers."""
LOOK_EVERY = 1.0
"""Seconds between looks at whether something hangs: a thousand packs may run, and Ray Tune has many events a second."""


class TuneAdapter:
    """One sweep's packs by Ray Tune's trial ids."""

    def __init__(
        self,
        scheduler: Scheduler,
        recorder: Recorder,
        sizes: PackSizes,
        shipment: Shipment,
        retries: int = 0,
        stop: Stop | None = None,
        answers: Callable[[], bool] = lambda: True,
        kernel: KernelKills | None = None,
        fitness: Fitness | None = None,
    ) -> None:
        self.scheduler, self.recorder, self.sizes = scheduler, recorder, sizes
        self.study, self.tasks, self.timeout = shipment.study, shipment.tasks, shipment.timeout
        self.retries, self.stop, self.answers = retries, stop or Stop(), answers
        self.kernel = kernel
        self.fitness = fitness or Fitness(recorder.observer.on_note)
        self.running: dict[str, InFlight] = {}
        self.again = Retries()
        self._losses: dict[str, int] = {}
        self._nodes_lost: dict[str, int] = {}
        self._ending = Ending(recorder)
        self._looks_at = 0.0

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Ray Tune pickles its searcher and callbacks for its own restore, which is never used: nothing of ours goes
        in."""
        return (object, ())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack as a config, None to wait, FINISHED at the end.

        Raises KeyboardInterrupt where the run is told to stop and nothing is in flight.
        """
        if self.stop.requested:
            if not self.running:
                raise KeyboardInterrupt  # Ray Tune would wait for a pack, for ten minutes, and not ask `tick`
            return None
        pack, again = self._next_pack()
        if pack is None:
            return str(Searcher.FINISHED) if self.done else None
        found = self.sizes.shares.others(pack)
        ask = Ask(float(found.cpu), self.sizes.shares.gpu(pack), found.beside, found.labels or {}, pack.trials[0].ranks)
        kills = self.kernel.count() if self.kernel else 0
        self.running[trial_id] = InFlight(pack, ask, pack.trials, kills, begun=again)
        return {
            "pack": [trial.to_json() for trial in pack.trials],
            "rungs": pack.rungs,
            "measures": pack.measures.what if pack.measures else None,
            "rate": None if pack.measures else self.sizes.calibration.rate(pack),
            "beat": beat(self.scheduler.queue.slots),
            "cpus": ask.cpus,
            "gpu": ask.gpus,
            "beside": ask.others,
            "labels": ask.labels,
            "ranks": ask.ranks,
            "avoid": self.fitness.avoid_for(pack.key, ask),
        }

    def _next_pack(self) -> tuple[Pack | None, bool]:
        """The next pack, and whether a worker has had it before; what it rests on may be about to be stored. Where
        nothing is in flight that is waited for: Ray Tune itself would ask again in a second, and not call `tick`."""
        self.recorder.tell()
        pack = (again := self.again.next()) or self.scheduler.next_pack()
        soon = self.recorder.folder.local and not self.scheduler.finished
        while pack is None and self.recorder.pending and (soon or not self.running) and not self.stop.requested:
            self.recorder.observer.tick()
            self.recorder.tell(SOON)
            pack = (again := self.again.next()) or self.scheduler.next_pack()
            soon = False
        return pack, again is not None

    @property
    def done(self) -> bool:
        """Whether nothing runs, waits, is being stored, or will be asked for."""
        under_way = self.running or self.again.waiting or self.recorder.pending
        return not under_way and self.scheduler.finished

    @property
    def slots(self) -> tuple[int, int]:
        """Workers that have a pack, and packs that wait for one."""
        in_use = sum(one.heard is not None for one in self.running.values())
        return in_use, len(self.running) - in_use + len(self.again.waiting)

    def started(self, trial_id: str, trial: Any) -> None:
        """A pack has its worker."""
        one = self.running[trial_id]
        one.trial, one.heard = trial, time.monotonic()
        if one.pack.measures is None:
            self.recorder.observer.on_start(one.pack)
        else:
            self.recorder.observer.on_wait(f"measuring {MEASURED[one.pack.measures.what]} before the first trials")

    def heard(self, trial_id: str, payload: dict[str, Any]) -> None:
        """A worker has reported; trials of its pack may have ended."""
        self.recorder.pass_on(payload.get("notes", []))
        one = self.running.get(trial_id)
        if one is not None:
            one.heard, one.reached = time.monotonic(), payload.get("reached", True)
            if (unfit := payload.get("unfit")) is not None and unfit["lasts"]:
                one.unfit = True
                self.fitness.leave_out(unfit["node"], unfit["why"])
            elif unfit is not None:
                one.trouble = unfit["node"], unfit["why"]
            self._take_in(one, payload.get("ended", []), payload.get("gpu_memory"))

    def rung(self, trial_id: str, index: int, value: float) -> bool:
        """Whether the pack's search stops it at this rung."""
        pack = self.running[trial_id].pack
        return pack.rungs and self.scheduler.on_rung(pack, index, value)

    def finished(self, trial_id: str, payload: dict[str, Any]) -> None:
        """A worker has ended a pack: rows, or a checkpoint, or a measurement, or memory that was not enough."""
        one = self.running.pop(trial_id, None)
        if one is None:
            return
        if one.pack.measures is not None:
            self._measured(one.pack, payload)
            return
        self._take_in(one, payload.get("records", []), payload.get("gpu_memory"))
        if payload.get("stopped") and one.left and not self.stop.requested:  # it took another driver's word for ours
            self.again.again(replace(one.pack, trials=one.left))

    def _take_in(self, one: InFlight, encoded: list[bytes], gpu_memory: int | None) -> None:
        """Store what has ended of a pack; what is to be tried again, with more memory or fewer neighbours, waits."""
        records = [Record.decode(data) for data in encoded]
        if not records:
            return
        self.fitness.fine({record.trial["hostname"] for record in records})
        pack, ids = one.pack, {record.trial["trial_id"] for record in records}
        one.left = tuple(trial for trial in one.left if trial.id not in ids)
        if any(record.trial["status"] == "oom" for record in records):
            more = self.sizes.shares.raise_after_oom(pack, one.ask.gpus)
            if more is not None:
                records = self._with_more(pack, records, one.ask.gpus, more)
            elif len(pack.trials) > 1 and not pack.searches:
                self.sizes.shrink(pack)
        counted = self.again.settle(pack, records)
        if len(counted) < len(records):
            self._note(pack, "trials that failed together are tried again in smaller packs")
        if counted:
            self.recorder.store(pack, counted, gpu_memory)

    def _with_more(self, pack: Pack, records: list[Record], share: float, more: float) -> list[Record]:
        """Try what ran out of memory on a part of a GPU again on a larger one; returns the other rows."""
        because = f"out of memory on {share:.3g} of a GPU; tried again on {more:.3g}"
        self._note(pack, because)
        out = {r.trial["trial_id"] for r in records if pack.searches or r.trial["status"] == "oom"}
        self.again.again(replace(pack, trials=tuple(t for t in pack.trials if t.id in out)), because=because)
        return [record for record in records if record.trial["trial_id"] not in out]

    def _measured(self, pack: Pack, payload: dict[str, Any]) -> None:
        """Keep a measurement, or go on without it."""
        need, figures = pack.measures, payload.get("figures")
        if need is None:
            raise ValueError("the pack measures nothing")
        self.sizes.saw_gpu(payload.get("gpu_memory"))
        if payload.get("failed"):
            self._note(pack, f"its speed could not be measured: {payload['failed']}")
            self.sizes.give_up(need)
        else:
            timings = {size: Timing(seconds, peak) for size, seconds, peak in figures} if figures else None
            self.sizes.learn(need, payload.get("rate"), timings)
        self.scheduler.measured(need)

    def _note(self, pack: Pack, text: str) -> None:
        self.recorder.observer.on_note(f"{pack.name}: {text}")

    def lost(self, trial_id: str, trial: Any) -> None:
        """A pack's worker is gone: try again where that can help, else its trials become rows."""
        one = self.running.pop(trial_id, None)
        if one is None or self.stop.requested or not one.left:
            return
        pack = replace(one.pack, trials=one.left)
        if one.unfit or not self.answers():
            self.again.again(pack)
            return
        key = pack.key
        if one.trouble is not None and self.fitness.trouble(*one.trouble, key, one.ask):
            self.again.again(pack)
            return
        status, reason = self._why(one, trial)
        size = len(one.pack.trials)
        if status == "oom" and size > 1 and not pack.searches:
            self.sizes.shrink(one.pack)
            self._note(pack, f"{reason[:200]}; its trials are tried in smaller packs")
            self.again.again(pack, most=size // 2, because=f"out of memory in a pack of {size}")
            return
        if not one.hung and losses.with_node(trial) and self._nodes_lost.get(key, 0) < losses.MOST_NODES:
            self._nodes_lost[key] = self._nodes_lost.get(key, 0) + 1
            self._note(pack, f"its node {losses.node_name(trial) or ''} is gone; it runs again elsewhere")
            self.again.again(pack)
            return
        lost = self._losses[key] = self._losses.get(key, 0) + 1
        if not one.hung and lost <= self.retries:
            self._note(pack, f"{reason[:200]}; trying again ({lost} of {self.retries})")
            self.again.again(pack)
        elif pack.measures is not None:
            self._measured(pack, {"failed": reason[:200]})
        elif len(one.pack.trials) > 1 and not pack.searches:
            self._note(pack, f"{reason[:200]}; its trials are tried one by one")
            self.again.again(pack, most=1)
        else:
            host = losses.node_name(trial) or (hostname() if self.kernel else None)  # which counts where all run here
            rows = [lost_record(t, self.study, self.tasks[t.task.name], status, reason, host) for t in pack.trials]
            self.recorder.store(pack, self.again.tell(rows))

    def _why(self, one: InFlight, trial: Any) -> tuple[str, str]:
        if one.hung:
            return "timeout", f"hung: no sign of life for {HANG_GRACE:.0f} s beyond trial_timeout ({self.timeout:g} s)"
        struck = self.kernel is not None and self.kernel.count() > one.kills
        return losses.why_lost(trial, struck)

    def tick(self) -> None:
        """Now and then: refresh the display, end what hangs, end the run when it is told to stop.

        Raises KeyboardInterrupt once nothing is left to wait for, and ResultsError where the folder is lost or nothing
        can be stored in it.
        """
        self.recorder.tell()
        self.recorder.observer.tick()
        if self.fitness.avoid:
            waits = {key: one for key, one in self.running.items() if one.heard is None or one.unfit}
            stands = len(waits) == len(self.running)
            self.fitness.refuse({key: one.ask for key, one in waits.items() if stands})
        now = time.monotonic()
        if now >= self._looks_at:
            self._looks_at = now + LOOK_EVERY
            self._end_hanging(now)
        if self.stop.requested:
            self._ending.look(self.running.values(), now)

    def _end_hanging(self, now: float) -> None:
        for one in self.running.values():
            patience = self.timeout * max(1, len(one.pack.trials)) + HANG_GRACE
            if one.heard is not None and not one.hung and now - one.heard > patience:
                one.hung = True
                if (actor := actor_of(one.trial)) is not None:
                    ray.kill(actor)
                else:
                    self._note(one.pack, f"it hangs, and Ray {ray.__version__} does not say where; stop the run")
