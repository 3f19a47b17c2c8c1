"""Names of two sides matched: the classes of a data set and those of a task.

Names are the same when they are equal, or when they differ in nothing but case, spaces, underscores and hyphens and
no other name of that side does so too: ``traffic light`` is ``Traffic_Light``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgekit.core.errors import DataError
from edgekit.core.suggest import allowed

_JOINTS = re.compile(r"[\s_-]+")
_LISTED = 8


def folded(name: str) -> str:
    """A name in the form in which names are compared: without case, spaces, underscores and hyphens."""
    return _JOINTS.sub(" ", name).strip().casefold()


def place(name: str, known: Sequence[str]) -> int | None:
    """The place of a name among ``known``; None: none of them is the same, or several are."""
    if name in known:
        return known.index(name)
    near = [i for i, other in enumerate(known) if folded(other) == folded(name)]
    return near[0] if len(near) == 1 else None


def listed(names: Iterable[str]) -> str:
    """At most eight names for a message, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(map(repr, every[:_LISTED])) + more


def renamed(name: str, changes: Mapping[str, str | None]) -> str | None:
    """What a data set's own name becomes by the key ``map``; None: it is left out."""
    keys = tuple(changes)
    found = place(name, keys)
    return name if found is None else changes[keys[found]]


def check_map(changes: Mapping[str, str | None], data_names: Sequence[str], where: str) -> None:
    """Raise :class:`DataError` when ``map`` renames what the data set does not have."""
    for name in changes:
        if place(name, data_names) is None:
            raise DataError(f"{where}: map: the data set has no class {name!r}; {allowed(name, tuple(data_names))}")


def changed(data_names: Mapping[int, str], changes: Mapping[str, str | None], where: str) -> dict[int, str | None]:
    """Names by class id after ``map``; None: what is left out.  Raises as :func:`check_map`."""
    check_map(changes, tuple(data_names.values()), where)
    return {number: renamed(name, changes) for number, name in data_names.items()}


@dataclass(frozen=True)
class Join:
    """The classes of a data set, and those of a task, by name.

    ``named`` are the data set's names by class id, ``wanted`` the task's in the order of its ids. ``ids`` leads from
    the data set's ids to the task's; ``foreign`` are the names of ids that have no class of the task, and the ids
    ``omitted`` are left out.
    """

    named: Mapping[int, str]
    wanted: tuple[str, ...]
    ids: Mapping[int, int]
    foreign: Mapping[int, str]
    omitted: frozenset[int] = frozenset()

    @classmethod
    def of(cls, table: Mapping[int, str | None], wanted: Sequence[str], where: str) -> Join:
        """Join by name; None in ``table``: such labels are left out.

        Raises:
            DataError: not one name is on both sides.
        """
        named = {number: name for number, name in table.items() if name is not None}
        found = {number: place(name, wanted) for number, name in named.items()}
        ids = {number: label for number, label in found.items() if label is not None}
        if not ids:
            raise DataError(
                f"{where}: none of the data set's classes is one of the task's; the data set has "
                f"{listed(dict.fromkeys(named.values()))}, task.classes {listed(wanted)}; "
                "say which is which with map: {data set's name: task's name}, or correct task.classes"
            )
        foreign = {number: name for number, name in named.items() if number not in ids}
        return cls(named, tuple(wanted), ids, foreign, frozenset(table) - frozenset(named))

    @property
    def same(self) -> bool:
        """Whether every class id stays as it is."""
        return not self.foreign and not self.omitted and all(number == label for number, label in self.ids.items())

    @property
    def unlabelled(self) -> tuple[int, ...]:
        """The task's class ids that the data set has no name for."""
        labelled = set(self.ids.values())
        return tuple(i for i in range(len(self.wanted)) if i not in labelled)

    def foreign_hint(self, name: str) -> str:
        """What to do about an object of a class that the task does not have."""
        return (
            f"{allowed(name, self.wanted)}; say what it is with map: {{{name}: ...}}, leave it out with "
            f"map: {{{name}: null}} or unlisted: drop, or add it to task.classes"
        )
