"""The board holds its GPU back because it is hot: a simulated reading of the kernel's cooling device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit_hil.faults.board import LocalBoard
from edgekit_hil.report import RunVerdict


@dataclass
class ThermalThrottle:
    """State 3 of the first cooling device of the board's /sys; the run's report names it among the board's facts."""

    name: str = "thermal_throttle"
    expects: RunVerdict = "pass"
    state: int = 3
    _former: str = ""

    def inject(self, board: LocalBoard) -> None:
        """Set the state."""
        self._former = self._file(board).read_text("utf-8")
        self._file(board).write_text(f"{self.state}\n", "utf-8")

    def recover(self, board: LocalBoard) -> None:
        """Set it back."""
        self._file(board).write_text(self._former, "utf-8")

    def _file(self, board: LocalBoard) -> Path:
        return board.sys / "class" / "thermal" / "cooling_device0" / "cur_state"
