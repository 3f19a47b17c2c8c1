"""The node's statuses on ``/diagnostics``: at a steady rate, and as soon as a level changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from edgekit.ros2_node.health import Level, Status

LOOK_S = 0.1
"""How often levels are looked at."""


class Diagnostics:
    """Publishes what ``statuses`` gives.

    Args:
        node: publishes.
        label: stands before the name of every status.
        statuses: is asked for them.
        period_s: seconds between publications while no level changes.
    """

    def __init__(self, node: Node, label: str, statuses: Callable[[], Sequence[Status]], period_s: float) -> None:
        self._node, self._label, self._statuses, self._period_s = node, label, statuses, period_s
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._levels: dict[str, Level] = {}
        self._clock = Clock(
            clock_type=ClockType.STEADY_TIME
        )  # a simulation that stands still is no reason to be silent
        self._due_ns = 0
        self._timer = node.create_timer(
            min(LOOK_S, period_s), self.look, clock=self._clock, callback_group=MutuallyExclusiveCallbackGroup()
        )

    def look(self) -> None:
        """Publish if a level changed, or if it is time."""
        statuses, now_ns = self._statuses(), self._clock.now().nanoseconds
        levels = {one.name: one.level for one in statuses}
        if levels != self._levels or now_ns >= self._due_ns:
            self.publish(statuses)
            self._levels, self._due_ns = levels, now_ns + int(self._period_s * 1e9)

    def publish(self, statuses: Sequence[Status]) -> None:
        """Publish these now."""
        array = DiagnosticArray(status=[self._message(one) for one in statuses])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _message(self, status: Status) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=bytes([status.level]),
            name=f"{self._label}: {status.name}",
            message=status.message,
            hardware_id=status.hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in status.values],
        )
