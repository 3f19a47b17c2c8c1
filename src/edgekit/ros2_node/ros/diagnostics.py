"""The node's statuses on ``/diagnostics``: at a steady rate, and as soon as a level changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from edgekit.ros2_node.health import Level, Status


class Diagnostics:
    """Publishes what ``statuses`` gives, whenever :meth:`look` is called.

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
        self._due_s = 0.0

    def look(self) -> None:
        """Publish if a level changed, or if it is time."""
        statuses, now_s = self._statuses(), time.monotonic()
        levels = {one.name: one.level for one in statuses}
        if levels != self._levels or now_s >= self._due_s:
            self.publish(statuses)
            self._levels, self._due_s = levels, now_s + self._period_s

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
