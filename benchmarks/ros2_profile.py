"""Camera frames from one process to another over Fast DDS, with and without the profile that edgekit ships.

.venv-ros/bin/python benchmarks/ros2_profile.py [--frames 200] --json

1280x720 bgr8 at 30 Hz, best effort, depth 5, sender and receiver in processes of their own on one machine; each of the
four cases in turn. A frame counts that the receiver's callback got.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HEIGHT, WIDTH, RATE_HZ = 720, 1280, 30
PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
PATIENCE_S = 60


def _profile() -> Any:
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


def send(frames: int) -> None:
    """Publish frames once somebody listens, then one a second that says so, until the receiver has gone."""
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("sends")
    publisher = node.create_publisher(Image, "frames", _profile())
    end = time.monotonic() + PATIENCE_S
    while not publisher.get_subscription_count() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(1)  # what is matched here is not yet matched there
    message = Image(height=HEIGHT, width=WIDTH, step=3 * WIDTH, encoding="bgr8")
    message.data = array.array("B", bytes(3 * WIDTH * HEIGHT))
    begin = time.monotonic()
    for number in range(frames):
        message.header.stamp.sec = number
        publisher.publish(message)
        time.sleep(max(0.0, begin + (number + 1) / RATE_HZ - time.monotonic()))
    time.sleep(1)
    rclpy.shutdown()


def receive() -> None:
    """Print how many different frames came, until the sender has gone."""
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("receives")
    got: set[int] = set()
    node.create_subscription(Image, "frames", lambda message: got.add(message.header.stamp.sec), _profile())
    end = time.monotonic() + PATIENCE_S
    while not node.count_publishers("frames") and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    while node.count_publishers("frames") and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(len(got))
    rclpy.shutdown()


def run(frames: int, sender: Path | None, receiver: Path | None) -> int:
    """Frames that arrived of ``frames``."""
    base = os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    base.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    base.pop(PROFILE, None)
    me = [sys.executable, __file__]

    def with_profile(file: Path | None) -> dict[str, str]:
        return base | ({PROFILE: str(file)} if file else {})

    receiving = subprocess.Popen([*me, "--receive"], env=with_profile(receiver), stdout=subprocess.PIPE, text=True)
    subprocess.run([*me, "--send", "--frames", str(frames)], env=with_profile(sender), check=True)
    said, _ = receiving.communicate()
    return int(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--send", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.send or args.receive:
        send(args.frames) if args.send else receive()
        return
    from edgekit.ros2_node.package.writing import write_package

    with tempfile.TemporaryDirectory() as folder:
        write_package(Path(folder) / "camera")
        profile = Path(folder) / "camera" / "config" / "fastdds.xml"
        cases = {
            "neither": run(args.frames, None, None),
            "receiver": run(args.frames, None, profile),
            "sender": run(args.frames, profile, None),
            "both": run(args.frames, profile, profile),
        }
    result = {"frames": args.frames, "arrived_by_who_has_the_profile": cases, "load_1min": os.getloadavg()[0]}
    print(json.dumps(result, indent=2) if args.json else result)


if __name__ == "__main__":
    main()
