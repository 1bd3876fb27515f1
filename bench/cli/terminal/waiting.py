"""What a run waits for before its first trial: a line redrawn on a terminal, one every ten seconds elsewhere."""

import threading
import time

from rich.console import Console
from rich.text import Text

EVERY_SECONDS = 10.0
"""Between two lines where output is piped; what takes less is not worth one."""


class Waiting:
    """Says what is waited for, from a thread of its own: what it speaks of may take this one for minutes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.what = ""
        self._since = time.monotonic()
        self._status = console.status("", spinner="dots") if console.is_terminal else None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def speaks(self) -> bool:
        """Whether it prints lines now."""
        return self._thread is not None

    def tell(self, what: str) -> None:
        """Another thing is waited for from now on."""
        self.what, self._since = what, time.monotonic()
        if self._status is not None:
            self._status.update(Text(what))
            self._status.start()
        elif self._thread is None:
            self._thread = threading.Thread(target=self._say, name="waiting", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Nothing is waited for any more; a terminal is left as it was."""
        self._over.set()
        if self._status is not None:
            self._status.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _say(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            seconds = time.monotonic() - self._since
            self.console.print(Text(f"{self.what} ({seconds:.0f} s so far)"), soft_wrap=True)
