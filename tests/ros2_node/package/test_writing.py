"""The ROS 2 package that is written: its files, what the launch file makes of them, and what is refused."""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from edgekit.bundle import open_bundle
from edgekit.cli.ros2_command import package as command
from edgekit.core.errors import InputError
from edgekit.ros2_node.package.writing import all_parameters, write_package
from tests.support.launch_stand_in import LifecycleNode, described

BUNDLE = Path(__file__).parents[2] / "golden" / "bundle_v1.edgekit"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_package(tmp_path / "Front-Perception")
    return tmp_path / "Front-Perception"


def launched(folder: Path, **arguments: str) -> list[LifecycleNode]:
    return described(folder / "launch" / "perception.launch.py", folder, arguments)[1]


def test_the_package_is_called_as_its_folder_and_complete(written: Path) -> None:
    manifest = ET.parse(written / "package.xml")
    assert manifest.findtext("name") == "front_perception"
    assert manifest.findtext("export/build_type") == "ament_python"
    depended = {one.text for one in manifest.iterfind("exec_depend")}
    assert {"rclpy", "sensor_msgs", "vision_msgs", "launch_ros"} <= depended
    assert {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()} == {
        "config/fastdds.xml",
        "config/nodes.yaml",
        "config/perception.yaml",
        "front_perception/__init__.py",
        "front_perception/perception.py",
        "launch/perception.launch.py",
        "package.xml",
        "resource/front_perception",
        "setup.cfg",
        "setup.py",
    }
    for path in written.rglob("*"):
        if path.is_file():
            assert "@" not in path.read_text().replace("you@example.invalid", ""), path
        if path.suffix == ".py":
            ast.parse(path.read_text(), feature_version=(3, 10))


def test_the_parameter_file_has_every_parameter_in_its_type(written: Path) -> None:
    values = yaml.safe_load((written / "config" / "perception.yaml").read_text())["/**"]["ros__parameters"]
    assert list(values) == [one.name for one in all_parameters()]
    for one in all_parameters():
        assert one.checked(values[one.name]) == one.default


def test_the_profile_gives_frames_room_and_stays_on_the_machine(written: Path) -> None:
    profile = ET.parse(written / "config" / "fastdds.xml")
    space = {"": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    found = {one.findtext("type", namespaces=space): one for one in profile.iterfind(".//transport_descriptor", space)}
    assert found["SHM"].findtext("segment_size", namespaces=space) == str(64 * 2**20)
    assert found["SHM"].findtext("maxMessageSize", namespaces=space) == str(16 * 2**20)
    assert [one.text for one in found["UDPv4"].iterfind(".//address", space)] == ["127.0.0.1"]
    used = {one.text for one in profile.iterfind(".//userTransports/transport_id", space)}
    assert used == {one.findtext("transport_id", namespaces=space) for one in found.values()}


def test_a_node_without_a_bundle_is_told_one_by_the_launch_file(written: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"node perception has no bundle: name one in .*nodes\.yaml, or give bundle:="
    ):
        launched(written)
    (node,) = launched(
        written, bundle=str(tmp_path / "b"), image="/cam/image_raw", namespace="/left", autostart="false"
    )
    assert (node.package, node.executable, node.name, node.namespace) == (
        "front_perception",
        "perception",
        "perception",
        "/left",
    )
    defaults, values = node.parameters
    assert defaults == str(written / "config" / "perception.yaml")
    assert values == {"bundle": str(tmp_path / "b"), "autostart": False, "use_sim_time": False}
    assert node.remappings == [
        ("~/input/image", "/cam/image_raw"),
        ("~/input/image/compressed", "/cam/image_raw/compressed"),
        ("~/input/camera_info", "/cam/camera_info"),
    ]
    assert (node.respawn, node.respawn_delay) == (True, 1.0)
    assert not launched(written, bundle="b", respawn="false")[0].respawn
    with pytest.raises(RuntimeError, match="autostart:=yes; expected true or false"):
        launched(written, bundle="b", autostart="yes")


@pytest.mark.parametrize(
    ("distribution", "name"),
    [("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"), ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
     ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"), ("", "FASTDDS_DEFAULT_PROFILES_FILE")],
)  # fmt: skip
def test_the_profile_is_named_as_the_distribution_reads_it(
    distribution: str, name: str, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    monkeypatch.delenv(name, raising=False)
    assert launched(written, bundle="b")[0].additional_env == {name: str(written / "config" / "fastdds.xml")}
    assert launched(written, bundle="b", fastdds_profile="")[0].additional_env == {}
    monkeypatch.setenv(name, "mine.xml")
    assert launched(written, bundle="b")[0].additional_env == {}


def test_each_bundle_becomes_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(tmp_path / "ws", [BUNDLE], "two_eyes", as_json=True)
    assert str(tmp_path / "ws/bundles/old-cpu.edgekit") in json.loads(capsys.readouterr().out)["files"]
    (node,) = launched(tmp_path / "ws")
    assert isinstance(node.parameters[1], dict)
    packed = str(node.parameters[1]["bundle"])
    with open_bundle(Path(packed)) as bundle, open_bundle(BUNDLE) as source:
        assert (node.name, bundle.digest) == ("old_cpu", source.digest)
    with pytest.raises(InputError, match="another bundle is called 'old-cpu' too"):
        write_package(tmp_path / "twice", [BUNDLE, BUNDLE])
    assert not (tmp_path / "twice").exists()


def test_several_nodes_and_what_differs_between_them(written: Path) -> None:
    nodes = [
        {"name": "front", "bundle": "/b/front.edgekit", "parameters": {"cameras": ["left", "right"]}},
        {"name": "rear", "bundle": "rear.edgekit", "remappings": {"~/input/image": "/rear/image"}},
    ]
    (written / "config" / "nodes.yaml").write_text(yaml.safe_dump({"nodes": nodes}))
    front, rear = launched(written)
    assert isinstance(front.parameters[1], dict)
    assert isinstance(rear.parameters[1], dict)
    assert front.parameters[1]["cameras"] == ["left", "right"]
    assert front.parameters[1]["bundle"] == "/b/front.edgekit"
    assert rear.parameters[1]["bundle"] == str(written / "bundles" / "rear.edgekit")
    assert (front.remappings, rear.remappings) == ([], [("~/input/image", "/rear/image")])
    with pytest.raises(RuntimeError, match=r"image:=/cam is for a single node; .*nodes\.yaml has 2"):
        launched(written, image="/cam")


@pytest.mark.parametrize("name", ["Front", "front__rear", "1st", "class", "fr-ont", "_x"])
def test_a_name_that_ros_does_not_take_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--name: .* is no name of a ROS 2 package"):
        write_package(tmp_path / "new", name=name)
    assert not (tmp_path / "new").exists()


def test_a_folder_with_files_is_left_alone(written: Path) -> None:
    before = (written / "setup.py").stat().st_mtime_ns
    with pytest.raises(InputError, match="exists already and is not empty"):
        write_package(written)
    assert (written / "setup.py").stat().st_mtime_ns == before
