"""The recorder: a node that takes the serialized messages of another node's topics, and hands them to a recording."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from edgekit.core.errors import DataError, MissingRequirement
from edgekit.ros2_node.bags.definitions import Definitions
from edgekit.ros2_node.bags.recording import IDENTITY, ROLES, Plan, Recording, Summary
from edgekit.ros2_node.bags.triggers import Seen, Triggers
from edgekit.ros2_node.bags.writer import TopicEntry
from edgekit.ros2_node.ros import graph
from edgekit.ros2_node.ros.graph import DIAGNOSTICS, Found

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

LOOK_S = 0.25
"""How often the graph is looked at for topics that are not recorded yet."""
DEPTH = 60
"""Messages that the middleware keeps while this process is not served: two seconds of a camera."""


@dataclass(frozen=True)
class Request:
    """What to record: all topics of ``node``, with the diagnostics, and those that fit ``topics``.

    ``on``: kinds of triggers of a ring; ``duration_s``: when to end, of itself; ``nice``: how far the recorder stands
    back behind other processes, the node among them.
    """

    folder: Path
    node: str = ""
    topics: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)
    on: frozenset[str] = frozenset()
    duration_s: float | None = None
    nice: int = 5


class RecorderNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Subscribes to the topics of a request as they appear; each message goes to the recording as its bytes.

    Of a topic nothing is subscribed to before it has a publisher: the subscription asks for what that offers.
    """

    def __init__(self, request: Request, recording: Recording, told: Callable[[str], None]) -> None:
        super().__init__("edgekit_recorder")
        self._request, self._recording, self._told = request, recording, told
        self._definitions = Definitions()
        self._triggers = Triggers(request.on, request.node)
        self._subscriptions_of: dict[str, tuple[Any, tuple[int, int]]] = {}
        self._roles: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._identified = False
        if "service" in request.on:
            self.create_service(Trigger, "~/save", self._save)

    def look(self) -> None:
        """Subscribe to what appeared, and anew where publishers offer something else than before."""
        request = self._request
        found = {one.name: one for one in graph.matching(self, request.topics)}
        if request.node:
            found |= {one.name: one for one in graph.matching(self, (DIAGNOSTICS,))}
            found |= {one.name: one for one in graph.of_node(self, request.node)}
        for topic in found.values():
            if topic.name not in self._left_out:
                self._subscribe(topic)

    def _subscribe(self, topic: Found) -> None:
        offers = graph.offered(self, topic.name)
        if not offers:
            return
        wanted = graph.request_for(offers, DEPTH)
        asked = (int(wanted.reliability), int(wanted.durability))
        before = self._subscriptions_of.get(topic.name)
        if before is not None and before[1] == asked:
            return
        if before is None:
            try:
                kind, definition = graph.message_class(topic.type), self._definitions[topic.type]
            except (DataError, MissingRequirement) as error:
                self._left_out.add(topic.name)
                self._told(f"{topic.name} is not recorded: {error}")
                return
            entry = TopicEntry(topic.name, definition, tuple(map(graph.to_bag, offers)))
            self._recording.add(entry, latched=wanted.durability == DurabilityPolicy.TRANSIENT_LOCAL)
            self._roles[topic.name] = topic.role
            self._recording.describe(ROLES, self._roles)
        else:
            kind = graph.message_class(topic.type)
            self.destroy_subscription(before[0])
        callback = self._diagnose if topic.name == DIAGNOSTICS else partial(self._recording.receive, topic.name)
        events = SubscriptionEventCallbacks(message_lost=partial(self._lost, topic.name))
        made = self.create_subscription(kind, topic.name, callback, wanted, raw=True, event_callbacks=events)
        self._subscriptions_of[topic.name] = (made, asked)
        if before is None:
            self._told(f"recording {topic.name} ({topic.type})")

    def _lost(self, name: str, event: Any) -> None:
        self._recording.lose(name, event.total_count_change)

    def _diagnose(self, data: bytes) -> None:
        self._recording.receive(DIAGNOSTICS, data)
        if self._identified and not self._request.on:
            return
        statuses = deserialize_message(data, DiagnosticArray).status
        if not self._identified and self._request.node:
            self._identify(statuses)
        for why in self._triggers.see([Seen(one.name, one.level[0]) for one in statuses]):
            self._recording.trigger(why)

    def _identify(self, statuses: list[Any]) -> None:
        """Keep what the node says of its engine: the bundle, its digest, precision and provider."""
        wanted = f"{self._request.node.lstrip('/')}: engine"
        for one in statuses:
            if one.name == wanted and one.hardware_id:
                values = {pair.key: pair.value for pair in one.values}
                self._recording.describe(IDENTITY, {"node": self._request.node, "bundle": one.hardware_id, **values})
                self._identified = True

    def _save(self, request: Any, response: Any) -> Any:
        response.success = self._recording.trigger("service")
        response.message = "saving" if response.success else "a bag is being saved already"
        return response


def run(request: Request, told: Callable[[str], None]) -> Summary:
    """Record until SIGINT, SIGTERM, ``duration_s``, a full bag or a full disk.

    Raises:
        InputError: the folder is there already.
        OutputError: it cannot be written, or the disk was full.
        MissingRequirement: rosbags is not installed.
    """
    if request.nice:
        os.nice(request.nice)
    recording = Recording(request.folder, request.plan, told)
    stop = threading.Event()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    node = RecorderNode(request, recording, told)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    end_s = None if request.duration_s is None else time.monotonic() + request.duration_s
    look_s = 0.0
    try:
        while not stop.is_set() and recording.running and (end_s is None or time.monotonic() < end_s):
            if time.monotonic() >= look_s:
                node.look()
                look_s = time.monotonic() + LOOK_S
            executor.spin_once(timeout_sec=0.05)
    except ExternalShutdownException:
        pass
    finally:
        node.destroy_node()
        executor.shutdown(timeout_sec=0)
        rclpy.shutdown()
        summary = recording.close()
    return summary
