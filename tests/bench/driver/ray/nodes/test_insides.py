"""What a release of Ray does not have is not asked for: a cluster is used as far as it is known."""

import os
from types import SimpleNamespace

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
    assert address.check("127.0.0.1:1") == "127.0.0.1:1"


def test_auto_is_left_to_a_ray_that_does_not_tell_where_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for name in ("find_gcs_addresses", "canonicalize_bootstrap_address", "psutil"):
        monkeypatch.delattr(f"ray._private.services.{name}")
    assert insides.session_folders("127.0.0.1:1") == set()
    assert address.check("auto") == "auto"
    assert insides.outward("127.0.0.1:1") == "127.0.0.1:1"


@pytest.mark.parametrize(("given", "becomes"), [(None, "token"), ("disabled", "disabled")])
def test_a_token_that_is_there_is_shown_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, becomes: str
) -> None:
    """Without it the nodes of a cluster that `auto` finds, and Ray would join, could not be asked for."""
    setup = "ray._private.authentication.authentication_token_setup"
    monkeypatch.setenv("RAY_AUTH_MODE", given or "")
    if given is None:
        monkeypatch.delenv("RAY_AUTH_MODE")
    tokens = SimpleNamespace(has_token=lambda ignore_auth_mode: True)
    monkeypatch.setattr(f"{setup}.AuthenticationTokenLoader", SimpleNamespace(instance=lambda: tokens))
    monkeypatch.setattr(f"{setup}._enable_token_auth", lambda: monkeypatch.setenv("RAY_AUTH_MODE", "token"))
    insides.bring_token()
    assert os.environ["RAY_AUTH_MODE"] == becomes
    monkeypatch.delattr(f"{setup}.AuthenticationTokenLoader")
    insides.bring_token()
