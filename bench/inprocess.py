"""Runs a study in this process, without Ray: `--debug`, tests, and the floor that benchmarks compare with."""

from collections.abc import Callable

from bench.conductor import Conductor, Pack
from bench.recorder import Recorder
from bench.resident import Resident
from bench.retries import Retries
from bench.shipment import Share, Shipment
from bench.stop import Stop
from bench.trainer import PackRun


def run_in_process(
    conductor: Conductor,
    recorder: Recorder,
    shipment: Shipment,
    share: Share,
    rate: Callable[[Pack], float | None],
    stop: Stop,
) -> None:
    """Train every pack, one after the other; `rate` gives a seconds budget's calibration.

    Raises KeyboardInterrupt where it is told to stop; the pack in flight has a checkpoint then.
    """
    resident = Resident(shipment, share)
    resident.watch.asked = lambda: stop.requested
    again = Retries()
    while not stop.requested and (pack := again.next() or conductor.next_pack()) is not None:
        recorder.observer.on_start(pack)
        run = PackRun(resident, pack, rate(pack))
        pruned = False
        while not pruned and (rung := run.advance()) is not None:
            pruned = pack.rungs and conductor.on_rung(pack, rung.index, rung.value)
            if not pack.searches:
                recorder.store(pack, again.settle(pack, run.ended()))
            recorder.observer.tick()
        while run.stopped and run.advance() is not None:
            pass  # the other members write their checkpoints too
        for note in run.notes():
            recorder.observer.on_note(note)
        if not pack.searches:
            recorder.store(pack, again.settle(pack, run.ended()))
        elif not run.stopped:
            recorder.store(pack, run.records(pruned=pruned))
        run.close()
    if stop.requested:
        raise KeyboardInterrupt
