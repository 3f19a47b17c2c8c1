"""A recording: messages in, from any thread; a bag, or bags of the seconds around triggers, on the disk."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import require_writable, translated_writes
from edgekit.core.errors import EdgekitError, InputError
from edgekit.ros2_node.bags.backlog import Backlog
from edgekit.ros2_node.bags.ring import Received, Ring
from edgekit.ros2_node.bags.writer import MIB, SMALLEST, BagWriter, Limits, TopicEntry

FLUSH_S = 1.0
"""How often what was written is put on the disk: a killed recorder loses no more."""
IDENTITY, ROLES, LOST = "edgekit.identity", "edgekit.roles", "edgekit.lost"
"""Keys of ``custom_data``: JSON of what ran, of what each topic is to it, and of how many messages were lost."""
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class RingPlan:
    """Save the last ``span_s`` before a trigger, and ``after_s`` after it; at most ``max_bytes`` are in memory."""

    span_s: float = 30.0
    after_s: float = 2.0
    max_bytes: int = 512 * MIB

    def __post_init__(self) -> None:
        if not 0 < self.span_s <= 3600:
            raise InputError(f"a ring of {self.span_s:g} s cannot be held; give more than 0 and up to 3600")
        if not 0 <= self.after_s <= self.span_s:
            raise InputError(f"{self.after_s:g} s after a trigger do not fit into a ring of {self.span_s:g} s")
        if self.max_bytes < MIB:
            raise InputError(f"a ring of {self.max_bytes} bytes holds no image; allow {MIB} or more")


@dataclass(frozen=True)
class Plan:
    """What to record: ``ring`` None: everything.  ``backlog_bytes``: of messages that wait for the disk."""

    limits: Limits = field(default_factory=Limits)
    ring: RingPlan | None = None
    backlog_bytes: int = 256 * MIB


@dataclass
class Summary:
    """What became of a recording; counts by topic.

    ``lost``: that the middleware lost before they came; ``dropped``: faster than the disk took them; ``refused``: that
    found the bag full; ``written``: on the disk (a ring's in all its bags); ``bags``: their names; ``removed``: those,
    or files, that made room; ``unsaved``: triggers for which there was none.
    """

    received: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    bags: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unsaved: list[str] = field(default_factory=list)
    shortened: bool = False
    size: int = 0
    backlog_most: int = 0
    failure: EdgekitError | None = None

    @property
    def losses(self) -> dict[str, Counter[str]]:
        """Messages that are not in a bag though they came, by what happened to them."""
        return {"lost": self.lost, "dropped": self.dropped, "refused": self.refused}

    def to_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "topics": {
                topic: {
                    "received": count,
                    "written": self.written[topic],
                    "lost": self.lost[topic],
                    "dropped": self.dropped[topic],
                    "refused": self.refused[topic],
                }
                for topic, count in sorted(self.received.items())
            },
            "bags": self.bags,
            "removed": self.removed,
            "unsaved": self.unsaved,
            "shortened": self.shortened,
            "size_bytes": self.size,
            "backlog_most_bytes": self.backlog_most,
        }


class Recording:
    """Records into ``folder``, with a thread of its own; nothing that is called here waits for the disk.

    Args:
        folder: the bag; of a ring the folder of its bags.
        plan: what is recorded.
        told: is called, from the thread, with a sentence for whoever watches.
        now_ns: the clock that messages are timed with.

    Raises:
        InputError: there is something in the folder already.
        OutputError: it cannot be written.
        MissingRequirement: rosbags is not installed.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan | None = None,
        told: Callable[[str], None] = lambda sentence: None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder, self.plan, self._told, self._now_ns = folder, plan or Plan(), told, now_ns
        require_writable(folder)
        self.summary = Summary()
        self._backlog = Backlog(self.plan.backlog_bytes)
        self._topics: dict[str, tuple[TopicEntry, bool]] = {}
        self._custom: dict[str, str] = {}
        self._pending: tuple[int, str] | None = None
        self._lock = threading.Lock()
        self._ring = None
        self._writer = None
        if self.plan.ring is None:
            self._writer = BagWriter(folder, self.plan.limits, self._custom)
        else:
            self._ring = Ring(int(self.plan.ring.span_s * SECOND_NS), self.plan.ring.max_bytes)
            if folder.exists() and any(folder.iterdir()):
                raise InputError(f"{folder}: is there already; name a folder that does not exist, or remove it")
            with translated_writes(folder):
                folder.mkdir(parents=True, exist_ok=True)
        self._last_ns = 0
        self._finished = False
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def add(self, topic: TopicEntry, latched: bool = False) -> None:
        """Make a topic known before its first message; ``latched``: late subscribers get its last message."""
        with self._lock:
            self._topics.setdefault(topic.name, (topic, latched))

    def describe(self, key: str, document: object) -> None:
        """Put a JSON document into ``custom_data`` of every file that is not complete yet."""
        with self._lock:
            self._custom[key] = json.dumps(document, sort_keys=True)

    def receive(self, topic: str, data: bytes) -> None:
        """Record a message of a topic that was added, as received now."""
        self._last_ns = max(self._now_ns(), self._last_ns)
        self.summary.received[topic] += 1
        if not self._backlog.put(Received(topic, self._last_ns, data)) and self._backlog.dropped[topic] == 1:
            self._told(f"{topic}: the disk is too slow, messages are dropped")

    def lose(self, topic: str, count: int) -> None:
        """The middleware lost messages of a topic."""
        if not self.summary.lost[topic]:
            self._told(f"{topic}: the middleware lost messages before they were received")
        self.summary.lost[topic] += count

    def trigger(self, why: str) -> bool:
        """Save the ring, when the seconds after are over; False: one is waited for already, or there is no ring."""
        with self._lock:
            if self._ring is None or self._pending is not None:
                return False
            self._pending = (self._now_ns(), why)
        self._told(f"saving because of {why}")
        return True

    @property
    def running(self) -> bool:
        """Whether messages are still written: neither closed, nor full, nor failed."""
        return self._thread.is_alive() and self.summary.failure is None and not (self._writer and self._writer.full)

    def close(self) -> Summary:
        """Write what waits, and finish the bag; a trigger that was waited for is saved.

        Raises:
            OutputError: the disk was full, now or while it recorded.
        """
        self._backlog.close()
        self._thread.join()
        summary = self.summary
        summary.dropped, summary.backlog_most = self._backlog.dropped, self._backlog.most
        if summary.failure is not None:
            raise summary.failure
        if not self._finished:
            raise RuntimeError("the recording's thread ended by a fault; its traceback is on stderr")
        return summary

    def _run(self) -> None:
        try:
            self._work()
            self._finished = True
        except EdgekitError as error:
            self.summary.failure = error
            self._told(str(error))
            if self._writer is not None:
                self._writer.abort()

    def _work(self) -> None:
        flushed = time.monotonic()
        while not self._backlog.ended:
            message = self._backlog.take(0.1)
            self._save_when_due(self._now_ns() if message is None else message.time_ns - 1)
            if message is not None:
                self._handle(message)
            if self._writer is not None and time.monotonic() - flushed >= FLUSH_S:
                self._writer.flush()
                flushed = time.monotonic()
        if self._pending is not None:
            self._save(*self._pending)
        if self._writer is not None:
            self._finish(self._writer)
            self.summary.bags.append(self.folder.name)
            self.summary.size = _on_disk(self.folder)

    def _handle(self, message: Received) -> None:
        with self._lock:
            entry, latched = self._topics[message.topic]
        if self._ring is not None:
            self._ring.add(message, latched)
        elif self._writer is not None:
            self._put(self._writer, entry, message)
            for name in self._writer.removed[len(self.summary.removed) :]:
                self.summary.removed.append(name)
                self._told(f"{name} made room for newer messages")

    def _put(self, writer: BagWriter, entry: TopicEntry, message: Received) -> None:
        writer.add(entry)
        before = writer.full
        if writer.write(message.topic, message.time_ns, message.data):
            self.summary.written[message.topic] += 1
        else:
            self.summary.refused[message.topic] += 1
            if not before:
                self._told(f"{writer.folder} is full; messages from now on are not recorded")

    def _finish(self, writer: BagWriter) -> None:
        with self._lock:
            writer.custom.update(self._custom)
        self.summary.dropped = self._backlog.dropped
        lost = {name: dict(count) for name, count in self.summary.losses.items()}
        writer.custom[LOST] = json.dumps(lost, sort_keys=True)
        writer.close()

    def _save_when_due(self, reached_ns: int) -> None:
        """Save what a trigger asked for, when everything that was received until ``reached_ns`` is in the ring."""
        if self._pending is not None and self.plan.ring is not None:
            began_ns, why = self._pending
            if reached_ns >= began_ns + int(self.plan.ring.after_s * SECOND_NS):
                self._save(began_ns, why)

    def _save(self, began_ns: int, why: str) -> None:
        """Write the ring to a bag of its own, which appears when it is whole."""
        ring = self._ring
        assert ring is not None
        name = _bag_name(began_ns, why)
        room = self._room(ring.size + ring.latched_size)
        if room is not None and room < SMALLEST:
            self.summary.unsaved.append(why)
            self._told(f"no room is left for {name}: it is not saved")
            with self._lock:
                self._pending = None
            return
        self.summary.shortened |= ring.shortened
        hidden = self.folder / ".saving" / name
        limits = replace(self.plan.limits, max_bytes=room, when_full="stop")
        writer = BagWriter(hidden, limits)
        self.describe("edgekit.trigger", {"why": why, "time_ns": began_ns})
        for message in ring.take():
            self._put(writer, self._topics[message.topic][0], message)
        self._finish(writer)
        with translated_writes(self.folder):
            hidden.rename(self.folder / name)
            hidden.parent.rmdir()
        self.summary.bags.append(name)
        self.summary.size = _on_disk(self.folder)
        with self._lock:
            self._pending = None
        self._told(f"saved {self.folder / name}")

    def _room(self, size: int) -> int | None:
        """Bytes for a bag of about ``size``; where the oldest may go, they go until it fits."""
        limits = self.plan.limits
        if limits.max_bytes is None:
            return None
        needed = size + size // 50 + SMALLEST
        while limits.when_full == "oldest" and self._left(limits.max_bytes) < needed and self.summary.bags:
            oldest = self.summary.bags.pop(0)
            with translated_writes(self.folder):
                shutil.rmtree(self.folder / oldest)
            self.summary.removed.append(oldest)
            self._told(f"{oldest} made room for newer bags")
        return self._left(limits.max_bytes)

    def _left(self, max_bytes: int) -> int:
        return max_bytes - _on_disk(self.folder)


def _bag_name(time_ns: int, why: str) -> str:
    """``20261129T190102.345Z_error_engine``."""
    moment = datetime.fromtimestamp(time_ns / SECOND_NS, timezone.utc)
    words = re.sub(r"[^A-Za-z0-9]+", "_", why).strip("_")[:60]
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z_{words}"


def _on_disk(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total
