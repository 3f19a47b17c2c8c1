"""A board that hangs at boot: its network is up, and whoever connects waits for an answer."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from edgekit_hil.faults.board import LOOK_S, LocalBoard
from edgekit_hil.report import RunVerdict


@dataclass
class BootHang:
    """A port that accepts and says nothing, in place of the SSH server."""

    name: str = "boot_hang"
    expects: RunVerdict = "infrastructure"
    _listener: socket.socket | None = None

    def inject(self, board: LocalBoard) -> None:
        """End the server, and take its port."""
        server = board.server()
        os.kill(server, signal.SIGTERM)
        while self._listener is None:
            time.sleep(LOOK_S)
            with suppress(OSError):
                # create_server sets SO_REUSEADDR; the port is free once the server is gone.
                self._listener = socket.create_server(("127.0.0.1", board.port), backlog=100)

    def recover(self, board: LocalBoard) -> None:
        """Start the server again."""
        if self._listener is not None:
            self._listener.close()
        board.start()
