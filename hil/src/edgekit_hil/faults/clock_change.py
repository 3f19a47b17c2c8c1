"""The board's wall clock jumps by a day while the gate measures, as after a late NTP answer.

This machine's clock cannot be set for a test, so the clock is shifted for the Python programs of the board: agent,
supervisor and edgekit.  That shows that none of them takes the wall clock for a duration, a limit or the lease's end;
it does not show what the kernel or another program does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit_hil.faults.board import LocalBoard, replaced, when
from edgekit_hil.report import RunVerdict

_SHIFTED = """\
import time
from pathlib import Path
_file, _time, _time_ns = Path({file!r}), time.time, time.time_ns
def _by():
    return float(_file.read_text() or 0)
time.time = lambda: _time() + _by()
time.time_ns = lambda: _time_ns() + int(_by() * 1e9)
"""


@dataclass
class ClockChange:
    """Back by ``seconds``, which is the worse direction: what waits for a time would wait for ever."""

    name: str = "clock_change"
    expects: RunVerdict = "pass"
    seconds: float = -86400.0
    _back: Callable[[], None] | None = None

    def inject(self, board: LocalBoard) -> None:
        """Load the shift into each Python of the board, and set it when the gate runs."""
        folder = board.home.parent / "shifted"
        folder.mkdir(exist_ok=True)
        shift = folder / "seconds"
        shift.write_text("0", "utf-8")
        (folder / "sitecustomize.py").write_text(_SHIFTED.format(file=str(shift)), "utf-8")
        text = board.python.read_text("utf-8").replace("PYTHONPATH=", f"PYTHONPATH={folder}:", 1)
        self._back = replaced(board.python, text)
        when(lambda: board.runs("gate"), lambda: shift.write_text(str(self.seconds), "utf-8"))

    def recover(self, board: LocalBoard) -> None:
        """The board's Python is the former one."""
        if self._back is not None:
            self._back()
