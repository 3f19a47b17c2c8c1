"""Frames that wait for inference: one place a camera, in which the newest frame wins; cameras are served in turn."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edgekit.ros2_node.frame import Frame, Query


class Inbox:
    """Never holds more than one query a camera, and never makes a sender wait.

    Args:
        cameras: their names, in the order in which they are served.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        self._slots: dict[str, Query | None] = dict.fromkeys(cameras)
        self._turn = list(cameras)
        self._ready = threading.Condition()
        self._closed = False

    def put(self, query: Query) -> Frame | None:
        """Add a query of a camera; returns the frame that it replaced, which nobody will see."""
        camera = query.leader.camera
        with self._ready:
            replaced = self._slots[camera]
            self._slots[camera] = query
            self._ready.notify()
        return replaced.leader if replaced is not None else None

    def take(self) -> Query | None:
        """Wait for a query, and take that of the camera whose last turn is longest ago; None: the inbox was closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._closed or any(self._slots.values()))
            if self._closed:
                return None
            camera = next(name for name in self._turn if self._slots[name] is not None)
            self._turn.remove(camera)
            self._turn.append(camera)
            query, self._slots[camera] = self._slots[camera], None
            return query

    def close(self) -> None:
        """Let the one who waits in :meth:`take` go, for good."""
        with self._ready:
            self._closed = True
            self._slots = dict.fromkeys(self._slots)
            self._ready.notify_all()
