"""Which ROS 2 is found, by files that look like one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgekit.core.errors import MissingRequirement
from edgekit.ros2_node.package.environment import find_ros
from tests.support.ros_trees import make_prefix, make_ros


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    # An environment that has a real rclpy hides it.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not (Path(entry) / "rclpy").is_dir()])
    monkeypatch.delitem(sys.modules, "rclpy", raising=False)


def prepend(monkeypatch: pytest.MonkeyPatch, modules: Path) -> None:
    """Not ``syspath_prepend``: undone, that brings back the path as ``_clean`` left it."""
    monkeypatch.setattr(sys, "path", [str(modules), *sys.path])


@pytest.mark.parametrize(
    ("version", "name"), [("3.3.16", "humble"), ("7.1.3", "jazzy"), ("9.1.2", "kilted"), ("10.0.1", "rolling")]
)
def test_the_distribution_is_read_off_rclpy(
    version: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepend(monkeypatch, make_ros(tmp_path / "ros", version))
    found = find_ros()
    assert (found.distribution, found.home, found.wheels) == (name, tmp_path / "ros", False)
    assert found.middlewares() == ("rmw_fastrtps_cpp",)
    assert found.apt("vision_msgs") == f"sudo apt-get install ros-{name}-vision-msgs"


def test_what_the_shell_says_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepend(monkeypatch, make_ros(tmp_path / "ros", "7.1.3", ("vision_msgs", "std_msgs")))
    workspace = make_prefix(tmp_path / "ws", ("vision_msgs",))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{workspace}:{tmp_path / 'ros'}")
    monkeypatch.setenv("ROS_DISTRO", "lyrical")
    found = find_ros()
    assert found.distribution == "lyrical"
    assert found.prefixes == (workspace, tmp_path / "ros")
    assert found.where("vision_msgs") == workspace
    assert found.where("std_msgs") == tmp_path / "ros"
    assert found.where("nav_msgs") is None
    given = found.environment()
    assert (given["AMENT_PREFIX_PATH"], given["ROS_DISTRO"]) == (f"{workspace}:{tmp_path / 'ros'}", "lyrical")


def test_wheels_are_in_the_environment_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepend(monkeypatch, make_ros(tmp_path / "venv", "9.1.2"))
    (tmp_path / "link").symlink_to(tmp_path / "venv")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "link"))
    assert find_ros().wheels


def test_no_ros_is_said_with_the_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingRequirement, match=r"ROS 2 \(rclpy\).*setup\.bash"):
        find_ros()
    modules = make_ros(tmp_path / "ros", "7.1.3")
    (tmp_path / "ros/share/ament_index/resource_index/packages/rclpy").unlink()
    prepend(monkeypatch, modules)
    with pytest.raises(MissingRequirement, match=r"rclpy/__init__\.py, which has no share/ament_index"):
        find_ros()
