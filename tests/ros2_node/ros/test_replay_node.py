"""A bag through the node: twice the same bytes, and what the bundle itself makes of the frames."""

from __future__ import annotations

import signal
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
