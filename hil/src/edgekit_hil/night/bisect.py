"""The first bad one of bundles in order, in as few runs as a board allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgekit_hil.night.report import Reading

REPEATS = 1
"""How often a run that was undecided, or that the board's failure ended, is tried again."""

Read = Callable[[int, int], Reading]
"""Runs the candidate with this index for this time (0: first) and reads it."""


@dataclass(frozen=True)
class Found:
    """The first bad candidate is one of ``first`` to ``last``, of ``read`` runs; equal: it is that one."""

    first: int
    last: int
    read: int
    why: str


def most_runs(count: int) -> int:
    """Runs that a search among ``count`` candidates may take: a halving each, and one for a run to be repeated."""
    return math.ceil(math.log2(count)) + 1 if count > 1 else 0


def bisect(count: int, read: Read, most: int | None = None) -> Found:
    """Search ``count`` candidates in order: what was before them is good, the last of them is bad.

    Each run halves what is left.  A run that says neither is repeated, while runs are left; a candidate that stays
    undecided is passed over for its neighbours, which may leave several suspects.  A board that fails twice ends the
    search where it is.  Where good and bad alternate, one change from good to bad is found, not all.

    Args:
        count: 1 or more.
        read: runs one.
        most: runs at most; default: :func:`most_runs`.
    """
    good, bad, runs = -1, count - 1, 0
    most = most_runs(count) if most is None else most
    unclear: set[int] = set()
    while open_ := [i for i in range(good + 1, bad) if i not in unclear]:
        if runs >= most:
            return Found(good + 1, bad, runs, f"the {most} runs that the search may take were used")
        middle = min(open_, key=lambda i: (abs(2 * i - good - bad), i))
        reading: Reading = "undecided"
        for time in range(REPEATS + 1):
            if runs >= most:
                break
            reading = read(middle, time)
            runs += 1
            if reading in ("good", "bad"):
                break
        if reading == "infrastructure":
            return Found(good + 1, bad, runs, "the board failed, so the search stopped")
        if reading == "good":
            good = middle
        elif reading == "bad":
            bad = middle
        else:
            unclear.add(middle)
    if bad - good > 1:
        return Found(good + 1, bad, runs, f"{bad - good - 1} of the bundles stayed undecided")
    return Found(bad, bad, runs, "the bundle before it is good" if bad else "last-good is the bundle before it")
