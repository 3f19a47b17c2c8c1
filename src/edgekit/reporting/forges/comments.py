"""One comment of a pull request, an issue or a merge request, written once and changed from then on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgekit.core.errors import InputError
from edgekit.reporting.forges.client import Client, Json, fitted

ACTIONS = "github-actions[bot]"
"""Who comments with the token of a workflow."""


@dataclass(frozen=True)
class Comment:
    """Where the comment is, and what became of it."""

    url: str
    outcome: Literal["created", "changed", "unchanged"]


@dataclass(frozen=True)
class _Place:
    """Where comments are and are made, which of them may be ours, and the path and the address of one."""

    comments: str
    ours: Callable[[Json], bool]
    path: Callable[[Json], str]
    url: Callable[[Json], str]


def put_comment(client: Client, number: int, topic: str, text: str, author: str = ACTIONS) -> Comment:
    """Write the one comment about ``topic`` into issue or pull request ``number`` on GitHub.

    ``topic`` is of letters, digits, ``.``, ``_`` and ``-``, such as a target's name.  A hidden line in the text says
    which comment it is.  Only one that ``author`` wrote is taken for it: anybody may write such a line, and could edit
    a comment of theirs after the verdict.

    Raises:
        InputError: ``topic`` has other characters; as :class:`Client` does.
    """
    place = _Place(
        f"issues/{number}/comments",
        lambda one: bool(one["user"]["login"] == author),
        lambda one: f"issues/comments/{one['id']}",
        lambda one: str(one["html_url"]),
    )
    return _put(client, place, topic, text)


def put_note(client: Client, number: int, topic: str, text: str) -> Comment:
    """Write the one comment about ``topic`` into merge request ``number`` on GitLab, as :func:`put_comment` does.

    Only a note of the user whose token it is is taken for it: maintainers may edit those of others.

    Raises:
        InputError: ``topic`` has other characters; as :class:`Client` does.
    """
    notes, me = f"merge_requests/{number}/notes", client.whose()["id"]
    page = client.get(f"merge_requests/{number}")["web_url"]
    place = _Place(
        notes,
        lambda one: bool(one["author"]["id"] == me and not one["system"]),
        lambda one: f"{notes}/{one['id']}",
        lambda one: f"{page}#note_{one['id']}",
    )
    # A line that begins with a slash would be a command to GitLab, such as /merge.
    return _put(client, place, topic, re.sub(r"(?m)^(\s*)/", r"\1\\/", text))


def _put(client: Client, place: _Place, topic: str, text: str) -> Comment:
    if not re.fullmatch(r"[\w.-]+", topic, re.ASCII):
        raise InputError(f"topic {topic!r}: expected letters, digits, '.', '_' and '-', such as the target's name")
    marker = f"<!-- edgekit-comment: {topic} -->"
    body = fitted(client.hide(text).rstrip("\n"), f"\n\n{marker}\n")

    def there() -> Json | None:
        for comment in client.pages(place.comments):
            if place.ours(comment) and (comment["body"] or "").rstrip().endswith(marker):
                return comment
        return None

    found = there()
    if found is None:
        return Comment(place.url(client.create(place.comments, {"body": body}, there)), "created")
    if found["body"].rstrip() == body.rstrip():
        return Comment(place.url(found), "unchanged")
    client.change(place.path(found), {"body": body})
    return Comment(place.url(found), "changed")
