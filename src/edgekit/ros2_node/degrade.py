"""What the node does when its engine does not keep up: say so, and run a lighter bundle if it has one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 1.0
"""What the last second was like decides."""
SHARE = 0.1
"""Of its frames: more dropped than this is an overload."""


@dataclass(frozen=True)
class Mode:
    """``light``: the lighter bundle runs; ``said``: what is less than was asked, empty when nothing is."""

    light: bool = False
    said: str = ""


class Degradation:
    """Decides from what became of each frame; times are seconds of one clock.

    Args:
        has_lighter: whether there is a lighter bundle.
        degrade_after_s: so long overloaded before it runs.
        recover_after_s: so long with it before the other one is tried again.
    """

    def __init__(self, has_lighter: bool, degrade_after_s: float, recover_after_s: float) -> None:
        self.degrade_after_s, self.recover_after_s = degrade_after_s, recover_after_s
        self._has_lighter = has_lighter
        self._events: deque[tuple[float, bool]] = deque()
        self._overloaded_since: float | None = None
        self._light_since: float | None = None

    def frame(self, now_s: float, dropped: bool) -> None:
        """A frame was dropped for a newer one, or answered."""
        self._events.append((now_s, dropped))

    def mode(self, now_s: float) -> Mode:
        """What to run from now on."""
        while self._events and self._events[0][0] <= now_s - WINDOW_S:
            self._events.popleft()
        count, dropped = len(self._events), sum(was for _, was in self._events)
        overloaded = dropped > SHARE * count
        if not overloaded:
            self._overloaded_since = None
        elif self._overloaded_since is None:
            self._overloaded_since = now_s
        if self._light_since is not None and now_s - self._light_since >= self.recover_after_s:
            self._light_since = self._overloaded_since = None
            self._events.clear()
            overloaded = False
        since = self._overloaded_since
        lasts = since is not None and now_s - since >= self.degrade_after_s
        if self._has_lighter and self._light_since is None and lasts:
            self._light_since = now_s
        light = self._light_since is not None
        if overloaded:
            rate = f"{(count - dropped) / WINDOW_S:.1f} of {count / WINDOW_S:.1f} frames a second are answered"
            return Mode(light, f"{'Even the lighter bundle' if light else 'The engine'} does not keep up: {rate}.")
        return Mode(light, "The lighter bundle runs: the other one did not keep up." if light else "")
