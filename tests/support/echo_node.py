"""A node named edgekit that answers each compressed image with its first bytes, and says how it is; for tests of bags.

A level on a line of stdin is published as the status of its engine; ``meet`` makes it say ``met`` when each of its
topics has a subscriber (before that a message is lost); ``end`` ends it.  With an argument it answers nothing.
"""

from __future__ import annotations

import array
import contextlib
import sys
import threading

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from tests.support.waiting import until


def main() -> None:
    """Run until the last line of stdin."""
    rclpy.init()
    node = rclpy.create_node("edgekit")
    results = node.create_publisher(Image, "~/output/mask", 50)
    diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    labels = node.create_publisher(
        String, "~/output/labels", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    )
    labels.publish(String(data="floor, red, green"))

    def answer(message: CompressedImage) -> None:
        data = array.array("B", bytes(message.data[:8]))
        if len(sys.argv) == 1:
            results.publish(Image(header=message.header, height=1, width=8, step=8, encoding="mono8", data=data))

    node.create_subscription(CompressedImage, "/camera/image/compressed", answer, 50)
    thread = threading.Thread(target=_spin, args=(node,), daemon=True)
    thread.start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        if line.strip() == "meet":
            until(lambda: all(one.get_subscription_count() for one in (results, diagnostics, labels)), "subscribers")
            print("met", file=sys.stderr, flush=True)
            continue
        status = DiagnosticStatus(level=bytes([int(line)]), name="edgekit: engine", hardware_id="tiny@0123")
        status.values = [KeyValue(key="precision", value="int8")]
        diagnostics.publish(DiagnosticArray(status=[status]))
    rclpy.shutdown()
    thread.join()


def _spin(node: rclpy.node.Node) -> None:
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)


if __name__ == "__main__":
    main()
