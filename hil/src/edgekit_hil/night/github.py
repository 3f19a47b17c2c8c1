"""Regressions as issues on GitHub: one open issue each, kept up to date, closed when the KPI holds again."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from edgekit.core.errors import InputError, MissingRequirement
from edgekit.reporting.forges.client import Client, Json, fitted

LABEL = "edgekit-regression"
"""Which issues are the night's.  Only who may triage sets labels, so nobody else makes one of them."""
_MARKER = re.compile(r"<!-- edgekit-regression: (\S+)((?: \S+)*) -->")
_TITLE = 256  # characters, GitHub's own limit
_GREEN = "Green again: the bundle passes on every board that this issue is about."
_TWICE = "Another open issue is about the same regression: #{}."


@dataclass(frozen=True)
class Issue:
    """A regression as people read it; ``body`` is Markdown, ``key`` the same from night to night.

    ``concerns`` is what has to be green before the issue may be closed, such as ``board/bundle`` of each board.
    """

    title: str
    body: str
    key: str
    concerns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Synced:
    """Numbers of the issues that were opened, changed and closed."""

    opened: tuple[int, ...] = ()
    updated: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Open:
    """An open issue of the night's, as GitHub has it, and what its hidden line says."""

    there: Json
    concerns: frozenset[str]

    @property
    def number(self) -> int:
        return int(self.there["number"])


class Tracker:
    """The open issues of one repository that carry ``label``; its errors are those of the client."""

    def __init__(self, client: Client, label: str = LABEL) -> None:
        self._client = client
        self._label = label

    def sync(self, regressions: Sequence[Issue], green: Collection[str] | None = None) -> Synced:
        """Open, change and close issues until they say what the night found.

        An open issue whose key is not among ``regressions`` is closed if all that it concerns is among ``green`` (None:
        everything is): of a board that was unplugged, or a KPI that could not be decided, nothing is known.

        Raises:
            InputError: two regressions have one key.
            MissingRequirement: the token may not set labels.
        """
        wanted = {one.key: one for one in regressions}
        if len(wanted) < len(regressions):
            keys = [one.key for one in regressions]
            raise InputError(f"regression {next(k for k in keys if keys.count(k) > 1)!r} is there twice; expected once")
        there = self._open()
        opened, updated, closed = [], [], []
        for key, issue in wanted.items():
            if key not in there:
                opened.append(self._create(issue))
            elif self._update(there[key][0].there, issue):
                updated.append(there[key][0].number)
        for key, (first, *others) in there.items():
            for other in others:
                self._close(other.number, _TWICE.format(first.number), "not_planned")
                closed.append(other.number)
            if key not in wanted and (green is None or first.concerns <= set(green)):
                self._close(first.number, _GREEN, "completed")
                closed.append(first.number)
        return Synced(tuple(opened), tuple(updated), tuple(closed))

    def _open(self) -> dict[str, list[_Open]]:
        """Open issues by key, the oldest first; those without a key are people's own and left alone."""
        found: dict[str, list[_Open]] = {}
        listed = self._client.pages("issues", state="open", labels=self._label, sort="created", direction="asc")
        for issue in listed:
            marked = _MARKER.findall(issue["body"] or "")
            if marked and "pull_request" not in issue:  # GitHub lists pull requests as issues too
                key, concerns = marked[-1]
                found.setdefault(unquote(key), []).append(_Open(issue, frozenset(map(unquote, concerns.split()))))
        return found

    def _document(self, issue: Issue) -> Json:
        title, body = self._client.hide(issue.title), self._client.hide(issue.body).rstrip("\n")
        return {"title": title[:_TITLE], "body": fitted(body, f"\n\n{_marker(issue)}\n")}

    def _create(self, issue: Issue) -> int:
        def there() -> Json | None:
            return next((one.there for one in self._open().get(issue.key, ())), None)

        made = self._client.create("issues", self._document(issue) | {"labels": [self._label]}, there)
        if self._label not in {one["name"] for one in made["labels"]}:  # GitHub drops them without a word
            number = int(made["number"])
            note = f"issue {number} has none, and the next night would not find it; close it, and permit issues: write"
            raise MissingRequirement(f"a token that may set the label {self._label}", note=note)
        return int(made["number"])

    def _update(self, there: Json, issue: Issue) -> bool:
        """Whether the issue said something else."""
        document = self._document(issue)
        if there["title"] == document["title"] and there["body"].rstrip() == document["body"].rstrip():
            return False
        self._client.change(f"issues/{there['number']}", document)
        return True

    def _close(self, number: int, why: str, reason: str) -> None:
        comments = f"issues/{number}/comments"

        def said() -> Json | None:
            return next((one for one in self._client.pages(comments) if one["body"].startswith(why)), None)

        # Closed first: killed in between, the issue is closed without the comment, and never open with many.
        self._client.change(f"issues/{number}", {"state": "closed", "state_reason": reason})
        self._client.create(comments, {"body": why}, said)


def _marker(issue: Issue) -> str:
    """A hidden line; quoted, because a key with ``-->`` or a space would end it."""
    words = " ".join(quote(word, safe="/:@") for word in (issue.key, *issue.concerns))
    return f"<!-- edgekit-regression: {words} -->"
