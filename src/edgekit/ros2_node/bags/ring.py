"""The last seconds of what was received, in memory: bounded in time and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Received:
    """A serialized message, and when it came (nanoseconds of the system's clock)."""

    topic: str
    time_ns: int
    data: bytes


class Ring:
    """Holds messages of the last ``span_ns`` and of at most ``max_bytes``; the last of each latched topic stays.

    The bound is of the messages' bytes; Python's own share of each is some 200 bytes more.
    """

    def __init__(self, span_ns: int, max_bytes: int) -> None:
        self.span_ns, self.max_bytes = span_ns, max_bytes
        self.size = 0
        self.shortened = False
        """Whether bytes, and not the time, decided what is held."""
        self._held: deque[Received] = deque()
        self._latched: dict[str, Received] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, message: Received, latched: bool = False) -> None:
        """Hold a message; what is too old, or too much, goes."""
        if latched:
            self._latched[message.topic] = message
            return
        self._held.append(message)
        self.size += len(message.data)
        while self._held and self._held[0].time_ns < message.time_ns - self.span_ns:
            self._drop()
        while self.size > self.max_bytes:
            self.shortened = True
            self._drop()

    def _drop(self) -> None:
        self.size -= len(self._held.popleft().data)

    def take(self) -> Iterator[Received]:
        """Everything that is held, in order, which is let go; latched messages come first, and stay.

        They are given the time of the first message: a bag of ten seconds lasts ten seconds.
        """
        held, self._held, self.size, self.shortened = self._held, deque(), 0, False
        for message in self._latched.values():
            time_ns = max(message.time_ns, held[0].time_ns) if held else message.time_ns
            yield Received(message.topic, time_ns, message.data)
        while held:
            yield held.popleft()

    @property
    def latched_size(self) -> int:
        """Bytes of the latched messages."""
        return sum(len(message.data) for message in self._latched.values())
