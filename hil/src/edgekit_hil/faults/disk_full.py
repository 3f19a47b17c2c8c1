"""The disk with the agent's folder is too small for the bundle: a tmpfs of its own, which needs root."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from edgekit.core.errors import EnvironmentFault
from edgekit_hil.faults.board import LocalBoard
from edgekit_hil.report import RunVerdict


@dataclass
class DiskFull:
    """A file system of ``kib`` KiB: enough for lease and jobs, not for a bundle."""

    name: str = "disk_full"
    expects: RunVerdict = "infrastructure"
    kib: int = 96

    def inject(self, board: LocalBoard) -> None:
        """Mount it over the folder.

        Raises:
            EnvironmentFault: this user may not mount.
        """
        board.folder.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={self.kib}k", "edgekit-disk-full", str(board.folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentFault(f"a full disk needs root and mount: {done.stderr.strip()}")

    def recover(self, board: LocalBoard) -> None:
        """Take it away; what was on it is gone."""
        subprocess.run(["umount", "--lazy", str(board.folder)], check=True)
