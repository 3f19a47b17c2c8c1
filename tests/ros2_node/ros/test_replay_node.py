"""A bag through the node: twice the same bytes, and what the bundle itself makes of the frames."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

from edgekit.bundle import open_bundle
from edgekit.core.bags import Bag
from edgekit.data.mcap import Config
from tests.support.projects import write_frames
from tests.support.ros_bags import edgekit, running

COUNT = 16
MASK = "/edgekit/output/mask"


def messages(bag: Path) -> list[tuple[str, int, bytes]]:
    with Bag(bag) as opened:
        return [(m.topic, m.time_ns, m.data) for m in opened.messages()]


@pytest.mark.parametrize("compressed", [False, True])
def test_replay_of_one_bag_twice_gives_the_same_bytes(compressed: bool, bundle: Path, tmp_path: Path) -> None:
    write_frames(tmp_path, COUNT)
    topic = ("--topic", "/edgekit/input/image")
    edgekit("record", "--from", tmp_path / "images", tmp_path / "bag", *topic, *(() if compressed else ("--raw",)))
    parameters = {"bundle": bundle, "autostart": "true", "image_transport": "compressed" if compressed else "raw"}
    options = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    for name in ("one", "two"):  # a process of its own each time: nothing of the first run is left
        with running("-m", "edgekit.ros2_node", "--ros-args", *options) as node:
            played = edgekit(
                "replay", tmp_path / "bag", "--step", "--wait", "100", "--timeout", "60", "--out", tmp_path / name
            )
            assert played["results"] == {MASK: COUNT}
            code, _ = node.end(signal.SIGINT)
            assert code == 0, node.said
    one, two = messages(tmp_path / "one"), messages(tmp_path / "two")
    assert len(one) == COUNT
    assert one == two
    frames = Config(format="mcap", root=tmp_path / "bag").open()
    with open_bundle(bundle) as opened, opened.engine() as engine, Bag(tmp_path / "one") as results:
        chain = opened.chain(engine)
        for sample, message in zip(frames, results.messages(), strict=True):
            mask = results.decode(message)
            found = np.asarray(mask.data).reshape(mask.height, mask.width)
            assert np.array_equal(found, chain(sample.images).labels)


def test_the_readers_of_foxglove_take_everything_that_was_recorded(bundles: Path, tmp_path: Path) -> None:
    """Boxes, labels, diagnostics, images: every message and schema, by packages that share nothing with rosbags."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    write_frames(tmp_path, COUNT)
    edgekit("record", "--from", tmp_path / "images", tmp_path / "bag", "--raw", "--topic", "/edgekit/input/image")
    options = ["-p", f"bundle:={bundles / 'objects'}", "-p", "autostart:=true"]
    with (
        running("-m", "edgekit.ros2_node", "--ros-args", *options),
        running("-m", "edgekit", "record", tmp_path / "all", "--json") as recorder,
    ):
        recorder.until_said("recording /edgekit/output/detections", "label_info", "vision_info", "/diagnostics")
        edgekit("replay", tmp_path / "bag", "--step", "--subscribers", "2", "--wait", "100", "--timeout", "60")
        code, output = recorder.end(signal.SIGINT)
    assert code == 0
    written = {name: part["written"] for name, part in json.loads(output)["topics"].items()}
    assert written["/edgekit/output/detections"] == written["/edgekit/input/image"] == COUNT
    assert written["/edgekit/output/label_info"] == 1
    read: Counter[str] = Counter()
    for file in (tmp_path / "all").glob("*.mcap"):
        with file.open("rb") as stream:
            reader = make_reader(stream, decoder_factories=[DecoderFactory()])
            for message in reader.iter_decoded_messages():
                assert message.schema is not None
                assert message.schema.encoding == "ros2msg"
                read[message.channel.topic] += 1
                if message.channel.topic == "/edgekit/output/detections":
                    names = [found.results[0].hypothesis.class_id for found in message.decoded_message.detections]
                    assert sorted(names) == ["green", "red"]
    assert read == written
    with Bag(tmp_path / "all") as bag:
        identity = json.loads(bag.custom["edgekit.identity"])
        with open_bundle(bundles / "objects") as opened:
            assert identity["digest"] == opened.digest
    truth = Config(format="mcap", root=tmp_path / "all", detections="/edgekit/output/detections").open()
    assert truth.classes == ("green", "red")
    assert [len(sample.truth) for sample in truth] == [2] * COUNT
