"""Signals that ask a run to end: what was asked is never forgotten."""

import os
import signal
import subprocess

import pytest

from finebench.bench.util.signals import Stop, no_hangup


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


def test_a_hangup_asks_and_a_second_one_says_nothing_new() -> None:
    with Stop() as stop:
        stop.arm()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_before_anything_is_in_flight_the_first_hangup_ends_the_run_and_the_second_says_nothing_new() -> None:
    with Stop():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)


def test_what_nohup_has_set_stays() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            stop.arm()
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_hangup_while_hangups_are_kept_off_comes_afterwards_and_not_to_children() -> None:
    with Stop() as stop:
        stop.arm()
        with no_hangup():
            status = subprocess.check_output(["cat", "/proc/self/status"], text=True)
            signal.raise_signal(signal.SIGHUP)  # to this thread; another one might take what the process is sent
            assert not stop.requested
        assert stop.requested
    blocked = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    assert int(blocked, 16) & 1 << (signal.SIGHUP - 1)
