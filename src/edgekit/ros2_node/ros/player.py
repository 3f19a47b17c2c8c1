"""The player: a node that publishes a bag's serialized messages, and waits for results where it is told to."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from edgekit.core.bags import Bag, Message, stamp_ns
from edgekit.core.errors import CheckFailed, InputError
from edgekit.ros2_node.bags.definitions import Definitions
from edgekit.ros2_node.bags.playing import FRAMES, Pace, Play, Played, Results, chosen, named
from edgekit.ros2_node.bags.writer import BagWriter, TopicEntry
from edgekit.ros2_node.ros import graph
from edgekit.ros2_node.ros.recorder import DEPTH

CLOCK_S = 1 / 40
"""Between two messages on ``/clock``, as rosbag2's player does by default."""
HUMBLE_S = 2.0
"""Given to discovery where nobody can be asked whether it is done."""
NO_RESULTS = ("transition_event", "vision_info", "label_info")


@dataclass(frozen=True)
class Request:
    """What to replay: the topics that fit ``topics``, renamed by ``remap``; results go to the bag ``out``."""

    bag: Path
    topics: tuple[str, ...] = ()
    remap: dict[str, str] = field(default_factory=dict)
    play: Play = field(default_factory=Play)
    out: Path | None = None


class Stopped(Exception):
    """The replay was asked to end (SIGINT, SIGTERM)."""


