"""How long-running stages tell what they are doing; silent unless a front end listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """A front end's progress display."""

    def track(self, title: str, total: int | None = None) -> AbstractContextManager[Callable[[], None]]:
        """Show a step of ``total`` parts (None: unknown); call the result once per part."""


class Silent:
    """Shows nothing."""

    @contextlib.contextmanager
    def track(self, title: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        yield lambda: None
