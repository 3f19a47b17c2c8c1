"""Runs inside the ros2 image, beside a node that is not there yet: sends frames, and says when the first result came.

Prints ``sending`` once frames go out, then ``first SECONDS``, the time since 1970 at which the first mask arrived.
"""

from __future__ import annotations

import array
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

WIDTH, HEIGHT, PERIOD_S = 640, 384, 0.05


def main() -> None:
    """Until the first result."""
    rclpy.init()
    node = rclpy.create_node("camera")
    sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = node.create_publisher(Image, "/edgekit/input/image", sensor)
    found: list[float] = []
    node.create_subscription(
        Image, "/edgekit/output/mask", lambda message: found.append(time.time()), QoSProfile(depth=5)
    )
    frame = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
    frame.data = array.array("B", bytes(range(256)) * (3 * WIDTH * HEIGHT // 256))
    frame.header.frame_id = "camera"
    told = False
    while not found:
        frame.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(frame)
        if not told:
            print("sending", flush=True)
            told = True
        rclpy.spin_once(node, timeout_sec=PERIOD_S)
    print(f"first {found[0]:.3f}", flush=True)
    node.destroy_node()
    rclpy.shutdown()


main()
