"""A time budget: how much of it is left, and work that gives up when it sees that it will not be done in time."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgekit.core.errors import InputError

_UNITS = (3600, 60, 1)
_FORM = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
# Before it has seen so much of its work nobody can say how long the rest will take.
_FEWEST, _SECONDS = 3, 0.2


class OutOfTime(Exception):
    """The work would not be done in time; ``str()`` says how far it came."""


def seconds_of(text: str) -> float:
    """``10m``, ``90s``, ``1h30m`` in seconds.

    Raises:
        InputError: another form, or no time at all.
    """
    found = _FORM.fullmatch(text.strip())
    parts = () if found is None else found.groups(default="0")
    total = sum(float(part) * unit for part, unit in zip(parts, _UNITS, strict=False))
    if total <= 0:
        raise InputError(f"--budget: {text!r} is no time; give hours, minutes or seconds, e.g. 10m, 90s or 1h30m")
    return total


def in_words(seconds: float) -> str:
    """Seconds as a person says them: ``45 s``, ``12 min``, ``2.5 h``."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Budget:
    """So many seconds from when it is made; the default is as many as it takes."""

    seconds: float = math.inf
    _clock: Callable[[], float] = time.monotonic
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_start", self._clock())

    @property
    def limited(self) -> bool:
        """Whether there is an end at all."""
        return math.isfinite(self.seconds)

    @property
    def left(self) -> float:
        """Seconds until the end, at least 0."""
        return max(0.0, self.seconds - (self._clock() - self._start))

    def pace(self, steps: int, what: str, share: float = 1.0) -> Callable[[], None]:
        """To call after each of ``steps`` equal steps, which may take ``share`` of what is left now.

        Raises:
            OutOfTime: from the call, as soon as the steps done so far say that the rest comes too late.
        """
        allowed, begun = self.left * share, self._clock()
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            took = self._clock() - begun
            needed = took / done * steps
            sure = done >= min(_FEWEST, steps) and took >= _SECONDS
            if done < steps and (took >= allowed or (sure and needed > allowed)):
                raise OutOfTime(
                    f"{steps} {what} would take about {in_words(needed)}, {in_words(allowed)} were left for them"
                )

        return step

    def room(self, share: float = 1.0) -> Callable[[int], bool]:
        """Whether another part fits into ``share`` of what is left now, asked with the number of parts done so far."""
        allowed, begun = self.left * share, self._clock()

        def fits(done: int) -> bool:
            took = self._clock() - begun
            return took + took / done <= allowed

        return fits
