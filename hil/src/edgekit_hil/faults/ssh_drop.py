"""Every SSH connection ends while the gate measures; the job on the board goes on, and the run asks for it again."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from edgekit_hil.faults.board import LocalBoard, when
from edgekit_hil.report import RunVerdict


@dataclass
class SshDrop:
    """SIGKILL to the server's sessions; the server goes on."""

    name: str = "ssh_drop"
    expects: RunVerdict = "pass"

    def inject(self, board: LocalBoard) -> None:
        """Wait for the gate, and cut."""
        when(lambda: board.runs("gate"), lambda: self._cut(board))

    def recover(self, board: LocalBoard) -> None:
        """Nothing is left of it."""

    def _cut(self, board: LocalBoard) -> None:
        for session in board.sessions():
            with suppress(ProcessLookupError):
                os.kill(session, signal.SIGKILL)
