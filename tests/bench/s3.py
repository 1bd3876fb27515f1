"""A real S3 server on loopback (moto's, in a process of its own), and a proxy before it that misbehaves on request."""

import http.client
import os
import random
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

BUCKET = "bench"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass
class Server:
    """A running server; `uri` opens a folder of its bucket."""

    port: int

    def uri(self, folder: str) -> str:
        """The folder as `--results` takes it."""
        return f"s3://{BUCKET}/{folder}?endpoint_override=127.0.0.1:{self.port}&scheme=http"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def moto_server() -> Iterator[Server]:
    """Moto's server with one empty bucket."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, env=os.environ | CREDENTIALS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port, process)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("PUT", f"/{BUCKET}")
        assert connection.getresponse().status == 200
        yield Server(port)
    finally:
        process.kill()
        process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "moto's server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("moto's server does not start")


@dataclass
class Faults:
    """What the proxy does. `share` of the requests fail, at random, by one of `kinds`; `down` fails all by its kind;
    each takes `delay` seconds more. Without `markers`, objects whose names end with a slash are refused."""

    share: float = 0.0
    delay: float = 0.0
    markers: bool = True
    kinds: tuple[str, ...] = ("drop", "drop after", "500", "503")
    down: str | None = None
    seen: list[str] = field(default_factory=list)
    failed: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(11))

    def draw(self, request: str) -> str | None:
        """The fault of this request, or None."""
        self.seen.append(request)
        if not self.markers and request.startswith("PUT") and request.partition("?")[0].endswith("/"):
            return "400"
        fault = self.down or (self.dice.choice(self.kinds) if self.dice.random() < self.share else None)
        self.failed += fault is not None
        return fault


class _Proxy(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    target = 0
    faults: Faults

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _serve(self) -> None:
        fault = self.server.faults.draw(f"{self.command} {self.path}")
        body = self._body()
        time.sleep(self.server.faults.delay)
        if fault == "stall":
            time.sleep(30)
        if fault in ("stall", "drop"):
            self.close_connection = True
            return
        if fault in ("500", "503", "403", "400"):
            codes = {"500": "InternalError", "503": "SlowDown", "403": "AccessDenied", "400": "InvalidArgument"}
            code = codes[fault]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
            self._answer(int(fault), [("Content-Type", "application/xml")], text)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "expect")}
        upstream.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
        answer = upstream.getresponse()
        data = answer.read()
        if fault == "drop after":  # done, and the client never hears of it
            self.close_connection = True
            return
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")]
        self._answer(answer.status, kept, data)

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve


@contextmanager
def proxy(server: Server, faults: Faults) -> Iterator[Server]:
    """A server that passes requests on, save where `faults` says otherwise."""
    made = _Proxy(("127.0.0.1", 0), _Handler)
    made.target, made.faults = server.port, faults
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield Server(made.server_address[1])
    finally:
        made.shutdown()
        made.server_close()
