"""Ctrl-C and SIGTERM: the first asks a run to end in good order, the second ends it at once."""

import signal
from types import FrameType


class Stop:
    """Installed while a run is prepared and runs; `requested` is what the run looks at.

    Until `arm` is called there is nothing in flight to save, and the first signal ends the run too.
    """

    def __init__(self) -> None:
        self.requested = self._graceful = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        self._before = self._install()
        return self

    def arm(self) -> None:
        """From now on the first signal is a request. Ray puts a handler of its own in place of ours when it starts.

        Raises KeyboardInterrupt where a signal came already: what it raised is lost where it came during an import.
        """
        self._install()
        self._graceful = True
        if self.requested:
            raise KeyboardInterrupt

    def _install(self) -> dict[int, object]:
        try:
            return {number: signal.signal(number, self._on) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not in the main thread: whoever runs us handles signals
            return {}

    def __exit__(self, *unused: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on(self, signum: int, frame: FrameType | None) -> None:
        at_once = self.requested or not self._graceful
        self.requested = True
        if at_once:
            raise KeyboardInterrupt
