"""`finebench run`: prepare, claim the folder, run what is missing, report. Also what `rerun` and `status` rest on."""

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from ruamel.yaml import YAML

from bench.calibration import Calibration
from bench.conductor import CellSearch, Conductor, Pack
from bench.estimate import estimate, sizes
from bench.identify import extended, identity
from bench.meter import cpu_count, hostname
from bench.plan import Cell
from bench.prepare import Prepared, claim_folder, prepare
from bench.recorder import Observer, Recorder
from bench.results import Done, ResultsFolder, record_name
from bench.shares import Shares
from bench.study import Study
from bench.trial import Trial


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks of a run, apart from the study."""

    results: str
    data: Path | None = None
    limit: int | None = None
    address: str | None = None
    debug: bool = False
    keep: str = "none"
    logger: str | None = None


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: statuses of the trials it ran, rows of failed ones, planned trials that were there before."""

    folder: ResultsFolder
    statuses: dict[str, int]
    failures: list[dict[str, Any]]
    skipped: int
    seconds: float


@dataclass
class Heartbeat(Observer):
    """Keeps RESULTS/_driver.json current, so that `status` can tell what is running; wraps the display."""

    folder: ResultsFolder
    inner: Observer
    running: dict[str, list[Trial]] = field(default_factory=dict)
    written: float = 0.0

    def on_start(self, pack: Pack) -> None:
        """A pack has started."""
        self.running[pack.name] = list(pack.trials)
        if time.monotonic() - self.written > 0.5:
            self._write()
        self.inner.on_start(pack)

    def on_row(self, row: dict[str, Any]) -> None:
        """A trial has ended."""
        ended = row["trial_id"]
        self.running = {name: [t for t in trials if t.id != ended] for name, trials in self.running.items()}
        self.inner.on_row(row)

    def on_note(self, text: str) -> None:
        """Pass it on."""
        self.inner.on_note(text)

    def tick(self) -> None:
        """Refresh the display, and the heartbeat every two seconds."""
        if time.monotonic() - self.written > 2:
            self._write()
        self.inner.tick()

    def close(self) -> None:
        """Nothing runs any more."""
        self.running = {}
        self._write()
        self.inner.close()

    def _write(self) -> None:
        self.written = time.monotonic()
        cells = {trial.id: list(trial.cell) for trials in self.running.values() for trial in trials}
        beat = {"host": hostname(), "pid": os.getpid(), "at": time.time(), "running": list(cells), "cells": cells}
        self.folder.write_json("_driver.json", beat)


def run_study(
    study: Study,
    options: RunOptions,
    observe: Callable[[Conductor], Observer],
    why: Callable[[Trial, str, bool], None],
) -> RunOutcome:
    """Run what is missing of a study; raises InputError before anything starts, KeyboardInterrupt when interrupted."""
    begin = time.monotonic()
    folder = ResultsFolder(options.results)
    claim_folder(folder, study)
    ready = prepare(study, options.data)
    folder.create()
    _write_study(folder, ready, options)
    stock = folder.take_stock()
    done = stock.done
    conductor = _conductor(ready, folder, done, options, why)
    observer = Heartbeat(folder, observe(conductor))
    folder.notify = observer.on_note
    for note in stock.notes:
        observer.on_note(note)
    recorder = Recorder(folder, conductor, observer, study.name)
    skipped = len({i for i, _ in done})
    with _terminate_as_interrupt():
        try:
            _run(ready, conductor, recorder, options)
        finally:
            observer.close()
    return RunOutcome(folder, recorder.statuses, recorder.failures, skipped, time.monotonic() - begin)


def _write_study(folder: ResultsFolder, ready: Prepared, options: RunOptions) -> None:
    data = None if options.data is None else str(options.data.resolve())
    identities = extended(folder.read_json("plan.json"), identity(ready.known, ready.study))
    inputs = {"data": data, "model_folder": str(ready.model.folder), "identities": identities}
    folder.write_bytes("study.yaml", dump_study(ready.study).encode())
    folder.write_json("plan.json", ready.plan.to_json() | inputs)


