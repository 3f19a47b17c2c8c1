"""What the user may have meant: allowed names and near ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 12
_SHORTEST_PART = 3


def allowed(value: object, known: tuple[str, ...]) -> str:
    """ "did you mean 'x'? allowed: ..." for an error message; of many names only the near one, or the first."""
    near = nearest(str(value), known)
    if near is not None and len(known) > _LISTED:
        return f"did you mean {near!r}? (one of {len(known)})"
    hint = f"did you mean {near!r}? " if near is not None else ""
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"{hint}allowed: {', '.join(known[:_LISTED])}{more}"


def nearest(value: str, known: Iterable[str]) -> str | None:
    """The name that ``value`` was most likely meant to be, whatever its case; None: none is near.

    Near are a slip of the keys, a part ('orin' of 'orin-agx-64gb') and what is abbreviated ('tensorrt' for 'trt').
    """
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.casefold(), name)
    wanted = value.casefold()
    near = difflib.get_close_matches(wanted, folded, n=1) or [name for name in folded if _part(wanted, name)][:1]
    return folded[near[0]] if near else None


def _part(wanted: str, name: str) -> bool:
    if min(len(wanted), len(name)) < _SHORTEST_PART:
        return False
    letters = iter(wanted)
    abbreviates = name[0] == wanted[0] and all(letter in letters for letter in name)
    return wanted in name or name in wanted or abbreviates
