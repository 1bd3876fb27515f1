"""Runs a study in this process, without Ray: `--debug`, tests, and the floor that benchmarks compare with."""

from collections.abc import Callable

from bench.conductor import Conductor, Pack
from bench.recorder import Recorder
from bench.shipment import Share, Shipment
from bench.trainer import PackRun, Resident


def run_in_process(
    conductor: Conductor,
    recorder: Recorder,
    shipment: Shipment,
    share: Share,
    rate: Callable[[Pack], float | None],
) -> None:
    """Train every pack, one after the other; `rate` gives a seconds budget's calibration."""
    resident = Resident(shipment, share)
    while (pack := conductor.next_pack()) is not None:
        recorder.observer.on_start(pack)
        run = PackRun(resident, pack, rate(pack))
        stopped = False
        while not stopped and (rung := run.advance()) is not None:
            stopped = pack.rungs and conductor.on_rung(pack, rung.index, rung.value)
            recorder.observer.tick()
        recorder.store(pack, run.records(pruned=stopped))
