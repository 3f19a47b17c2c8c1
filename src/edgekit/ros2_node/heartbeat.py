"""What the node is doing, in memory that it shares with its watchdog: readable while the node holds the interpreter.

The memory is an anonymous file (``memfd_create``): it has no name that could be left behind, and ends with the last
process that holds it.
"""

from __future__ import annotations

import mmap
import os
import time
from enum import IntEnum

import numpy as np

_BYTES = 64  # eight numbers of 64 bits: a write of one is never seen half


class State(IntEnum):
    """Of the node, as far as its watchdog needs to know."""

    IDLE = 0
    ACTIVE = 1
    ENDED = 2


class Heartbeat:
    """Numbers that the inference thread writes and the watchdog reads.  Times are ``time.monotonic_ns``.

    Args:
        descriptor: of the memory, as a watchdog inherits it; None: make it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = os.memfd_create("edgekit-heartbeat") if descriptor is None else descriptor
        if descriptor is None:
            os.ftruncate(self.descriptor, _BYTES)
        self._memory = mmap.mmap(self.descriptor, _BYTES)
        self._numbers = np.frombuffer(self._memory, np.int64)

    def close(self) -> None:
        """Give the memory back; the other side keeps its own hold."""
        del self._numbers
        self._memory.close()
        os.close(self.descriptor)

    def begin(self, limit_s: float) -> None:
        """An inference begins, and should take no longer than ``limit_s`` seconds."""
        self._numbers[2] = int(limit_s * 1e9)
        self._numbers[1] = time.monotonic_ns()

    def finish(self) -> None:
        """It ended, well or not."""
        self._numbers[1] = 0
        self._numbers[3] = time.monotonic_ns()
        self._numbers[4] += 1

    @property
    def state(self) -> State:
        """Of the node; set by it."""
        return State(int(self._numbers[0]))

    @state.setter
    def state(self, state: State) -> None:
        self._numbers[0] = int(state)

    @property
    def count(self) -> int:
        """Inferences that ended so far."""
        return int(self._numbers[4])

    @property
    def running_s(self) -> float:
        """Seconds since the inference that runs now began; 0: none runs."""
        begin = int(self._numbers[1])
        return (time.monotonic_ns() - begin) / 1e9 if begin else 0.0

    @property
    def limit_s(self) -> float:
        """Seconds that the inference that runs now, or the last one, should take at most."""
        return int(self._numbers[2]) / 1e9

    @property
    def age_s(self) -> float:
        """Seconds since the last inference ended; negative: none did yet."""
        end = int(self._numbers[3])
        return (time.monotonic_ns() - end) / 1e9 if end else -1.0

    @property
    def hung(self) -> bool:
        """Whether the inference that runs now takes longer than it should."""
        return self.state == State.ACTIVE and self.running_s > self.limit_s
