"""Something else keeps every core of the board busy during the whole run."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field

from edgekit_hil.faults.board import LocalBoard
from edgekit_hil.report import RunVerdict


@dataclass
class OtherLoad:
    """One endless loop a core; both sides of a comparison are slowed down alike."""

    name: str = "other_load"
    expects: RunVerdict = "pass"
    _busy: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def inject(self, board: LocalBoard) -> None:
        """Start them."""
        words = ["sh", "-c", "while :; do :; done"]
        environment = {**os.environ, "HOME": str(board.home)}
        self._busy = [subprocess.Popen(words, env=environment) for _ in range(os.cpu_count() or 1)]

    def recover(self, board: LocalBoard) -> None:
        """End them."""
        for process in self._busy:
            process.kill()
            process.wait()
        self._busy = []
