"""vision_msgs as it is installed: its type hashes in files and on the wire."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from edgekit.ros2_node.package.environment import find_ros
from edgekit.ros2_node.package.interfaces import provide, type_hashes

pytest.importorskip("rclpy")

GOLDEN = Path(__file__).parents[2] / "golden" / "ros2" / "vision_msgs.yaml"
ANNOUNCED = """
import rclpy
from vision_msgs.msg import Detection2DArray
rclpy.init()
node = rclpy.create_node("announces")
publisher = node.create_publisher(Detection2DArray, "detections", 1)
(info,) = node.get_publishers_info_by_topic("/detections")
print(info.topic_type_hash)
rclpy.shutdown()
"""


def test_installed_hashes_are_the_public_ones() -> None:
    made = provide()
    assert not made.built, "`make ros` built it before"
    if not made.ours:
        pytest.skip("vision_msgs is the distribution's own")
    assert type_hashes(made.prefix) == YAML(typ="safe").load(GOLDEN)


def test_a_publisher_announces_the_public_hash() -> None:
    environment = find_ros().environment() | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    environment.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    said = subprocess.run(
        [sys.executable, "-c", ANNOUNCED], capture_output=True, text=True, check=True, env=environment, timeout=120
    ).stdout
    assert YAML(typ="safe").load(GOLDEN)["Detection2DArray"].removeprefix("RIHS01_") in said
