"""What makes a ring buffer be saved: a status that gets worse, or somebody who asks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from edgekit.core.errors import InputError
from edgekit.core.suggest import allowed

KINDS = ("error", "drift", "deadline", "service")
"""``error``: any status of level ERROR; ``drift``, ``deadline``: the node's statuses of these names, from WARN on."""
NAMES = {"drift": "input drift", "deadline": "deadline"}
WARN, ERROR, STALE = 1, 2, 3


@dataclass(frozen=True)
class Seen:
    """A status: its name and level (``diagnostic_msgs/DiagnosticStatus``)."""

    name: str
    level: int


def checked(kinds: Iterable[str]) -> frozenset[str]:
    """The kinds of triggers that are asked for.

    Raises:
        InputError: one of them is unknown.
    """
    asked = [kind.strip() for kind in kinds if kind.strip()]
    for kind in asked:
        if kind not in KINDS:
            raise InputError(f"--on: {kind!r} triggers nothing; {allowed(kind, KINDS)}")
    return frozenset(asked)


@dataclass
class Triggers:
    """Finds the statuses that got worse, so that one that stays bad triggers once.

    ``node``: only statuses of this node count (``/front/edgekit``); empty: those of every node.
    """

    kinds: Collection[str]
    node: str = ""
    _bad: dict[tuple[str, str], bool] = field(default_factory=dict)

    def see(self, statuses: Iterable[Seen]) -> list[str]:
        """Why to save: ``kind: name of the status``, for each that was not bad before."""
        before = f"{self.node.lstrip('/')}: " if self.node else ""
        found = []
        for status in statuses:
            if not status.name.startswith(before):
                continue
            for kind in sorted(self.kinds):
                bad = self._is_bad(kind, status)
                if bad and not self._bad.get((kind, status.name), False):
                    found.append(f"{kind}: {status.name}")
                self._bad[kind, status.name] = bad
        return found

    @staticmethod
    def _is_bad(kind: str, status: Seen) -> bool:
        if kind == "error":
            return status.level == ERROR
        wanted = NAMES.get(kind)
        return wanted is not None and status.name.rpartition(": ")[2] == wanted and WARN <= status.level < STALE
