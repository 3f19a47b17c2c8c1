"""Record and replay with real ROS 2 processes: what is sent is in the bag, byte by byte, and comes out of it again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

from rosbags.interfaces import QosDurability, QosReliability

from edgekit.core.bags import Bag
from edgekit.ros2_node.bags.definitions import Definitions
from tests.support.ros_bags import echo_node, edgekit, frames, running
from tests.support.waiting import until

IMAGES, MASK, LABELS = "/camera/image/compressed", "/edgekit/output/mask", "/edgekit/output/labels"
COUNT = 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    frames(root / "frames", COUNT)
    edgekit("record", "--from", root / "frames", root / "bag")
    return root / "bag"


def sent_as(received: list[bytes], sent: list[bytes]) -> bool:
    """Whether messages came as they were sent; the middleware fills the last four bytes with zeros."""
    pairs = zip(received, sent, strict=True)
    return all(
        one[: len(other)] == other and one[len(other) :] in (b"", b"\0", b"\0\0", b"\0\0\0") for one, other in pairs
    )


def contents(bag: Path, topic: str) -> list[bytes]:
    with Bag(bag) as opened:
        return [message.data for message in opened.messages([topic])]


def test_definitions_of_the_installation_have_the_hashes_on_the_wire() -> None:
    """What the bag says of a type is what publishers say of it."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import CompressedImage, Image

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("hashes", context=context)
    definitions = Definitions()
    for kind in (Image, CompressedImage, DiagnosticArray):
        node.create_publisher(kind, f"/{kind.__name__.lower()}", 1)
    for kind in (Image, CompressedImage, DiagnosticArray):
        name = f"/{kind.__name__.lower()}"
        until(lambda: node.get_publishers_info_by_topic(name), "the publisher")  # noqa: B023
        (info,) = node.get_publishers_info_by_topic(name)
        if hasattr(info, "topic_type_hash"):
            assert definitions[info.topic_type].digest == str(info.topic_type_hash)
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_steps_wait_for_results_and_give_the_same_bytes_twice(source: Path, tmp_path: Path) -> None:
    with echo_node():
        played = [edgekit("replay", source, "--step", "--out", tmp_path / name) for name in ("one", "two")]
        for document in played:
            assert document["published"] == {IMAGES: COUNT}
            assert document["results"] == {MASK: COUNT}
    one, two = (contents(tmp_path / name, MASK) for name in ("one", "two"))
    assert len(one) == COUNT
    assert one == two
    with Bag(source) as sent, Bag(tmp_path / "one") as results:
        assert [m.time_ns for m in results.messages()] == [m.time_ns for m in sent.messages()]
        for image, mask in zip(sent.messages(), results.messages(), strict=True):
            before, after = sent.decode(image), results.decode(mask)
            assert repr(after.header) == repr(before.header)
            assert after.data.tobytes() == before.data[:8].tobytes()


def test_inputs_outputs_and_diagnostics_are_recorded_as_they_were_sent(source: Path, tmp_path: Path) -> None:
    with echo_node() as node, running("-m", "edgekit", "record", tmp_path / "bag", "--json") as recorder:
        node.meet()
        node.tell("0")
        # The recorder subscribes when it sees the publisher, which waits for it.
        edgekit("replay", source, "--rate", "5", "--subscribers", "2")
        code, output = recorder.end(signal.SIGINT)
    assert code == 0
    summary = json.loads(output)
    assert all(part["received"] == part["written"] for part in summary["topics"].values())
    sent = contents(source, IMAGES)
    recorded = contents(tmp_path / "bag", IMAGES)
    assert sent_as(recorded, sent)
    assert len(contents(tmp_path / "bag", MASK)) == COUNT
    with Bag(tmp_path / "bag") as bag:
        identity = json.loads(bag.custom["edgekit.identity"])
        assert identity == {"node": "/edgekit", "bundle": "tiny@0123", "precision": "int8"}
        roles = json.loads(bag.custom["edgekit.roles"])
        assert roles[IMAGES] == "input"
        assert roles[MASK] == "output"
        assert [bag.decode(m).data for m in bag.messages([LABELS])] == ["floor, red, green"]
        (offer,) = bag.topics[LABELS].qos
        assert offer.durability == QosDurability.TRANSIENT_LOCAL
        assert offer.reliability == QosReliability.RELIABLE
    # What was an input is what is replayed.
    with echo_node():
        assert edgekit("replay", tmp_path / "bag", "--fast")["published"].keys() == {IMAGES}


