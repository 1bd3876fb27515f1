"""How long a sweep that is told to stop waits for its workers, and what the user is told of trials that had to be left.

Workers read in RESULTS that they are to stop, and write their checkpoints there. One that does not reach RESULTS,
because that is a folder of the driver's machine or its store is away, can do neither, and is not waited for. Nor is one
that measures: its work is no trial's.
"""

from collections.abc import Collection

from finebench.bench.driver.ray.in_flight import InFlight
from finebench.bench.scheduling.recorder import Recorder

STOP_GRACE = 60.0
"""Seconds that workers have for their last checkpoints once the run is told to stop."""


class Ending:
    """The end of one sweep."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._since: float | None = None

    def look(self, running: Collection[InFlight], now: float) -> None:
        """Tell workers to stop, the first time; raises KeyboardInterrupt once none is left to wait for."""
        if self._since is None:
            self._since = now
            self._recorder.stopping()
        training = [one for one in running if one.heard is not None and one.pack.measures is None]
        reaching = [one for one in training if one.reached]
        if reaching and now - self._since <= STOP_GRACE:
            return
        note, late = self._recorder.observer.on_note, _trials(reaching)
        if late:
            note(f"{late} trials did not answer; they go on from an older checkpoint, where there is one")
        if apart := _trials(training) - late:
            note(f"{apart} trials begin anew: their workers do not reach RESULTS, where checkpoints are")
        raise KeyboardInterrupt


def _trials(packs: Collection[InFlight]) -> int:
    """How many trials they still have."""
    return sum(len(one.left) for one in packs)
