"""How long-running stages tell what they are doing; silent unless a front end listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """A front end's progress display."""

    def track(
        self, title: str, total: int | None = None, *, done: int = 0, frames: int = 0
    ) -> AbstractContextManager[Callable[[], None]]:
        """Show a step of ``total`` parts (None: unknown); call the result once per part.

        ``done`` parts were done before, which says nothing of the speed; with ``frames`` in each part, the frames a
        second are shown too.
        """


class Silent:
    """Shows nothing."""

    @contextlib.contextmanager
    def track(
        self, title: str, total: int | None = None, *, done: int = 0, frames: int = 0
    ) -> Iterator[Callable[[], None]]:
        yield lambda: None