class Player:
    """Replays one bag through a node of its own; :meth:`play` once."""

    def __init__(self, bag: Bag, request: Request, stop: threading.Event, told: Callable[[str], None]) -> None:
        self._bag, self._request, self._how, self._stop, self._told = bag, request, request.play, stop, told
        self._topics = chosen(bag, request.topics, request.remap)
        self.node = Node("edgekit_player")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.played = Played()
        reliable = self._how.mode != "pace"
        self._publishers = {
            name: self.node.create_publisher(
                graph.message_class(topic.type), self._renamed(name), graph.from_bag(topic.qos, DEPTH, reliable)
            )
            for name, topic in self._topics.items()
        }
        self._clock = self.node.create_publisher(Clock, "/clock", 1) if self._how.clock else None
        self._frames = {name for name, topic in self._topics.items() if topic.type in FRAMES}
        self._results = Results(())
        self._writer: BagWriter | None = None
        self._types: dict[str, str] = {}

    def _renamed(self, name: str) -> str:
        return self._request.remap.get(name, name)

    def play(self) -> Played:
        """Publish everything.

        Raises:
            InputError: nobody listens, or a step mode has no topics of results.
            CheckFailed: a frame's result did not come in time.
            Stopped: somebody ended it.
        """
        if self._how.mode == "step" and not self._frames:
            raise InputError(
                f"{self._bag.path}: holds no images among what is replayed; --step goes from image to image"
            )
        self._meet()
        if self._how.mode == "step":
            self._listen()
        began = time.monotonic()
        try:
            for name, message in named(self._bag.messages(self._topics)):
                self._one(name, message)
            self.played.seconds = time.monotonic() - began
            for publisher in self._publishers.values():
                self._wait_sent(publisher)
        finally:
            if self._writer is not None:
                self._writer.close()
        return self.played

    def close(self) -> None:
        """Leave the graph."""
        self.node.destroy_node()
        self._executor.shutdown(timeout_sec=0)

    def _one(self, name: str, message: Message) -> None:
        if self._how.mode == "pace":
            self._keep_pace(message)
        elif self._clock is not None:
            self._tick(message.time_ns)
        self._publishers[name].publish(message.data)
        self.played.published[self._renamed(name)] += 1
        if name in self._frames:
            self.played.frames += 1
            if self._how.mode == "step":
                self._await_result(name, message)
        self._spin(0)

    def _keep_pace(self, message: Message) -> None:
        if not self.played.published:
            self._pace = Pace(time.monotonic(), message.time_ns, self._how.rate)
            self._ticked_s = 0.0
        due_s = self._pace.due_s(message.time_ns)
        while (now_s := time.monotonic()) < due_s:
            if self._clock is not None and now_s - self._ticked_s >= CLOCK_S:
                self._tick(self._pace.bag_ns(now_s))
                self._ticked_s = now_s
            self._spin(min(due_s - now_s, CLOCK_S) if self._clock is not None else due_s - now_s)
        self.played.late_ms = max(self.played.late_ms, (time.monotonic() - due_s) * 1e3)

    def _tick(self, time_ns: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(time_ns, 1_000_000_000)
        self._clock.publish(message)  # type: ignore[union-attr]  # only called where there is one

    def _await_result(self, name: str, message: Message) -> None:
        stamp, end_s = stamp_ns(message.data), time.monotonic() + self._how.timeout_s
        while not (found := self._results.complete(stamp)):
            if time.monotonic() > end_s:
                raise CheckFailed(
                    f"frame {self.played.frames} ({name}, stamp {stamp}) has no result on "
                    f"{', '.join(self._results.lacking(stamp))} after {self._how.timeout_s:g} s; look at /diagnostics "
                    "of the node, or give it more time with --timeout"
                )
            self._spin(0.02)
        for topic, data in found:
            self.played.results[topic] += 1
            if self._writer is not None:
                self._writer.write(topic, message.time_ns, data)

    def _meet(self) -> None:
        """Wait until what is published has its subscribers."""
        end_s = time.monotonic() + self._how.wait_s
        needed = [name for name in self._publishers if name in self._frames] or list(self._publishers)
        while lone := [
            name for name in needed if self._publishers[name].get_subscription_count() < self._how.subscribers
        ]:
            if time.monotonic() > end_s:
                self._alone(lone)
                return
            self._spin(0.02)

    def _alone(self, lone: list[str]) -> None:
        names = ", ".join(map(self._renamed, lone))
        wanted = f"{self._how.subscribers} subscribers" if self._how.subscribers > 1 else "a subscriber"
        if self._how.mode != "pace":
            raise InputError(
                f"{names} has not {wanted} after {self._how.wait_s:g} s; start and activate the node, or say with "
                "--remap what it calls its topics"
            )
        self._told(f"{names} has not {wanted}: replaying all the same")

    def _listen(self) -> None:
        """Subscribe to the results, and wait until their publishers are there."""
        end_s = time.monotonic() + self._how.wait_s
        while not (found := self._result_topics()):
            if time.monotonic() > end_s:
                where = ", ".join(self._how.results) or f"the node {self._how.node}"
                raise InputError(f"{where}: publishes no results with a header; name their topics with --results")
            self._spin(0.05)
        self._results, self._types = Results(found), found
        subscriptions = [
            self.node.create_subscription(
                graph.message_class(kind),
                topic,
                partial(self._take, topic),
                graph.request_for(graph.offered(self.node, topic), DEPTH),
                raw=True,
            )
            for topic, kind in found.items()
        ]
        self._told(f"results: {', '.join(found)}")
        if self._request.out is not None:
            definitions = Definitions()
            self._writer = BagWriter(self._request.out, custom=dict(self._bag.custom))
            for topic, kind in found.items():
                self._writer.add(TopicEntry(topic, definitions[kind]))
        self._settle(subscriptions, end_s)

    def _settle(self, subscriptions: list[Any], end_s: float) -> None:
        """Wait until the publishers know of the subscriptions, so that no result is lost."""
        for one in subscriptions:
            if hasattr(one, "get_publisher_count"):
                while not one.get_publisher_count() and time.monotonic() < end_s:
                    self._spin(0.02)
            else:  # Humble: nobody can be asked
                self._spin_until(time.monotonic() + HUMBLE_S / len(subscriptions))

    def _spin_until(self, end_s: float) -> None:
        while (left_s := end_s - time.monotonic()) > 0:
            self._spin(min(left_s, 0.05))

    def _result_topics(self) -> dict[str, str]:
        """Topics and types of results: those named, or what the node publishes for every frame."""
        if self._how.results:
            offered = {one.name: one.type for one in graph.matching(self.node, self._how.results)}
        else:
            outputs = graph.of_node(self.node, self._how.node)
            offered = {
                one.name: one.type
                for one in outputs
                if one.role == "output" and one.name.rpartition("/")[2] not in NO_RESULTS
            }
        return {name: kind for name, kind in sorted(offered.items()) if _has_header(graph.message_class(kind))}

    def _take(self, topic: str, data: bytes) -> None:
        self._results.add(topic, stamp_ns(data), bytes(data))

    def _spin(self, timeout_s: float) -> None:
        self._executor.spin_once(timeout_sec=timeout_s)
        if self._stop.is_set():
            raise Stopped

    def _wait_sent(self, publisher: Any) -> None:
        """Until reliable subscribers have it all."""
        publisher.wait_for_all_acked(Duration(seconds=5))


def _has_header(kind: Any) -> bool:
    return next(iter(kind.get_fields_and_field_types().values()), "") == "std_msgs/Header"


def run(request: Request, told: Callable[[str], None]) -> Played:
    """Replay a bag.

    Raises:
        DataError: the bag is damaged, or has nothing to replay.
        InputError, CheckFailed: as :meth:`Player.play`.
        MissingRequirement: a message package is not installed.
    """
    stop = threading.Event()
    with Bag(request.bag) as bag:
        for note in bag.notes:
            told(note)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        player = None
        try:
            player = Player(bag, request, stop, told)
            return player.play()
        except (Stopped, ExternalShutdownException):
            told("ended before the bag did")
            return player.played if player is not None else Played()
        finally:
            if player is not None:
                player.close()
            rclpy.shutdown()
