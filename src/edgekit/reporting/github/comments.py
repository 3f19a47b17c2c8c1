"""One comment of a pull request or an issue, written once and changed from then on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgekit.core.errors import InputError
from edgekit.reporting.github.client import Client, Json, fitted

ACTIONS = "github-actions[bot]"
"""Who comments with the token of a workflow."""


@dataclass(frozen=True)
class Comment:
    """Where the comment is, and what became of it."""

    url: str
    outcome: Literal["created", "changed", "unchanged"]


def put_comment(client: Client, number: int, topic: str, text: str, author: str = ACTIONS) -> Comment:
    """Write the one comment about ``topic`` into issue or pull request ``number``.

    ``topic`` is of letters, digits, ``.``, ``_`` and ``-``, such as a target's name.  A hidden line in the text says
    which comment it is.  Only one that ``author`` wrote is taken for it: anybody may write such a line, and could edit
    a comment of theirs after the verdict.

    Raises:
        InputError: ``topic`` has other characters; as :class:`Client` does.
    """
    if not re.fullmatch(r"[\w.-]+", topic, re.ASCII):
        raise InputError(f"topic {topic!r}: expected letters, digits, '.', '_' and '-', such as the target's name")
    marker = f"<!-- edgekit-comment: {topic} -->"
    body = fitted(client.hide(text).rstrip("\n"), f"\n\n{marker}\n")

    def there() -> Json | None:
        for comment in client.pages(f"issues/{number}/comments"):
            if comment["user"]["login"] == author and (comment["body"] or "").rstrip().endswith(marker):
                return comment
        return None

    found = there()
    if found is None:
        made = client.create(f"issues/{number}/comments", {"body": body}, there)
        return Comment(made["html_url"], "created")
    if found["body"].rstrip() == body.rstrip():
        return Comment(found["html_url"], "unchanged")
    client.change(f"issues/comments/{found['id']}", {"body": body})
    return Comment(found["html_url"], "changed")
