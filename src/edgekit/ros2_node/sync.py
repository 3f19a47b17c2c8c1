"""Frames of several cameras that were taken together, for a model that takes them in one query."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edgekit.ros2_node.frame import Frame, Query

DEPTH = 8
"""Frames of each camera that wait for those of the others; more are not worth waiting for."""


class Synchronizer:
    """Joins frames whose stamps lie within ``slop_s`` of each other, each frame once, in the order of their stamps.

    The idea is that of message_filters' ApproximateTimeSynchronizer; frames older than a match are dropped.

    Args:
        cameras: their names, the leader first.
        slop_s: how far apart the stamps of one query may be, in seconds.
    """

    def __init__(self, cameras: Sequence[str], slop_s: float) -> None:
        self._waiting: dict[str, deque[Frame]] = {camera: deque(maxlen=DEPTH) for camera in cameras}
        self._slop_s = slop_s

    def add(self, frame: Frame) -> tuple[Query | None, list[Frame]]:
        """The query that is whole now, if one is, and the frames that will never be part of one."""
        queue = self._waiting[frame.camera]
        lost = [queue[0]] if len(queue) == queue.maxlen else []
        queue.append(frame)
        while all(self._waiting.values()):
            heads = {camera: waiting[0] for camera, waiting in self._waiting.items()}
            oldest = min(heads.values(), key=lambda head: head.stamp_s)
            newest = max(head.stamp_s for head in heads.values())
            if newest - oldest.stamp_s <= self._slop_s:
                for waiting in self._waiting.values():
                    waiting.popleft()
                return Query(heads), lost
            lost.append(self._waiting[oldest.camera].popleft())
        return None, lost
