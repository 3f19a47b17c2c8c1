"""What was received and is not written yet: bounded in bytes; who receives never waits for the disk."""

from __future__ import annotations

import threading
from collections import Counter, deque

from edgekit.ros2_node.bags.ring import Received

OVERHEAD = 256
"""What Python takes for a message beside its bytes, so that many empty ones are bounded too."""


class Backlog:
    """A queue of messages between two threads.

    A message that does not fit is dropped and counted: dropping the newest leaves what is recorded before it whole.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.most = 0
        """The most bytes that were ever in it."""
        self.dropped: Counter[str] = Counter()
        self._size = 0
        self._held: deque[Received] = deque()
        self._closed = False
        self._filled = threading.Condition()

    def put(self, message: Received) -> bool:
        """Take a message; False: there is no room, and it is dropped."""
        size = len(message.data) + OVERHEAD
        with self._filled:
            if self._closed or self._size + size > self.max_bytes:
                self.dropped[message.topic] += 1
                return False
            self._held.append(message)
            self._size += size
            self.most = max(self.most, self._size)
            self._filled.notify()
        return True

    def take(self, timeout_s: float) -> Received | None:
        """The oldest message; None: none came within ``timeout_s``, or the queue is closed and empty."""
        with self._filled:
            if not self._held and not self._closed:
                self._filled.wait(timeout_s)
            if not self._held:
                return None
            message = self._held.popleft()
            self._size -= len(message.data) + OVERHEAD
        return message

    def close(self) -> None:
        """Take no more messages; those that are in it are still given."""
        with self._filled:
            self._closed = True
            self._filled.notify_all()

    @property
    def ended(self) -> bool:
        """Whether it is closed and empty."""
        with self._filled:
            return self._closed and not self._held
