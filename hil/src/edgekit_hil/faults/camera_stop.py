"""The camera stops: the replay of the bag is killed while the node answers it.  The run needs a bag, and ROS 2."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from edgekit_hil.faults.board import LocalBoard, when
from edgekit_hil.report import RunVerdict


@dataclass
class CameraStop:
    """SIGKILL to the replay; a camera that fails says nothing of the bundle."""

    name: str = "camera_stop"
    expects: RunVerdict = "infrastructure"

    def inject(self, board: LocalBoard) -> None:
        """Wait for the replay, and end it."""
        when(lambda: board.runs("replay"), lambda: self._stop(board))

    def recover(self, board: LocalBoard) -> None:
        """Nothing is left of it."""

    def _stop(self, board: LocalBoard) -> None:
        for group in board.groups("replay"):
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
