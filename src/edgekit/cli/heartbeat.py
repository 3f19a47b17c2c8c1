"""A line a minute while a step goes on, where nobody sees a progress bar: CI systems end jobs that are silent."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TextIO


class Heartbeat:
    """One step; of steps inside each other only the innermost prints lines.

    Args:
        title: what the step is called.
        total: its parts, None when unknown.
        stream: where lines go; kept, for users' code is run with ``sys.stderr`` replaced.
        running: the steps that go on, outermost first; shared by all of them.
        every_s: seconds between two lines.
    """

    def __init__(
        self, title: str, total: int | None, stream: TextIO, running: list[Heartbeat], every_s: float = 60.0
    ) -> None:
        self.title = title
        self.total = total
        self.done = 0
        self._stream = stream
        self._running = running
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, name=f"heartbeat {title}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._running.append(self)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.remove(self)
        self._over.set()
        self._thread.join()

    def advance(self) -> None:
        """One part is done."""
        self.done += 1

    def line(self, elapsed_s: float) -> str:
        """``calibrate: 340 of 3200 after 2 min``."""
        parts = f" {self.done} of {self.total}" if self.total else ""
        minutes = f"{elapsed_s / 60:.0f} min" if elapsed_s >= 60 else f"{elapsed_s:.0f} s"
        return f"{self.title}:{parts} after {minutes}"

    def _tell(self) -> None:
        start = time.monotonic()
        while not self._over.wait(self._every_s):
            if self._running and self._running[-1] is self:
                try:
                    self._stream.write(self.line(time.monotonic() - start) + "\n")
                    self._stream.flush()
                except (OSError, ValueError):  # nobody reads any more, or the stream is closed
                    return
