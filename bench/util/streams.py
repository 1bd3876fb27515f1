"""Standard output and error that may go away: a closed pipe (`| head`), a terminal that hung up.

A command goes on to its end, and to its own exit code, without anybody to tell. Rich would end it with code 1 at the
first line that nobody reads, and with it a run and its trials.
"""

import errno
import io
import os
import sys
from typing import Any

from finebench.bench.util.errors import InputError

_UNREAD = (errno.EPIPE, errno.EIO)
"""What writing answers where nobody reads any more: a pipe, a terminal."""


class _Stream(io.FileIO):
    """One of the two. Once it is lost, what is written is dropped; `word` is said of that on standard error."""

    def __init__(self, descriptor: int, title: str, needed: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.title, self.needed = title, needed
        self.word, self.lost = "", False

    def write(self, data: Any) -> int:
        """Write, or drop what nobody reads. Raises InputError where a `needed` stream cannot be written for any other
        reason, such as a full disk."""
        if self.lost:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self.lost = True
            _point_at_nothing(self.fileno())
            if self.needed and error.errno not in _UNREAD:
                raise InputError(f"{self.title}: cannot be written: {error.strerror}") from error
            if self.word:
                print(f"finebench: {self.title}: {error.strerror}; {self.word}", file=sys.stderr, flush=True)
        return len(data)


_output: _Stream | None = None


def hold() -> None:
    """Put streams that may go away in the place of this process's own.

    Descriptors 0 to 2 that are closed are opened on nothing: a file of ours would get the number, and with it what is
    meant for the terminal.
    """
    global _output
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            _point_at_nothing(descriptor)
    _output = _Stream(1, "standard output", needed=True)
    sys.stdout = _text(_output, sys.stdout)
    sys.stderr = _text(_Stream(2, "standard error", needed=False), sys.stderr)


def outlive(word: str) -> None:
    """From now on the loss of standard output, for whatever reason, ends nothing; `word` is said of it."""
    if _output is not None:
        _output.needed, _output.word = False, word


def _text(raw: _Stream, before: Any) -> io.TextIOWrapper:
    encoding, errors = getattr(before, "encoding", "utf-8"), getattr(before, "errors", "backslashreplace")
    lines = getattr(before, "line_buffering", True)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=lines)


def _point_at_nothing(descriptor: int) -> None:
    """Let a descriptor lead nowhere, for native code and children too."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor)  # which children inherit
    if nothing != descriptor:
        os.close(nothing)
    else:
        os.set_inheritable(descriptor, True)
