"""A server on the loopback that does what GitHub's REST API does for issues and comments.

Every request is checked against the published description (tests/golden/github_api.json); what does not fit is
answered 422 and kept in ``wrong``.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

import jsonschema

SCHEMA = json.loads((Path(__file__).parents[1] / "golden" / "github_api.json").read_text())
TOKEN = "ghs_planted0123456789abcdefTOKEN"
BOT = "github-actions[bot]"


@dataclass(frozen=True)
class Fault:
    """What the next request of this method is answered; ``does``: it is done all the same. Status 0: no answer."""

    status: int
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"
    does: bool = False


@dataclass
class GitHub:
    """What the server holds, and what it was asked."""

    address: str = ""
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    may_label: bool = True
    page: int | None = None

    def open(self) -> dict[str, str]:
        """Title of every open issue, and its body."""
        return {one["title"]: one["body"] for one in self.issues if one["state"] == "open"}

    def add_issue(self, document: dict[str, Any]) -> dict[str, Any]:
        """As issues/create does; labels are dropped without a word where the token may not set them."""
        labels = [{"name": name} for name in document.get("labels", ())] if self.may_label else []
        made = {"number": len(self.issues) + 1, "state": "open", "body": None, **document, "labels": labels}
        made["html_url"] = f"{self.address}/issues/{made['number']}"
        self.issues.append(made)
        return made

    def add_comment(self, number: int, body: str, login: str = BOT) -> dict[str, Any]:
        """As issues/create-comment does."""
        identity = 900 + len(self.comments)
        made = {"id": identity, "issue": number, "body": body, "user": {"login": login}}
        made["html_url"] = f"{self.address}/comments/{identity}"
        self.comments.append(made)
        return made

    def do(self, name: str, parts: dict[str, str], query: dict[str, str], body: Any) -> Any:
        """One operation."""
        number = int(parts.get("number", 0))
        match name:
            case "issues/list-for-repo":
                wanted, state = query.get("labels"), query.get("state", "open")
                held = [i for i in self.issues if state in ("all", i["state"])]
                return [i for i in held if wanted is None or {"name": wanted} in i["labels"]]
            case "issues/create":
                return self.add_issue(body)
            case "issues/update":
                self.issues[number - 1].update(body)
                return self.issues[number - 1]
            case "issues/list-comments":
                return [one for one in self.comments if one["issue"] == number]
            case "issues/create-comment":
                return self.add_comment(number, body["body"])
            case "issues/update-comment":
                (one,) = (c for c in self.comments if c["id"] == int(parts["id"]))
                one.update(body)
                return one
        raise AssertionError(name)


class Server(Protocol):
    """What a server of a forge holds and does."""

    address: str
    asked: list[str]
    wrong: list[str]
    faults: list[Fault]
    page: int | None

    def do(self, name: str, parts: dict[str, str], query: dict[str, str], body: Any) -> Any:
        """One operation."""


class _Handler(BaseHTTPRequestHandler):
    state: Server
    schema: dict[str, Any]
    protocol_version = "HTTP/1.1"

    def serve(self) -> None:
        state, parts = self.state, urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state.asked.append(f"{self.command} {self.path}")
        query = dict(parse_qsl(parts.query))
        body = json.loads(content) if content else None
        found = [
            (one, match.groupdict())
            for one in self.schema["operations"]
            if one["method"] == self.command and (match := re.fullmatch(one["path"], parts.path))
        ]
        if not found:
            state.wrong.append(f"{self.command} {self.path}: no such operation")
            self._answer(404, {"message": "Not Found"})
            return
        ((operation, names),) = found
        try:
            jsonschema.validate(dict(self.headers), self.schema["headers"])
            jsonschema.validate(query, operation.get("query", {"maxProperties": 0}))
            jsonschema.validate(body, operation.get("body", {"type": "null"}))
        except jsonschema.ValidationError as error:
            state.wrong.append(f"{operation['name']}: {error.message}")
            self._answer(422, {"message": "Validation Failed", "errors": [{"message": error.message}]})
            return
        fault = next((one for one in state.faults if one.method == self.command), None)
        if fault is not None:
            state.faults.remove(fault)
            if fault.does:
                state.do(operation["name"], names, query, body)
            if fault.status == 0:
                self.close_connection = True
                return
            self._answer(fault.status, fault.body, fault.headers)
            return
        given, headers = state.do(operation["name"], names, query, body), {}
        if isinstance(given, list):
            given, headers = self._page(given, query, parts.path)
        self._answer(operation["answer"], given, headers)

    def _page(self, held: list[Any], query: dict[str, str], path: str) -> tuple[list[Any], dict[str, str]]:
        size = self.state.page or int(query.get("per_page", 30))
        page = int(query.get("page", 1))
        more = "&".join(f"{key}={value}" for key, value in {**query, "page": page + 1}.items())
        link = {"Link": f'<{self.state.address}{path}?{more}>; rel="next"'} if len(held) > page * size else {}
        return held[(page - 1) * size : page * size], link

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        content = (document if isinstance(document, str) else json.dumps(document)).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


Held = TypeVar("Held", bound=Server)


@contextmanager
def github() -> Iterator[GitHub]:
    """A running server; every request that does not fit the description fails the test."""
    with serving(GitHub(), SCHEMA) as state:
        yield state


@contextmanager
def serving(state: Held, schema: dict[str, Any]) -> Iterator[Held]:
    """A running server of a forge; every request that does not fit ``schema`` fails the test."""
    methods = {f"do_{name}": _Handler.serve for name in ("GET", "POST", "PATCH", "PUT", "DELETE")}
    about = {"state": state, "schema": schema, **methods}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), about))
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert state.wrong == []
