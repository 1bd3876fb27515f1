"""An autoscaler is found whichever of Ray's two monitors runs, and where there is none nothing is waited for."""

from pathlib import Path
from typing import Any

import pytest
import ray

from finebench.bench.driver.ray.nodes.autoscaler import Autoscaler, Kind, cluster_file, find
from finebench.bench.driver.ray.nodes.roster import Node

NODES = [Node("ab" * 28, "head", "10.0.0.1", 0, 0, head=True)]
FILE = """
max_workers: 3
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}}
  l4: {resources: {CPU: 4, GPU: 1}, max_workers: 8}
"""


class Head:
    """Ray's remote function, run here; `text` is what the head's monitor was started with."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __call__(self, **options: Any) -> Any:
        return lambda function: self

    def options(self, **options: Any) -> "Head":
        """As Ray's."""
        return self

    def remote(self) -> str | None:
        """As Ray's, with the answer in place of a reference."""
        return self.text


def found(monkeypatch: pytest.MonkeyPatch, text: str | None, status: bytes | None = None) -> Autoscaler | None:
    """The autoscaler of a cluster whose monitor was started so, and wrote this; the second one where it wrote none."""
    monkeypatch.setattr("ray.experimental.internal_kv._internal_kv_initialized", lambda: True)
    monkeypatch.setattr("ray.experimental.internal_kv._internal_kv_get", lambda key: status)
    monkeypatch.setattr("ray.autoscaler.v2.utils.is_autoscaler_v2", lambda fetch_from_server: status is None)
    monkeypatch.setattr(ray, "remote", Head(text))
    monkeypatch.setattr(ray, "get", lambda answer, timeout: answer)
    return find(NODES, patience=0.0)


def test_the_second_monitor_writes_no_status_and_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray up` starts it since Ray 2.50."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert found(monkeypatch, FILE) == Autoscaler((Kind("l4", 4, 1, 3),), 3)
    assert found(monkeypatch, "") is None  # it adds nothing
    assert found(monkeypatch, None) is None


def test_on_kubernetes_the_second_monitor_runs_beside_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert found(monkeypatch, None) == Autoscaler(None)
    assert found(monkeypatch, "") is None  # a head that runs a monitor has no other


def test_the_first_monitor_is_found_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    told = b'{"autoscaler_report": {"active_nodes": {"%s": 1}, "pending_launches": {}}}'
    assert found(monkeypatch, FILE, told % b"head") == Autoscaler((Kind("l4", 4, 1, 3),), 3)
    assert found(monkeypatch, None, told % b"head") == Autoscaler(None)
    assert found(monkeypatch, FILE, told % b"node_17") is None


def test_a_monitor_without_a_cluster_file_is_told_from_none(tmp_path: Path) -> None:
    assert cluster_file(tmp_path) is None
    for number, script in enumerate(("log_monitor.py", "autoscaler/v2/monitor.py")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_text(f"python\0-u\0/ray/{script}\0--gcs-address=1:1")
        assert cluster_file(tmp_path) == (None, "")[number]
    (tmp_path / "1/cmdline").write_text("/ray/monitor.py\0--autoscaling-config=/nowhere/ray.yaml")
    with pytest.raises(OSError, match="nowhere"):  # there is one, and what it allows is not known
        cluster_file(tmp_path)
