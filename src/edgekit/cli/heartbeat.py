"""A line a minute while a step goes on, where nobody sees a progress bar: CI systems end jobs that are silent."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO


@dataclass(frozen=True)
class Pace:
    """How fast a step goes.

    Args:
        before: parts that were done before it began.
        frames: in each part; 0: parts are no frames.
    """

    before: int = 0
    frames: int = 0

    def rest_s(self, done: int, total: int, elapsed_s: float) -> float | None:
        """Seconds until the last part is done; None: no part was done yet."""
        return elapsed_s * (total - done) / (done - self.before) if done > self.before else None

    def frames_per_s(self, done: int, elapsed_s: float) -> float | None:
        """Frames a second; None: parts are no frames, or none was done yet."""
        made = self.frames * (done - self.before)
        return made / elapsed_s if made and elapsed_s > 0 else None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


class Heartbeat:
    """One step; of steps inside each other only the innermost prints lines.

    Args:
        title: what the step is called.
        total: its parts, None when unknown.
        stream: where lines go; kept, for users' code is run with ``sys.stderr`` replaced.
        running: the steps that go on, outermost first; shared by all of them.
        every_s: seconds between two lines.
        pace: what its parts are made of.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        stream: TextIO,
        running: list[Heartbeat],
        every_s: float = 60.0,
        pace: Pace | None = None,
    ) -> None:
        self.title = title
        self.total = total
        self.pace = pace or Pace()
        self.done = self.pace.before
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
        """``calibrate: 340 of 3200 after 2 min``; what says how long it goes on stands behind."""
        parts = f" {self.done} of {self.total}" if self.total else ""
        text = f"{self.title}:{parts} after {_minutes(elapsed_s)}"
        if self.total is None or (rest_s := self.pace.rest_s(self.done, self.total, elapsed_s)) is None:
            return text
        speed = self.pace.frames_per_s(self.done, elapsed_s)
        return f"{text}, about {_minutes(rest_s)} to go" + (f", {speed:.3g} frames/s" if speed else "")

    def _tell(self) -> None:
        start = time.monotonic()
        while not self._over.wait(self._every_s):
            if self._running and self._running[-1] is self:
                try:
                    self._stream.write(self.line(time.monotonic() - start) + "\n")
                    self._stream.flush()
                except (OSError, ValueError):  # nobody reads any more, or the stream is closed
                    return
