"""Recorded runs: what is listed of them, what is read back, how one is named."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import InputError
from edgekit.core.reports import EvaluateReport, GateReport, ProfileReport
from edgekit.history.location import Location

LAST_GOOD = "last-good"
BUNDLE = "bundle.edgekit"
"""The artefact that is the bundle itself: the first run of a digest that passed keeps it."""
EXPERIMENT = "edgekit/"
TAG = "edgekit."
DOCUMENTS = {"evaluation": "evaluate.json", "profile": "profile.json", "gate": "gate.json"}
VALUES = "values.json"
_SHORTEST_PREFIX = 4
_SHOWN = 5


@dataclass(frozen=True)
class Entry:
    """A finished run as it is listed.

    ``id`` is MLflow's, ``revision`` the git commit or empty, ``digest`` the bundle's, ``verdict`` the gate's or empty.
    ``time_ms`` is its start in milliseconds since 1970 UTC; ``metrics`` are by MLflow's names; ``data`` and
    ``machine`` are equal for runs whose accuracy and whose latency can be compared; ``measured`` is equal for runs that
    judge the very same measurements; ``artifacts`` are the names of what the caller added.
    """

    id: str
    name: str
    target: str
    revision: str
    digest: str
    verdict: str
    time_ms: int
    metrics: Mapping[str, float]
    data: str
    machine: str
    artifacts: tuple[str, ...] = ()
    measured: str = ""

    @classmethod
    def of(cls, run: Any) -> Entry:
        """From an MLflow run."""
        tags = run.data.tags
        words = ("name", "target", "revision", "digest", "verdict", "data", "machine", "measured")
        return cls(
            id=run.info.run_id,
            time_ms=run.info.start_time,
            metrics=dict(run.data.metrics),
            artifacts=tuple(tags.get(f"{TAG}artifacts", "").split()),
            **{word: tags.get(TAG + word, "") for word in words},
        )

    @property
    def model(self) -> str:
        """The registered model that its bundle is a version of."""
        return model(self.name, self.target)


@dataclass(frozen=True)
class Run:
    """A finished run with its documents; ``documents`` is the folder that holds them and the other artefacts.

    Of a server's run it is a copy that is deleted with the :class:`~edgekit.history.History` it came from.
    """

    entry: Entry
    evaluation: EvaluateReport
    profile: ProfileReport | None
    gate: GateReport | None
    documents: Path


def model(name: str, target: str) -> str:
    """The name of a registered model: one for each target of each project."""
    return f"{name}-{target}"


def folder_of(location: Location, run: str) -> Path:
    """Where a run's documents are beside a history file.

    MLflow's own record of it is where the file was when the project was first recorded; files move.
    """
    return location.documents / run / "artifacts"


def pick(reference: str, entries: Sequence[Entry]) -> Entry:
    """The run that ``reference`` names: a run id or a revision, or the first letters of one.

    Of several runs of one revision, the newest.

    Raises:
        InputError: none or more than one is meant.
    """
    wanted = reference.strip().lower()
    if not entries:
        raise InputError(f"{reference!r}: no finished run is recorded; record one with edgekit gate")
    if len(wanted) < _SHORTEST_PREFIX:
        raise InputError(
            f"{reference!r}: give {_SHORTEST_PREFIX} letters or more of a run id or revision; {_known(entries)}"
        )
    ids = {e.id for e in entries if e.id.startswith(wanted)}
    revisions = {e.revision for e in entries if e.revision.startswith(wanted)}
    if wanted in ids or wanted in revisions:  # whole, so that nothing it begins is meant
        ids, revisions = ids & {wanted}, revisions & {wanted}
    if not ids and not revisions:
        raise InputError(f"{reference!r}: no such run or revision; {_near(wanted, entries)}{_known(entries)}")
    if len(ids) + len(revisions) > 1:
        raise InputError(f"{reference!r} is ambiguous: {_some([*sorted(ids), *sorted(revisions)])}; give more letters")
    found = [e for e in entries if e.id in ids or e.revision in revisions]
    of_one({e.model: e for e in found}, reference)
    return max(found, key=lambda e: (e.time_ms, e.id))


def of_one(models: Mapping[str, Any], what: str) -> None:
    """Raise :class:`InputError` when several projects or targets are meant."""
    if len(models) > 1:
        raise InputError(f"{what!r} is ambiguous: there are runs of {_some(sorted(models))}; name one with --target")


def _near(wanted: str, entries: Iterable[Entry]) -> str:
    names = [name[: len(wanted)] for e in entries for name in (e.id, e.revision) if name]
    near = difflib.get_close_matches(wanted, (*names, LAST_GOOD), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def _known(entries: Iterable[Entry]) -> str:
    newest = sorted(entries, key=lambda e: e.time_ms, reverse=True)
    runs = dict.fromkeys(f"{e.id[:8]}{f' of {e.revision[:8]}' if e.revision else ''}" for e in newest)
    return f"known: {LAST_GOOD}, {_some(list(runs))}"


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
