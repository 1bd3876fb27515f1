"""An address that leads to no Ray, or to one that this machine is no node of, is refused soon, with the way that
works."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finebench.bench.driver.ray.nodes import address, insides
from finebench.bench.driver.ray.session import RayOptions, ray_session
from finebench.bench.util import own_python
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


RUN = """
import sys
from finebench.bench.driver.ray import session
with session.ray_session(session.RayOptions(), 1):
    print(session.ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """The address of the Ray of another run on this machine."""
    pipe, command = subprocess.PIPE, own_python.run_code(RUN)
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=own_python.environment()) as run:
        assert run.stdout is not None
        yield run.stdout.readline().strip()
        run.communicate("")


def here(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let `auto` lead to these alone: other work may have a Ray on this machine."""
    monkeypatch.setattr(address, "addresses_here", lambda: list(addresses))


def test_the_ray_of_another_run_is_joined_by_no_other(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would take its processes for a cluster's, and wait at an outward address where nothing listens."""
    assert own.startswith("127.0.0.1:")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(insides, "bring_token", lambda: None)  # it stays in the environment
    assert own in (insides.addresses_here() or [])
    here(monkeypatch, own)
    begin = time.monotonic()
    said = refusal("auto")
    assert time.monotonic() - begin < 15.0
    assert said.startswith("--address auto: the only Ray here is another run's own")
    assert "leave --address out" in said
    assert "ray start --head" in said
    assert f"--address {own}: this is another run's own Ray" in refusal(own)


def test_auto_passes_over_what_cannot_be_joined(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {"10.0.0.1:1": address.OWN, "10.0.0.2:1": "nothing answers"}
    monkeypatch.setattr(address, "_refusal", refused.get)
    here(monkeypatch, *refused, "10.0.0.3:1", "10.0.0.4:1")
    assert address.check("auto") == "10.0.0.3:1"
    here(monkeypatch, *refused)
    assert "10.0.0.1:1: this is another run's own" in refusal("auto")
    assert "10.0.0.2:1: nothing answers" in refusal("auto")
    here(monkeypatch)
    assert "--address auto: no Ray runs on this machine; leave --address out" in refusal("auto")


def test_auto_looks_where_ray_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: "10.0.0.2:6379")
    monkeypatch.setattr(
        "ray._private.services.find_gcs_addresses", lambda: {"127.0.0.1:7", "10.0.0.2:6379", "10.0.0.1:1"}
    )
    monkeypatch.setattr(insides, "bring_token", lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert insides.addresses_here() == ["10.0.0.2:6379", "10.0.0.1:1", "127.0.0.1:7"]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    assert insides.addresses_here() == ["10.0.0.9:6379"]
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert "--address auto: local: " in refusal("auto")


def test_where_ray_would_go_something_has_to_listen(
    silent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray goes to the outward address of this machine in place of localhost, and waits there."""
    node = {"Alive": True, "NodeManagerHostname": "here", "RayletSocketName": str(tmp_path)}
    monkeypatch.setattr(address, "_nodes", lambda place: [node])
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr(address, "outward", lambda given: free)
    assert f"Ray joins it at {free}, and nothing answers there" in refusal(silent)
    monkeypatch.setattr(address, "outward", lambda given: given)
    assert address.check(silent) == silent


def test_local_is_what_a_run_starts_by_itself() -> None:
    """Ray's own is one with a dashboard, on all of the host's cores, which no later run tidies up."""
    assert "--address local: without an address a run starts a Ray of its own" in refusal("local")


@pytest.mark.parametrize("given", [":6379", "[]:6379", "head", "head:", "head:0", "head:65536", "head:x", "http://a:1"])
def test_what_is_no_address_is_refused_before_ray_sees_it(given: str) -> None:
    assert f"--address {given}: the address of Ray's head is HOST:PORT" in refusal(given)


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "x\0y"])
def test_what_can_be_no_hosts_name_answers_nothing(host: str) -> None:
    assert "nothing answers" in refusal(f"{host}:6379")
