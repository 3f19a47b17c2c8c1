"""A written package, built by colcon and launched: real processes, by a stand-in for ROS 2's launch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

from lifecycle_msgs.srv import GetState  # noqa: E402
from rcl_interfaces.srv import GetParameters, ListParameters  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402

from edgekit.ros2_node.package.environment import find_ros  # noqa: E402
from edgekit.ros2_node.package.writing import all_parameters, write_package  # noqa: E402
from tests.support.launch_stand_in import Launched, described  # noqa: E402
from tests.support.waiting import until  # noqa: E402

DOMAIN = int(os.environ.get("ROS_DOMAIN_ID") or 100 + os.getpid() % 100)
PACKAGE = "two_eyes"
NODES = """\
nodes:
  - {name: front, bundle: /nowhere/front.edgekit, parameters: {cameras: [left, right], rate_hz: 12.5}}
  - {name: rear, bundle: rear.edgekit, remappings: {"~/output/mask": /rear_mask}}
"""

# Prints the sizes of the shared memory that a node maps, which Fast DDS keeps in files.
SEGMENTS = """
import pathlib, re, rclpy
rclpy.init()
node = rclpy.create_node("maps")
maps = pathlib.Path("/proc/self/maps").read_text()
files = set(re.findall(r"/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}$", maps, re.MULTILINE))
print(max(pathlib.Path(one).stat().st_size for one in files))
rclpy.shutdown()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace's install folder of the package."""
    workspace = tmp_path_factory.mktemp("ws")
    write_package(workspace / "src" / PACKAGE)
    (workspace / "src" / PACKAGE / "config" / "nodes.yaml").write_text(NODES)
    colcon = [sys.executable, "-m", "colcon", "--log-base", str(workspace / "log"), "build"]
    environment = find_ros().environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    child = subprocess.run(colcon, cwd=workspace, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout + child.stderr
    return workspace / "install" / PACKAGE


@pytest.fixture
def environment(built: Path) -> dict[str, str]:
    """What ``source install/setup.bash`` gives, in a domain that others do not use."""
    prepared = find_ros().environment() | {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    script = f'source "{built.parent}/setup.bash" >/dev/null && env -0'
    listed = subprocess.run(["bash", "-c", script], env=prepared, capture_output=True, check=True).stdout
    return dict(one.split("=", 1) for one in listed.decode().split("\0") if "=" in one)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node that asks the others."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node("looks", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def ask(node: Node, kind: type, service: str, request: object) -> object:
    """The answer; asked again as long as nobody answers, since a server that was killed is known for a while."""
    client = node.create_client(kind, service)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    answers: list[object] = []

    def answered() -> bool:
        if client.wait_for_service(timeout_sec=1):
            future = client.call_async(request)
            executor.spin_until_future_complete(future, timeout_sec=1)
            answers.extend([future.result()] if future.done() else [])
        return bool(answers)

    until(answered, f"an answer of {service}")
    executor.remove_node(node)
    node.destroy_client(client)
    return answers[0]


def test_colcon_installs_what_ros_looks_for(built: Path) -> None:
    assert (built / "share/ament_index/resource_index/packages" / PACKAGE).is_file()
    assert os.access(built / "lib" / PACKAGE / "perception", os.X_OK)
    assert {path.name for path in (built / "share" / PACKAGE / "config").iterdir()} == {
        "fastdds.xml", "nodes.yaml", "perception.yaml",
    }  # fmt: skip
    assert (built / "share" / PACKAGE / "launch" / "perception.launch.py").is_file()


def test_the_launch_file_starts_the_nodes_and_starts_them_again(
    built: Path, environment: dict[str, str], looking: Node
) -> None:
    share = built / "share" / PACKAGE
    arguments = {"namespace": "/car", "autostart": "false", "respawn_delay": "0.1"}
    _, nodes = described(share / "launch" / "perception.launch.py", share, arguments)
    with Launched(built, nodes, environment) as running:
        names = ["cameras", "rate_hz", "bundle", "autostart", "deadline_ms"]
        front = ask(looking, GetParameters, "/car/front/get_parameters", GetParameters.Request(names=names))
        cameras, rate, bundle, autostart, deadline = front.values
        assert list(cameras.string_array_value) == ["left", "right"]
        assert (rate.double_value, bundle.string_value, autostart.bool_value) == (12.5, "/nowhere/front.edgekit", False)
        assert deadline.double_value == 100.0  # of perception.yaml
        rear = ask(looking, GetParameters, "/car/rear/get_parameters", GetParameters.Request(names=["bundle"]))
        assert rear.values[0].string_value == str(share / "bundles" / "rear.edgekit")
        state = ask(looking, GetState, "/car/front/get_state", GetState.Request())
        assert state.current_state.label == "unconfigured"

        (first,) = running.started["front"]
        first.kill()
        until(lambda: len(running.started["front"]) == 2, "a second process of the node that was killed")
        assert len(running.started["rear"]) == 1
        again = ask(looking, GetState, "/car/front/get_state", GetState.Request())
        assert again.current_state.label == "unconfigured"
    # What was asked to end says 0, and was not started again.
    assert [one.returncode for one in running.started["rear"]] == [0]
    assert [one.returncode for one in running.started["front"]] == [-9, 0]


def test_the_parameter_file_has_all_that_a_node_declares(
    built: Path, environment: dict[str, str], looking: Node
) -> None:
    share = built / "share" / PACKAGE
    _, nodes = described(share / "launch" / "perception.launch.py", share, {"autostart": "false"})
    with Launched(built, nodes[1:], environment):
        listed = ask(looking, ListParameters, "/rear/list_parameters", ListParameters.Request()).result.names
    # QoS overrides are named after topics, and use_sim_time and the like are every node's.
    own = {name for name in listed if "." not in name} - {"use_sim_time", "start_type_description_service"}
    assert own == {one.name for one in all_parameters()}


def test_the_profile_is_what_a_process_runs_with(
    built: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", find_ros().distribution)  # the wheels set none
    share = built / "share" / PACKAGE
    _, nodes = described(share / "launch" / "perception.launch.py", share, {})

    def segment(more: dict[str, str]) -> int:
        command = [sys.executable, "-c", SEGMENTS]
        return int(subprocess.run(command, env=environment | more, capture_output=True, check=True).stdout)

    if find_ros().middlewares() != ("rmw_fastrtps_cpp",):
        pytest.skip("other middleware than Fast DDS may be in use")
    one_frame = 1280 * 720 * 3
    assert segment({}) < one_frame
    assert segment(nodes[0].additional_env) >= 64 * 2**20
