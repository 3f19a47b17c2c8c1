"""A server that speaks the part of Docker's interface that edgekit uses, and keeps what it was asked."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

VERSION = {"Version": "29.0.0", "ApiVersion": "1.41", "MinAPIVersion": "1.24"}


@dataclass
class Daemon:
    """What it answers, and what it was asked.

    ``build`` and ``push`` are the lines of those streams; ``output`` and ``code`` are a container's;
    ``running`` so many looks at the container find it still running.
    """

    host: str = ""
    build: list[dict[str, str]] = field(default_factory=list)
    push: list[dict[str, str]] = field(default_factory=list)
    images: set[str] = field(default_factory=set)
    output: bytes = b""
    code: int = 0
    running: int = 0
    asked: list[tuple[str, str, dict[str, list[str]], bytes]] = field(default_factory=list)

    def bodies(self, method: str, end: str) -> list[tuple[dict[str, list[str]], bytes]]:
        """Query and body of every request whose path ends so."""
        return [(query, body) for verb, path, query, body in self.asked if verb == method and path.endswith(end)]


class _Handler(BaseHTTPRequestHandler):
    daemon: Daemon
    protocol_version = "HTTP/1.1"

    def _reply(self, code: int, document: Any = None) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, parts: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in filter(None, parts):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self) -> None:
        url = urlsplit(self.path)
        daemon, path = self.daemon, url.path.removeprefix(f"/v{VERSION['ApiVersion']}")
        daemon.asked.append((self.command, path, parse_qs(url.query), self._body()))
        if path.endswith("/version"):
            self._reply(200, VERSION)
        elif path == "/build":
            self._stream(_lines(daemon.build))
        elif path.startswith("/images/") and path.endswith("/push"):
            self._stream(_lines(daemon.push))
        elif path.startswith("/images/"):
            name = path.removeprefix("/images/").removesuffix("/json")
            known = name in daemon.images
            self._reply(
                200 if known else 404,
                {"Id": "sha256:1234", "Size": 600 * 2**20} if known else {"message": f"No such image: {name}"},
            )
        elif path == "/containers/create":
            self._create()
        elif path.endswith("/logs"):
            self._stream([struct.pack(">BxxxL", 1, len(daemon.output)) + daemon.output])
        elif path.startswith("/containers/") and self.command == "GET":
            self._inspect()
        else:
            self._reply(204)

    def _create(self) -> None:
        image = json.loads(self.daemon.asked[-1][3])["Image"]
        known = image in self.daemon.images
        self._reply(201 if known else 404, {"Id": "c1"} if known else {"message": f"No such image: {image}"})

    def _inspect(self) -> None:
        daemon = self.daemon
        ended = daemon.running == 0
        daemon.running = max(0, daemon.running - 1)
        state = {"Status": "exited" if ended else "running", "ExitCode": daemon.code if ended else 0}
        self._reply(200, {"Id": "c1", "Name": "/quiet_name", "State": state, "Config": {"Tty": False}})

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  # the server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing of it belongs into a test's output."""


def _lines(parts: list[dict[str, str]]) -> list[bytes]:
    return [json.dumps(part).encode() + b"\r\n" for part in parts]


@contextmanager
def docker_daemon(**answers: Any) -> Iterator[Daemon]:
    """A daemon on the loopback; ``host`` is what ``DOCKER_HOST`` shall be."""
    daemon = Daemon(**answers)
    handler = type("Handler", (_Handler,), {"daemon": daemon})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        daemon.host = f"tcp://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()
