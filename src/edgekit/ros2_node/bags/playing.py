"""What a replay publishes, when, and when the result of a frame is complete; nothing here knows ROS."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from edgekit.core.bags import Bag, Message, Topic
from edgekit.core.errors import DataError, InputError
from edgekit.data.mcap import COMPRESSED, RAW
from edgekit.ros2_node.bags.recording import ROLES

Mode = Literal["pace", "step", "fast"]
NOT_REPLAYED = ("/rosout", "/parameter_events", "/clock", "/diagnostics")
FRAMES = (RAW, COMPRESSED)
OUTPUT = "/output/"


@dataclass(frozen=True)
class Play:
    """How a bag is replayed: at ``rate`` times the recorded pace, frame by frame as results come, or without a pause.

    ``subscribers``: so many of each topic of images are waited for; ``wait_s``: for them, and for publishers of
    results; ``timeout_s``: for a frame's result, in steps; ``results``: their topics, by default those of ``node``.
    """

    mode: Mode = "pace"
    rate: float = 1.0
    node: str = "/edgekit"
    results: tuple[str, ...] = ()
    clock: bool = False
    subscribers: int = 1
    wait_s: float = 30.0
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1000:
            raise InputError(f"--rate {self.rate:g}: a bag cannot be replayed so; give more than 0 and up to 1000")
        for name, value in (("--wait", self.wait_s), ("--timeout", self.timeout_s)):
            if value <= 0:
                raise InputError(f"{name} {value:g}: give more than 0 seconds")


@dataclass
class Played:
    """What a replay did: messages by topic, results by topic, and how late the latest message was."""

    published: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    seconds: float = 0.0
    late_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "published": dict(sorted(self.published.items())),
            "results": dict(sorted(self.results.items())),
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "late_ms": round(self.late_ms, 3),
        }


def remapped(rules: Iterable[str]) -> dict[str, str]:
    """``/old:=/new`` as a mapping.

    Raises:
        InputError: a rule has another form, or two rename one topic.
    """
    found: dict[str, str] = {}
    for rule in rules:
        old, mark, new = rule.partition(":=")
        if not (mark and old.startswith("/") and new.startswith("/")):
            raise InputError(f"--remap {rule!r}: expected /old:=/new, with whole names of topics")
        if found.setdefault(old, new) != new:
            raise InputError(f"--remap: {old} cannot become both {found[old]} and {new}")
    return found


def chosen(bag: Bag, patterns: tuple[str, ...], remap: Mapping[str, str]) -> dict[str, Topic]:
    """The topics of a bag that are replayed: those that fit a pattern; else the inputs of the node that was recorded.

    A bag that does not say which those are: all but diagnostics, logs and the clock.

    Raises:
        InputError: a pattern or a rule fits no topic.
        DataError: nothing is left to replay.
    """
    names = tuple(bag.topics)
    for pattern in (*patterns, *remap):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"{pattern}: fits no topic of {bag.path}, which holds {', '.join(names) or 'none'}")
    roles: dict[str, str] = json.loads(bag.custom.get(ROLES, "{}"))
    inputs = {name for name, role in roles.items() if role == "input"}
    if patterns:
        taken = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    elif inputs:
        taken = [name for name in names if name in inputs]
    else:
        taken = [name for name in names if name not in NOT_REPLAYED and roles.get(name) != "output"]
    found = {name: bag.topics[name] for name in taken if bag.topics[name].count}
    if not found:
        raise DataError(f"{bag.path}: has no message to replay; choose among its topics: {', '.join(names)}")
    return found


def named(messages: Iterable[Message]) -> Iterator[tuple[str, Message]]:
    """Messages, each with the name of its topic."""
    return ((message.topic, message) for message in messages)


@dataclass(frozen=True)
class Pace:
    """When messages are due: the first at ``start_s`` of a steady clock, the others as far apart as recorded."""

    start_s: float
    first_ns: int
    rate: float

    def due_s(self, time_ns: int) -> float:
        """When a message that was recorded at ``time_ns`` is published."""
        return self.start_s + (time_ns - self.first_ns) / (1e9 * self.rate)

    def bag_ns(self, now_s: float) -> int:
        """Which time of the bag it is: what ``/clock`` says."""
        return self.first_ns + round((now_s - self.start_s) * 1e9 * self.rate)


class Results:
    """Collects results until those of a frame are complete: one on every topic of a camera, with the frame's stamp.

    The topics of one camera are those that begin alike, up to ``/output/``.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self._groups: dict[str, set[str]] = {}
        for topic in topics:
            self._groups.setdefault(topic.partition(OUTPUT)[0] if OUTPUT in topic else "", set()).add(topic)
        self._held: dict[int, dict[str, bytes]] = {}

    @property
    def topics(self) -> list[str]:
        """All topics of results."""
        return sorted(topic for group in self._groups.values() for topic in group)

    def add(self, topic: str, stamp_ns: int, data: bytes) -> None:
        """A result came."""
        self._held.setdefault(stamp_ns, {})[topic] = data

    def complete(self, stamp_ns: int) -> list[tuple[str, bytes]]:
        """The results of a frame in the order of their topics; empty: some are still to come."""
        held = self._held.get(stamp_ns, {})
        for group in self._groups.values():
            if group <= held.keys():
                self._held.clear()
                return sorted((topic, held[topic]) for topic in group)
        return []

    def lacking(self, stamp_ns: int) -> list[str]:
        """The topics on which a frame has no result."""
        return [topic for topic in self.topics if topic not in self._held.get(stamp_ns, {})]
