"""An address that leads to no Ray, or to one that this machine is no node of, is refused soon, with the way that
works."""

import socket
import time
from collections.abc import Iterator

import pytest

from finebench.bench.driver.ray.nodes import address
from finebench.bench.driver.ray.session import RayOptions, ray_session
from finebench.bench.util.errors import InputError


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that listens, takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refusal(given: str) -> str:
    """Why a run does not start there."""
    with pytest.raises(InputError) as refused, ray_session(RayOptions(given)):
        pass
    return str(refused.value)


def test_what_is_not_ray_is_refused_soon(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would ask for minutes, and then end this process."""
    assert 2.0 + address.PATIENCE < 15.0  # a connection, and an answer
    monkeypatch.setattr(address, "PATIENCE", 1.0)
    begin = time.monotonic()
    assert "what answers is not the control service of Ray's head" in refusal(silent)
    assert time.monotonic() - begin < address.IMPORTED_WITHIN


@pytest.mark.parametrize(
    "asks", ["import nowhere_installed", "print('ready', flush=True)\nraise RuntimeError('no token')"]
)
def test_what_ray_says_of_a_head_that_does_not_answer_is_told(
    silent: str, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    """A token, another Ray on the head, or a Ray that cannot be imported here: each is mended in another way."""
    monkeypatch.setattr(address, "NODES_AT", asks)
    said = refusal(silent)
    assert "it takes no driver with this Ray (" in said
    assert said.endswith((": ModuleNotFoundError: No module named 'nowhere_installed'", ": RuntimeError: no token"))


def test_a_missing_token_is_told_and_not_where_in_ray_that_was() -> None:
    """As Ray 2.60 writes it, before it ends the process."""
    said = (
        "[2026-01-01 10:00:00,000 W 1 1] rpc_client.h:153: Failed to connect to GCS within 5 seconds.\n"
        "[2026-01-01 10:00:05,000 C 1 1] authentication_token_loader.cc:115:  An unexpected system state has occurred. "
        "Check failed: has_token || ignore_auth_mode Token authentication is enabled but Ray couldn't find one.\n"
        "*** StackTrace Information ***\n/ray/_raylet.so(+0x1812b9a) [0x7f96db612b9a] ray::operator<<()\n"
    )
    found = address.reason(said)
    assert found == "has_token || ignore_auth_mode Token authentication is enabled but Ray couldn't find one."
    assert address.reason("\n") == ""


def test_nothing_there_is_refused_at_once(silent: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert f"--address 127.0.0.1:{free}: no Ray cluster can be reached there: nothing answers" in refusal(
        f"127.0.0.1:{free}"
    )


def test_rays_client_is_told_the_way_that_works() -> None:
    assert "--address ray://head:10001: ray:// is for programs outside" in refusal("ray://head:10001")
    assert "--address head:6379, or --address auto" in refusal("ray://head:10001")


def test_a_node_on_another_machine_is_none_here(monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    there = {"Alive": True, "NodeManagerHostname": "gpu1", "RayletSocketName": "/nowhere/raylet"}
    monkeypatch.setattr(address, "_nodes", lambda place: [there])
    said = refusal(silent)
    assert "this machine is no node of that cluster" in said
    assert "on a node (gpu1), or make this machine one that trains nothing: ray start --address=127.0.0.1:" in said
