"""What a release of Ray does not have is not asked for: a cluster is used as far as it is known."""

import pytest

from finebench.bench.driver.ray.nodes import address, insides


def test_what_this_ray_does_not_have_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_internal_kv_get", "_internal_kv_initialized"):
        monkeypatch.delattr(f"ray.experimental.internal_kv.{name}")
    monkeypatch.delattr("ray._private.state.available_resources_per_node")
    assert insides.written("key") is None
    assert not insides.has_second_monitor()
    assert insides.free() == {}


def test_an_address_is_left_to_a_ray_that_cannot_be_asked_for_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "NODES_AT", insides.NODES_AT.replace("import services", "import no_such_services"))
    monkeypatch.setattr(address, "knock", lambda host, port: None)
    address.check("127.0.0.1:1")
