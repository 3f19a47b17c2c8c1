"""A server on the loopback that does what GitLab's REST API does for the notes of merge requests.

Every request is checked against what GitLab publishes (tests/golden/gitlab_api.json), as github_server.py does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.github_server import Fault, serving

SCHEMA = json.loads((Path(__file__).parents[1] / "golden" / "gitlab_api.json").read_text())
TOKEN = "glpat-planted0123456789TOKEN"
BOT = 42


@dataclass
class GitLab:
    """What the server holds, and what it was asked; the token is that of user ``BOT``."""

    address: str = ""
    notes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    page: int | None = None

    @property
    def api(self) -> str:
        return f"{self.address}/api/v4"

    def add_note(self, number: int, body: str, author: int = BOT, system: bool = False) -> dict[str, Any]:
        """The newest comes first, as in GitLab's own order."""
        made = {"id": 300 + len(self.notes), "noteable_iid": number, "body": body, "system": system}
        self.notes.insert(0, made | {"author": {"id": author, "username": f"user-{author}"}})
        return self.notes[0]

    def do(self, name: str, parts: dict[str, str], query: dict[str, str], body: Any) -> Any:
        """One operation."""
        number = int(parts.get("number", 0))
        match name:
            case "user":
                return {"id": BOT, "username": f"user-{BOT}"}
            case "merge-request":
                return {"iid": number, "web_url": f"https://gitlab.example/p/-/merge_requests/{number}"}
            case "notes/list":
                return [one for one in self.notes if one["noteable_iid"] == number]
            case "notes/create":
                return self.add_note(number, body["body"])
            case "notes/update":
                (one,) = (n for n in self.notes if (n["id"], n["noteable_iid"]) == (int(parts["id"]), number))
                one.update(body)
                return one
        raise AssertionError(name)


@contextmanager
def gitlab() -> Iterator[GitLab]:
    """A running server; every request that does not fit what is published fails the test."""
    with serving(GitLab(), SCHEMA) as state:
        yield state
