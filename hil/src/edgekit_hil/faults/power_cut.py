"""The power is cut while the bundle with its engine is written to the board's disk."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edgekit_hil.faults.board import LocalBoard, replaced, when
from edgekit_hil.report import RunVerdict

# What arrives stops in the middle, so that the cut meets a half-written bundle each time.
_STALLS = """#!/bin/sh
case "$*" in
*store-receive*) (head -c {bytes}; exec sleep 600) | {python} "$@" ;;
*) exec {python} "$@" ;;
esac
"""


@dataclass
class PowerCut:
    """After ``bytes`` of the bundle everything on the board gets SIGKILL; its disk is kept, as far as a kill shows it.

    What a real cut loses beside, blocks that the kernel had not written yet, is left to an emulated or a real board.
    """

    name: str = "power_cut"
    expects: RunVerdict = "infrastructure"
    bytes: int = 12000
    _back: Callable[[], None] | None = None
    _cutter: threading.Thread | None = None

    def inject(self, board: LocalBoard) -> None:
        """Wait until the transfer stands still, and cut."""
        former = board.python.with_name("python3.before")
        former.write_text(board.python.read_text("utf-8"), "utf-8")
        former.chmod(0o755)
        self._back = replaced(board.python, _STALLS.format(bytes=self.bytes, python=shlex.quote(str(former))))
        self._cutter = when(lambda: any(board.folder.glob("store/.incoming.*")), board.kill)

    def recover(self, board: LocalBoard) -> None:
        """Switch the board on again."""
        if self._cutter is not None:
            self._cutter.join()
        if self._back is not None:
            self._back()
        board.boot()
