"""Signals that ask a run to end: what was asked is never forgotten."""

import os
import signal

import pytest

from bench.stop import Stop


def test_the_first_signal_asks_and_the_second_ends() -> None:
    with Stop() as stop:
        stop.arm()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_an_import_swallowed_ends_the_run_when_it_is_armed() -> None:
    """Python prints and drops what is raised in some callbacks of its own."""
    with Stop() as stop:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            stop.arm()
