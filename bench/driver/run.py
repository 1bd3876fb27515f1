"""`finebench run`: prepare, claim the folder, run what is missing, report. Also what `rerun` and `status` rest on."""

import io
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from finebench.bench.data.facts import facts, lines
from finebench.bench.driver import preflight
from finebench.bench.driver.backends import train
from finebench.bench.driver.loggers import check_tracker, tracking
from finebench.bench.driver.opening import Opening, Settle
from finebench.bench.driver.options import RunOptions, RunOutcome
from finebench.bench.driver.validate import Prepared, claim_folder, model_place, prepare
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import Lock, claim
from finebench.bench.results.recompute_id import check_identity, identity
from finebench.bench.results.writer import Writer
from finebench.bench.scheduling.node_speeds import slots_words
from finebench.bench.scheduling.recorder import Observer, Recorder
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plugins import check_unchanged
from finebench.bench.study.precision import Gpus, gpus_here, resolve
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import CellKey, Trial
from finebench.bench.training.worker.checkpoint_policy import clear
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util import user_cache
from finebench.bench.util.places import check_temporary
from finebench.bench.util.signals import Stop


@dataclass
class Tended(Observer):
    """Tells the folder's lock what is running, so that its heartbeat can say so; wraps the display."""

    lock: Lock
    inner: Observer

    def on_start(self, pack: Pack) -> None:
        """A pack has started."""
        self.lock.running = self.lock.running | {trial.id: list(trial.cell) for trial in pack.trials}
        self.inner.on_start(pack)

    def on_row(self, row: dict[str, Any]) -> None:
        """A trial has ended."""
        self.lock.running = {one: cell for one, cell in self.lock.running.items() if one != row["trial_id"]}
        self.inner.on_row(row)

    def on_data(self, text: str) -> None:
        """Pass it on."""
        self.inner.on_data(text)

    def on_note(self, text: str) -> None:
        """Pass it on."""
        self.inner.on_note(text)

    def on_wait(self, text: str) -> None:
        """Pass it on."""
        self.inner.on_wait(text)

    def on_slots(self, nodes: int, in_use: int, waiting: int) -> None:
        """Let the heartbeat tell of it too."""
        self.lock.where = slots_words(nodes, in_use, waiting)
        self.inner.on_slots(nodes, in_use, waiting)

    def tick(self) -> None:
        """Refresh the display; raises ResultsError where the folder is lost to another driver."""
        self.lock.check()
        self.inner.tick()

    def close(self) -> None:
        """Nothing runs any more."""
        self.inner.close()


def _nobody(results: str, looks: int) -> tuple[Collection[CellKey], str]:
    raise ValueError("seeds that come in waves need someone who looks at the claims")


def run_study(
    study: Study,
    options: RunOptions,
    observe: Callable[[Scheduler], Observer],
    why: Callable[[Trial, str, bool], None],
    settle: Settle = _nobody,
    waits: Callable[[str], None] = lambda text: None,
) -> RunOutcome:
    """Run what is missing of a study; raises InputError before anything starts, KeyboardInterrupt when interrupted.

    `waits` is told what the run waits for until there is an observer, which is told so from then on.
    """
    begin = time.monotonic()
    check_unchanged(study)
    folder = ResultsFolder(options.results)
    check_temporary(ray=not options.debug and options.address is None)
    user_cache.limit()
    check_tracker(options.logger, study.name, folder)
    waits(f"looking at the results folder {options.results}")
    claim_folder(folder, study)
    waits("asking which GPUs there are" if options.address is None else f"asking the cluster at {options.address}")
    notes: list[str] = []
    precision = resolve(study, lambda: _gpus(options.address, notes.append))
    waits(f"loading the data and model {study.model}")
    ready = prepare(study, options.data, precision.precision)
    check_identity(folder.uri, folder.plan(), identity(ready.known, ready.study))
    shares = None
    if options.debug:
        from finebench.bench.driver import local  # and torch with it

        shares = local.shares_here(ready.study)
        notes += local.unplaced(ready.study)
    known = {name: facts(found) for name, found in ready.tasks.items()}
    waits(f"trying the model and {_counted(len(study.methods), 'method')} on the data")
    _try(ready, options)
    waits("reading what the results folder holds")
    folder.create()
    with Stop() as stop, claim(folder, notes.append) as lock:
        inputs, written = _inputs(ready, options, known), dump_study(ready.study)
        opening = Opening(folder, ready, written, inputs, options.keep, settle, options.shard)
        folder.notify = notes.append
        scheduler = opening.scheduler(options.limit, why)
        observer = Tended(lock, observe(scheduler))
        folder.notify = observer.on_note
        for line in lines(known):
            observer.on_data(line)
        for note in [*notes, *precision.notes, *opening.notes]:
            observer.on_note(note)
        skipped = len({i for i, _ in opening.done})
        try:
            with (
                Writer(folder, lock.check) as writer,
                tracking(options.logger, study.name, folder, observer.on_note) as log,
            ):
                recorder = Recorder(writer, scheduler, observer, study.name, lock, log)
                train(ready, scheduler, recorder, options, shares, stop, opening)
        finally:
            observer.close()
        clear(folder, set())
    failures = [*_diverged_before(folder, scheduler), *recorder.failures]
    return RunOutcome(folder, recorder.statuses, failures, skipped, time.monotonic() - begin)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _gpus(address: str | None, note: Callable[[str], None]) -> list[Gpus]:
    """The GPUs of each machine that trials may run on: of this one, or of a cluster's nodes."""
    if address is None:
        return [gpus_here()]
    from finebench.bench.driver.ray import session

    return session.gpus_at(address, note)


def _try(ready: Prepared, options: RunOptions) -> None:
    """Raise an InputError where the model or a method does not work on the data, unless that was found out before.

    In a child process, while this one imports what it needs for Ray; in this one where torch is here anyway.
    """
    if preflight.shipped(ready.plan, ready.tasks):
        return
    asked = preflight.question(ready.plan, ready.known, ready.model.folder, ready.tasks, ready.defaults)
    if preflight.passed(asked):
        return
    if options.debug or "torch" in sys.modules:
        from finebench.bench.driver.rehearsal import try_all

        try_all(asked, lambda doing: None)
        preflight.note_passed(asked)
        return
    with preflight.Child(asked) as child:
        from finebench.bench.driver.ray import session

        session.import_tune()
        child.wait()


def _diverged_before(folder: ResultsFolder, scheduler: Scheduler) -> list[dict[str, Any]]:
    """Rows of planned trials that an earlier run left diverged: how a study ends does not depend on how often it was
    stopped."""
    if not scheduler.lasting:
        return []
    return [row for row in folder.rows({}) if row["trial_id"] in scheduler.lasting and row["status"] == "diverged"]


def _inputs(ready: Prepared, options: RunOptions, known: Mapping[str, Any]) -> dict[str, Any]:
    """What plan.json says of this run's inputs."""
    data = None if options.data is None else str(options.data.resolve())
    inputs = {"data": data, "model_folder": str(ready.model.folder), "tasks": known}
    return inputs | {"precision": ready.known.precision}


def dump_study(study: Study) -> str:
    """A study as YAML that `finebench run` accepts from anywhere, with every default written out."""
    raw = study.model_dump(exclude_none=True) | {"model": model_place(study.model)}
    if not study.plugins:
        del raw["plugins"]
    raw["search"] = {kind: value for kind, value in raw["search"].items() if value is not None}
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(raw, text)
    return text.getvalue()