def test_an_error_saves_the_ring_once(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bags"
    options = ("--ring", "20", "--after", "0.2", "--on", "error", "--json")
    with echo_node() as node, running("-m", "edgekit", "record", folder, *options) as recorder:
        node.meet()
        edgekit("replay", source, "--rate", "5", "--subscribers", "2")
        for level in (0, 2, 2, 2):
            node.tell(str(level))
        recorder.until_said("saved ")
        code, output = recorder.end(signal.SIGTERM)
    assert code == 0
    (name,) = json.loads(output)["bags"]
    assert name.endswith("_error_edgekit_engine")
    assert [path.name for path in folder.iterdir()] == [name]
    with Bag(folder / name) as bag:
        assert bag.topics[LABELS].count == 1
        assert bag.topics[MASK].count == COUNT
        assert json.loads(bag.custom["edgekit.trigger"])["why"] == "error: edgekit: engine"


def test_the_service_saves_the_ring(tmp_path: Path) -> None:
    import rclpy
    from std_srvs.srv import Trigger

    from tests.support.ros_bags import ENVIRONMENT

    folder = tmp_path / "bags"
    with echo_node(), running("-m", "edgekit", "record", folder, "--ring", "5", "--after", "0", "--json") as recorder:
        recorder.until_said(f"recording {LABELS}")
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=int(ENVIRONMENT["ROS_DOMAIN_ID"]))
        node = rclpy.create_node("asks", context=context)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        client = node.create_client(Trigger, "/edgekit_recorder/save")
        until(client.service_is_ready, "the service")
        answer = client.call_async(Trigger.Request())
        until(lambda: executor.spin_once(timeout_sec=0.1) or answer.done(), "the answer")
        assert answer.result().success
        recorder.until_said("saved ")
        rclpy.shutdown(context=context)
        code, output = recorder.end(signal.SIGINT)
    assert code == 0
    assert [name.endswith("_service") for name in json.loads(output)["bags"]] == [True]


def test_a_killed_recorder_leaves_a_bag_that_opens(source: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with echo_node(), running("-m", "edgekit", "record", bag, "--topics", "/camera/*") as recorder:
        edgekit("replay", source, "--rate", "5", "--subscribers", "2")

        def on_disk() -> bool:
            if not any(bag.rglob("*.mcap")):
                return False
            with Bag(bag) as opened:
                return opened.topics.get(IMAGES) is not None and opened.topics[IMAGES].count >= COUNT

        until(on_disk, "a second after the last message")
        recorder.end(signal.SIGKILL)
    with Bag(bag) as opened:
        assert "did not close it" in opened.notes[0]
        kept = [m.data for m in opened.messages([IMAGES])]
    assert sent_as(kept, contents(source, IMAGES))
    edgekit("record", "--from", bag, tmp_path / "whole")
    assert contents(tmp_path / "whole", IMAGES) == kept
    assert (tmp_path / "whole" / "metadata.yaml").is_file()


def test_a_clock_is_published(source: Path) -> None:
    import rclpy
    from rosgraph_msgs.msg import Clock

    from tests.support.ros_bags import ENVIRONMENT

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ENVIRONMENT["ROS_DOMAIN_ID"]))
    node = rclpy.create_node("looks_at_the_clock", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard: list[int] = []
    node.create_subscription(Clock, "/clock", lambda m: heard.append(m.clock.sec * 10**9 + m.clock.nanosec), 1000)
    with echo_node(), running("-m", "edgekit", "replay", source, "--clock", "--rate", "0.1") as player:
        until(lambda: executor.spin_once(timeout_sec=0.01) or player.child.poll() is not None, "the end of the bag")
    rclpy.shutdown(context=context)
    with Bag(source) as sent:
        times = [m.time_ns for m in sent.messages()]
    assert heard == sorted(heard)
    assert len(heard) > COUNT  # more often than there are messages
    assert times[0] <= heard[0]
    assert heard[-1] <= times[-1]


def test_nobody_listens(source: Path) -> None:
    with running("-m", "edgekit", "replay", source, "--step", "--wait", "0.2") as player:
        code, _ = player.end()
    assert code == 2
    assert "/camera/image/compressed has not a subscriber after 0.2 s" in player.said[-1]


def test_a_frame_without_a_result_ends_the_steps(source: Path) -> None:
    """A result that never comes is a failed check, not a wait without an end."""
    with echo_node("silent"), running("-m", "edgekit", "replay", source, "--step", "--timeout", "0.2") as player:
        code, _ = player.end()
    assert code == 1
    assert f"frame 1 ({IMAGES}, stamp 1000000000) has no result on {MASK} after 0.2 s" in player.said[-1]
