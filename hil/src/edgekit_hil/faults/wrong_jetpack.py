"""The board has another JetPack than its environment file says: a simulated answer of dpkg-query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit_hil.faults.board import LocalBoard, replaced
from edgekit_hil.report import RunVerdict

_ANSWER = "#!/bin/sh\necho nvidia-jetpack 5.1.2-b104\n"


@dataclass
class WrongJetpack:
    """JetPack 5.1.2."""

    name: str = "wrong_jetpack"
    expects: RunVerdict = "infrastructure"
    _back: Callable[[], None] | None = None

    def inject(self, board: LocalBoard) -> None:
        """Replace dpkg-query."""
        self._back = replaced(board.bin / "dpkg-query", _ANSWER)

    def recover(self, board: LocalBoard) -> None:
        """Put the former one back."""
        if self._back is not None:
            self._back()
