"""What happened lately, and what has lasted: the two memories that keep diagnostics from flapping."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What happened in the last ``window_s`` seconds, oldest first; bounded.

    A clock that jumps back (a simulation that starts again) empties it.
    """

    def __init__(self, most: int = 4096) -> None:
        self._items: deque[tuple[float, T]] = deque(maxlen=most)

    def add(self, now_s: float, item: T) -> None:
        """Remember ``item``."""
        self._jumped(now_s)
        self._items.append((now_s, item))

    def within(self, now_s: float, window_s: float) -> list[tuple[float, T]]:
        """Times and items of the window that ends now; what is older is forgotten."""
        self._jumped(now_s)
        while self._items and now_s - self._items[0][0] > window_s:
            self._items.popleft()
        return list(self._items)

    def _jumped(self, now_s: float) -> None:
        # Threads look at the clock before they take the lock: a little earlier is no jump.
        if self._items and now_s < self._items[-1][0] - 1:
            self._items.clear()

    def clear(self) -> None:
        """Forget all."""
        self._items.clear()


class Lasting:
    """A condition that holds once it has lasted, and is over once it has been gone for some time."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._last_s: float | None = None
        self.holds = False

    def see(self, condition: bool, now_s: float, raise_s: float, clear_s: float) -> bool:
        """Whether it holds, after ``condition`` was seen at ``now_s``.

        Args:
            condition: whether it is there now.
            now_s: a clock that jumps back by more than a second starts anew.
            raise_s: how long it must be there without a pause before it holds.
            clear_s: how long it must be gone before it is over.
        """
        if self._last_s is not None and now_s < self._last_s - 1:
            self.clear()
        if condition:
            self._since_s = now_s if self._since_s is None else self._since_s
            self._last_s = now_s
            self.holds = self.holds or now_s - self._since_s >= raise_s
        else:
            self._since_s = None
            self.holds = self.holds and self._last_s is not None and now_s - self._last_s < clear_s
        return self.holds

    def clear(self) -> None:
        """Start anew."""
        self._since_s = self._last_s = None
        self.holds = False
