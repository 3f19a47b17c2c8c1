"""Widths chosen by milliseconds and by what they cost: always the cut that saves most time for its cost next."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.prune.channels.choice import Options, Widths
from edgekit.prune.channels.groups import Group
from edgekit.prune.channels.layers import Numbers

_LEVELS = 8
_LEAST = 1e-4
"""Cost of a whole group that costs nothing: of two such cuts the one that takes fewer channels is better."""


@dataclass(frozen=True)
class Cost:
    """What narrowing one group alone costs, by width: measured at a few, in between on straight lines.

    Args:
        width: all channels, which cost nothing.
        measured: increase of the loss by width.
    """

    width: int
    measured: Mapping[int, float]

    def at(self, width: int) -> float:
        """The cost; it never falls with fewer channels."""
        if width == self.width:
            return 0.0
        widths = sorted({**self.measured, self.width: 0.0})
        costs = [max((self.measured.get(w, 0.0) for w in widths if w >= at), default=0.0) for at in widths]
        costs = [max(cost, 0.0) for cost in costs]
        right = min(max(bisect.bisect_left(widths, width), 1), len(widths) - 1)
        (low, high), (first, second) = widths[right - 1 : right + 1], costs[right - 1 : right + 1]
        found = first + (second - first) * (width - low) / (high - low)
        return max(found, 0.0) + _LEAST * (1 - width / self.width)


def coarse(group: Group, step: int, max_ratio: float) -> tuple[int, ...]:
    """Widths in steps of about an eighth, whole steps of the staircase each: smaller ones are lost in noise."""
    stride = step * max(1, round(group.width / (_LEVELS * step)))
    return group.options(stride, max_ratio)


def greedy(
    groups: Sequence[Group],
    options: Options,
    costs: Mapping[str, Cost],
    ms: Callable[[Numbers], Numbers],
    target_ms: float,
) -> Widths | None:
    """Widths that are predicted to take at most ``target_ms``; None: the narrowest take longer.

    Args:
        groups: in the order of the columns that ``ms`` takes.
        options: widths of each group, widest first.
        costs: of each group.
        ms: predicts milliseconds of choices ``(choices, groups)``.
        target_ms: to be reached.
    """
    now = np.array([group.width for group in groups], float)
    price = {g.name: {width: costs[g.name].at(width) for width in options[g.name]} for g in groups}
    while (current := float(ms(now[None])[0])) > target_ms:
        cuts = [(at, width) for at, g in enumerate(groups) for width in options[g.name] if width < now[at]]
        if not cuts:
            return None
        tried = np.repeat(now[None], len(cuts), 0)
        for row, (at, width) in enumerate(cuts):
            tried[row, at] = width
        saved = current - ms(tried)
        paid = [price[groups[at].name][width] - price[groups[at].name][int(now[at])] for at, width in cuts]
        worth = saved / np.maximum(paid, 1e-12)
        best = int(np.argmax(np.where(saved > 0, worth, -np.inf)))
        if saved[best] <= 0:
            return None
        now[cuts[best][0]] = cuts[best][1]
    _give_back(now, groups, options, price, ms, target_ms)
    return {group.name: int(width) for group, width in zip(groups, now, strict=True)}


def _give_back(
    now: Numbers,
    groups: Sequence[Group],
    options: Options,
    price: Mapping[str, Mapping[int, float]],
    ms: Callable[[Numbers], Numbers],
    target_ms: float,
) -> None:
    """Widen groups again, in place, as far as the target allows: the last cut may have saved more than was missing."""
    while True:
        wider = [(at, width) for at, g in enumerate(groups) for width in options[g.name] if width > now[at]]
        if not wider:
            return
        tried = np.repeat(now[None], len(wider), 0)
        for row, (at, width) in enumerate(wider):
            tried[row, at] = width
        back = np.array([price[groups[at].name][int(now[at])] - price[groups[at].name][width] for at, width in wider])
        best = int(np.argmax(np.where(ms(tried) <= target_ms, back, -np.inf)))
        if ms(tried[best : best + 1])[0] > target_ms:
            return
        now[wider[best][0]] = wider[best][1]
