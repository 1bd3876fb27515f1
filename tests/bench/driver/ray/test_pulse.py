"""A head that is silent is waited for as long as Ray waits, with a word; then the run ends, whatever else is gone."""

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from finebench.bench.driver import backends
from finebench.bench.driver.ray import pulse
from finebench.bench.util.errors import InputError


class Silent(SimpleNamespace):
    """A pulse whose head is silent for so many looks."""

    head = "10.0.0.1:6379"
    looks = 0

    def dead(self) -> bool:
        """This node's part of Ray lives."""
        return False

    def listens(self) -> bool:
        """Not before so many looks."""
        self.looks += 1
        return self.looks > self.silent


def watch(monkeypatch: pytest.MonkeyPatch, silent: int, longest: float) -> tuple[list[str], list[str]]:
    """What the user is told, and why the run ends, within a second in which there is a look every hundredth."""
    monkeypatch.setattr(pulse, "QUIET", 0.1)
    monkeypatch.setattr(pulse, "has_nodes", lambda: True)
    monkeypatch.setattr(pulse.Pulse, "of_this_driver", classmethod(lambda cls: Silent(silent=silent)))
    notes: list[str] = []
    ends: list[str] = []
    with pulse.watched(ends.append, notes.append, longest, every=0.01):
        time.sleep(1.0)
    return notes, ends


def test_a_silence_that_ray_survives_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, ends = watch(monkeypatch, silent=40, longest=30.0)
    assert not ends
    assert [note.partition(")")[2] for note in notes] == [
        " has not answered for 0 s; it is waited for as long as Ray itself does, 30 s",
        " answers again",
    ]


def test_a_head_that_answers_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come every hundredth of a second, connections every five: it has answered at the first look."""
    pulses: list[Silent] = []
    monkeypatch.setattr(pulse, "has_nodes", lambda: True)
    monkeypatch.setattr(
        pulse.Pulse, "of_this_driver", classmethod(lambda cls: pulses.append(Silent(silent=0)) or pulses[0])
    )
    with pulse.watched(lambda why: None, lambda note: None, 30.0, every=0.01):
        time.sleep(0.5)
    assert [one.looks for one in pulses] == [1]


def test_a_longer_one_ends_the_run_in_words_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, ends = watch(monkeypatch, silent=10**6, longest=0.5)
    assert len(notes) == 1
    assert ends == [
        "Ray has stopped or crashed, or cannot be reached: Ray's head (10.0.0.1:6379) has not answered for 1 s"
    ] or ends[0].endswith("has not answered for 0 s")


def test_a_run_waits_as_long_as_ray_is_set_to_and_ends_before_ray_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_gcs_rpc_server_reconnect_timeout_s", raising=False)
    assert pulse.patience() == 55.0
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "300")
    assert pulse.patience() == 295.0
    for given in ("abc", "-1", "nan", ""):
        monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", given)
        with pytest.raises(InputError, match="RAY_gcs_rpc_server_reconnect_timeout_s="):
            pulse.patience()


def test_a_question_for_the_nodes_that_hangs_counts_as_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cable was cut while it was asked: the answer comes after a minute, if ever."""
    asked, answer = threading.Event(), threading.Event()

    def hang() -> bool:
        asked.set()
        return answer.wait(30)

    monkeypatch.setattr(pulse, "has_nodes", hang)
    monkeypatch.setattr(pulse, "QUIET", 0.05)
    nodes = pulse._Nodes()
    assert nodes.there()
    assert asked.wait(5)
    time.sleep(0.1)
    assert not nodes.there()
    answer.set()
    cast(threading.Thread, nodes._asking).join(5)
    assert nodes.there()


def test_one_answer_without_nodes_is_asked_about_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """One failed question is no silence: the next one does not wait for its turn."""
    answers = [False, True, True]
    monkeypatch.setattr(pulse, "has_nodes", lambda: answers.pop(0))
    monkeypatch.setattr(pulse, "ONCE_MORE", 0.05)
    nodes = pulse._Nodes()
    nodes.there()
    cast(threading.Thread, nodes._asking).join(5)
    assert not nodes.there()
    time.sleep(0.1)
    nodes.there()
    cast(threading.Thread, nodes._asking).join(5)
    assert nodes.there()
    assert len(answers) == 1


def test_the_end_comes_where_results_cannot_be_reached_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock's release waits for storage for two minutes, and the heartbeat may hold it."""
    held = threading.Event()
    codes: list[int] = []
    lock = SimpleNamespace(release=lambda: held.wait(60))
    said: list[str] = []
    observer = SimpleNamespace(on_note=said.append, close=lambda: None)
    recorder: Any = SimpleNamespace(lock=lock, observer=observer, drain=lambda: None)
    monkeypatch.setattr(backends, "LAST_WORDS", 0.1)
    monkeypatch.setattr(backends.os, "_exit", codes.append)
    backends._ray_is_gone(recorder, "Ray's head has not answered for 55 s")
    assert not held.is_set()
    held.set()
    assert codes == [130]
    assert said == ["Ray's head has not answered for 55 s; what is stored is whole"]
