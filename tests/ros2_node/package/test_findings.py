"""What the doctor says of a ROS 2 that is incomplete, or not there."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from edgekit.core.errors import MissingRequirement
from edgekit.core.probes import Probe
from edgekit.ros2_node.package import findings
from edgekit.ros2_node.package.environment import Ros
from tests.support.ros_trees import make_prefix


def probes(monkeypatch: pytest.MonkeyPatch, found: Ros) -> dict[str, Probe]:
    monkeypatch.setattr(findings, "find_ros", lambda: found)
    return {one.name: one for one in findings.probe()}


def test_what_is_missing_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_prefix(tmp_path, tuple(set(findings.MESSAGES) - {"std_srvs"}), {"rmw_typesupport": ("rmw_zenoh_cpp",)})

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    found = probes(monkeypatch, Ros("jazzy", home, (home,), wheels=False))
    assert (found["ros 2 messages"].works, found["ros 2 messages"].install) == (
        False,
        "sudo apt-get install ros-jazzy-std-srvs",
    )
    assert found["ros 2 vision_msgs"].install == "sudo apt-get install ros-jazzy-vision-msgs"
    assert found["ros 2 bags"].install == "pip install rosbags"
    # This interpreter has no rclpy, or none with that middleware: what was tried failed, and it says so.
    assert "rmw installed: rmw_zenoh_cpp" in found["ros 2"].detail
    assert all(one.optional for one in found.values())
    wheels = probes(monkeypatch, Ros("kilted", home, (home,), wheels=True))
    assert wheels["ros 2 vision_msgs"].install == "edgekit ros2 interfaces"
    assert wheels["ros 2 messages"].install == "pip install ros-std-srvs"


def test_no_ros_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Ros:
        raise MissingRequirement("ROS 2 (rclpy)", note="source it")

    monkeypatch.setattr(findings, "find_ros", none)
    assert findings.probe() == [Probe("ros 2", False, "ROS 2 (rclpy) is not here", "source it", optional=True)]