def dump_study(study: Study) -> str:
    """A study as YAML that `finebench run` accepts, with every default written out."""
    raw = study.model_dump(exclude_none=True)
    raw["search"] = {kind: value for kind, value in raw["search"].items() if value is not None}
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(raw, text)
    return text.getvalue()


def _conductor(
    ready: Prepared,
    folder: ResultsFolder,
    done: dict[tuple[str, bool], Done],
    options: RunOptions,
    why: Callable[[Trial, str, bool], None],
) -> Conductor:
    plan = ready.plan
    measured = sizes(ready.tasks, ready.study.training.max_length)
    weights: dict[Cell, float] = {}
    for cell in plan.cells():
        one = estimate(plan, cell, ready.architecture, measured[cell.task])
        weights[cell] = one.seconds if one.seconds is not None else one.train_flops + one.eval_flops
    searches: dict[Cell, CellSearch] = {}
    if ready.study.search.optuna:
        from bench.search import OptunaCell

        cells = list(plan.cells())
        parallel = max(1, -(-cpu_count() // len(cells)))
        for cell in cells:
            searches[cell] = OptunaCell(plan, cell, ready.known, folder, done, _evals_of(folder), parallel)
    return Conductor(
        plan, ready.known, done, searches=searches, limit=options.limit, weight=weights.__getitem__, why=why
    )


def _evals_of(folder: ResultsFolder) -> Callable[[str, bool], list[float]]:
    """`select` values of a finished trial, in the order of its evaluations."""

    def read(trial_id: str, pruned: bool) -> list[float]:
        rows = folder.record_rows("evals", record_name(trial_id, "pruned" if pruned else "ok")).to_pylist()
        return [row["value"] for row in sorted(rows, key=lambda row: row["step"]) if row["split"] == "select"]

    return read


def _run(ready: Prepared, conductor: Conductor, recorder: Recorder, options: RunOptions) -> None:
    from bench.shipment import Shipment

    shipment = Shipment(
        study=ready.study.name,
        model_folder=str(ready.model.folder),
        tasks=ready.tasks,
        timeout=ready.study.trial_timeout,
        keep=options.keep,
        results=options.results,
    )
    if options.debug:
        _run_here(ready, conductor, recorder, shipment)
    elif not conductor.finished:
        _run_ray(ready, conductor, recorder, shipment, options)


def _run_here(ready: Prepared, conductor: Conductor, recorder: Recorder, shipment: Any) -> None:
    from bench.inprocess import run_in_process
    from bench.shipment import Share
    from bench.trainer import Resident, calibrate

    share = Share(cpus=ready.study.resources.cpu)
    calibration = Calibration(recorder.folder, lambda trial: calibrate(Resident(shipment, share), trial))
    run_in_process(conductor, recorder, shipment, share, calibration.rate)


def _run_ray(ready: Prepared, conductor: Conductor, recorder: Recorder, shipment: Any, options: RunOptions) -> None:
    from bench import sweep
    from bench.worker import pack_files

    ray_options = sweep.RayOptions(options.address, ready.study.retries, options.logger)
    files = pack_files(ready.model.folder) if options.address else None
    with sweep.ray_session(ray_options):
        gpus = sweep.gpus_available()
        if gpus == 0 and ready.study.resources.gpu == "auto" and options.address:
            recorder.observer.on_note(
                "the cluster shows no GPU now: training on CPUs (set resources.gpu to wait for GPUs)"
            )
        calibration = Calibration(recorder.folder)
        shares = Shares(ready.study, gpus, conductor.rows.values(), calibration.gpu_memory)
        calibration.measure = lambda trial: sweep.measure_rate(trial, shipment, files, shares)

        def after(row: Done, gpu_memory: int | None) -> None:
            shares.observe(row, gpu_memory)
            calibration.saw_gpu(gpu_memory)

        recorder.after = after
        sweep.run_sweep(conductor, recorder, shares, shipment, files, calibration.rate, ray_options)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, and Ctrl-C also where a shell started us with it ignored."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread: whoever runs us handles signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
