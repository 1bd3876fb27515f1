"""Ctrl-C, SIGTERM and a terminal that hangs up (SIGHUP): the first asks a run to end in good order.

A second Ctrl-C or SIGTERM ends it at once. A second SIGHUP says nothing new: a shell and the kernel each send one when
a connection drops. A run under `nohup` goes on.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""Windows has none."""


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
        numbers: list[int] = [signal.SIGTERM, signal.SIGINT]
        if _HANGUP is not None and signal.getsignal(_HANGUP) != signal.SIG_IGN:  # which is what nohup sets
            numbers.append(_HANGUP)
        try:
            return {number: signal.signal(number, self._on) for number in numbers}
        except ValueError:  # not in the main thread: whoever runs us handles signals
            return {}

    def __exit__(self, *unused: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on(self, signum: int, frame: FrameType | None) -> None:
        again = self.requested
        self.requested = True
        if again and signum == _HANGUP:
            return
        if again or not self._graceful:
            raise KeyboardInterrupt


@contextmanager
def no_hangup() -> Iterator[None]:
    """What is started within never hears of a hang-up, which reaches every process of a terminal: Ray's services and
    its workers would die of it before a checkpoint is written.

    Blocked and not ignored, so that one which comes meanwhile reaches this process afterwards.
    """
    if _HANGUP is None:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {_HANGUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
