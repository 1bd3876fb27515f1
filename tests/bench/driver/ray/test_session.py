"""A cluster's nodes are asked what their GPUs can do; one that cannot say does not keep the others from training."""

import os
import signal
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from finebench.bench.driver.ray import session
from finebench.bench.study.precision import Gpus
from finebench.bench.util.errors import InputError
from finebench.bench.util.signals import Stop

Answer = Gpus | ray.exceptions.RayError
MISSING = ray.exceptions.RayError("No module named 'finebench'")


def asked(monkeypatch: pytest.MonkeyPatch, notes: list[str], **answers: Answer) -> list[Gpus]:
    """What a cluster of nodes that answer so is said to have; one without a GPU is asked nothing."""
    ids = {f"{number:056x}": name for number, name in enumerate(answers, 1)}
    nodes = [
        {"NodeID": key, "Alive": True, "Resources": {"CPU": 4, "GPU": 1}, "NodeManagerHostname": name}
        for key, name in ids.items()
    ]
    nodes.append({"NodeID": "f" * 56, "Alive": True, "Resources": {"CPU": 4}, "NodeManagerHostname": "head"})

    def options(scheduling_strategy: Any) -> Any:
        return SimpleNamespace(remote=lambda: answers[ids[scheduling_strategy.node_id]])

    def get(answer: Answer, timeout: float) -> Gpus:
        if isinstance(answer, Gpus):
            return answer
        raise answer

    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "remote", lambda **how: lambda function: SimpleNamespace(options=options))
    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(session, "_sessions", [session.RayOptions("10.0.0.1:6379")])  # a run has joined it
    monkeypatch.setattr(session, "import_tune", lambda: None)  # which has remote functions of its own
    return session.gpus_at("10.0.0.1:6379", notes.append)


def test_a_node_that_cannot_say_is_passed_over_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    found = asked(monkeypatch, notes, w1=Gpus(1, True), w2=MISSING, w3=Gpus(2, True))
    assert found == [Gpus(1, True), Gpus(2, True)]
    [note] = notes
    assert note.endswith("does not say what its GPUs can do: w2: No module named 'finebench'")


def test_where_no_node_says_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    with pytest.raises(InputError, match=r"no node says: w1: No module .*; w2: No module .*--set training\.precision="):
        asked(monkeypatch, notes, w1=MISSING, w2=MISSING)
    assert notes == []
    assert asked(monkeypatch, notes) == []  # no node has a GPU


@pytest.mark.parametrize("when", ["while Ray starts", "afterwards"])
def test_sigterm_is_not_left_to_ray(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Ray's own answer ends the process with code 15 and no word."""

    def signalled() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    def init(**options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        if when == "while Ray starts":
            signalled()

    monkeypatch.setattr(session, "_join", lambda address, **options: init())
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    with Stop(), pytest.raises(KeyboardInterrupt), session.ray_session(session.RayOptions("10.0.0.1:6379")):
        signalled()
    assert signal.getsignal(signal.SIGTERM) == before
