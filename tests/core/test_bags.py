"""Reading bags: whole ones, ones that nobody closed, and damaged ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import Reader

from edgekit.core.bags import Bag, stamp_ns, whole_part
from edgekit.core.errors import DataError
from edgekit.ros2_node.bags.definitions import Definitions
from edgekit.ros2_node.bags.writer import BagWriter, TopicEntry
from tests.support.bags import STORE, header, raw_image, write_bag

TOPIC, TYPE = "/camera/image", "sensor_msgs/msg/Image"


def frame(index: int) -> bytes:
    pixels = np.full((8, 8, 3), index, np.uint8)
    return bytes(STORE.serialize_cdr(raw_image(1000 + index, pixels, "rgb8"), TYPE))


def unclosed(folder: Path, count: int = 5, *, flushed: int | None = None) -> Path:
    """A bag whose recorder was killed after ``count`` messages, of which the first ``flushed`` were on the disk."""
    writer = BagWriter(folder)
    writer.add(TopicEntry(TOPIC, Definitions()[TYPE]))
    for index in range(count):
        if index == flushed:
            writer.flush()
        writer.write(TOPIC, 1000 + index, frame(index))
    if flushed is None:
        writer.flush()
    writer.abort()
    return folder


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    images = [(TOPIC, 1000 + i, raw_image(1000 + i, np.full((4, 4, 3), i, np.uint8), "rgb8")) for i in range(5)]
    images.insert(3, ("/text", 1002, STORE.types["std_msgs/msg/String"](data="hello")))
    return write_bag(tmp_path / "bag", images)


def test_a_bag_of_rosbags_is_read(bag: Path) -> None:
    with Bag(bag) as opened:
        assert {name: topic.count for name, topic in opened.topics.items()} == {TOPIC: 5, "/text": 1}
        assert opened.topics[TOPIC].type == TYPE
        assert [m.time_ns for m in opened.messages()] == [1000, 1001, 1002, 1002, 1003, 1004]
        assert [opened.decode(m).data for m in opened.messages(["/text"])] == ["hello"]
        assert [m.time_ns for m in opened.messages([TOPIC], 1001, 1003)] == [1001, 1002]
        assert opened.notes == ()
        assert list(opened.messages(["/absent"])) == []


def test_one_file_is_a_bag_too(bag: Path) -> None:
    with Bag(bag / "bag.mcap") as opened:
        assert opened.topics[TOPIC].count == 5
    (bag / "metadata.yaml").unlink()
    with Bag(bag) as opened:
        assert opened.topics[TOPIC].count == 5


def test_what_a_killed_recorder_left_is_read_and_said(tmp_path: Path) -> None:
    with Bag(unclosed(tmp_path / "bag")) as opened:
        assert [m.data for m in opened.messages()] == [frame(i) for i in range(5)]
        assert "did not close it; every record in it is whole" in opened.notes[0]


def test_what_was_not_on_the_disk_yet_is_lost(tmp_path: Path) -> None:
    with Bag(unclosed(tmp_path / "bag", flushed=3)) as opened:
        assert [m.data for m in opened.messages()] == [frame(i) for i in range(3)]


def test_a_recorder_that_was_killed_at_once_left_nothing(tmp_path: Path) -> None:
    with Bag(unclosed(tmp_path / "bag", count=1, flushed=0)) as opened:
        assert list(opened.messages()) == []
        assert opened.topics == {}
        assert "did not close it" in opened.notes[0]
    (file,) = (tmp_path / "bag").rglob("*.mcap")
    file.write_bytes(b"")
    with Bag(tmp_path / "bag") as opened:
        assert list(opened.messages()) == []
        assert "did not close it" in opened.notes[0]


@settings(deadline=None, max_examples=25)
@given(cut=st.integers(1, 700))
def test_a_file_cut_anywhere_gives_its_whole_records(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cut") / "bag"
    unclosed(folder, flushed=3)
    (file,) = folder.rglob("*.mcap")
    content = file.read_bytes()
    whole, _ = whole_part(file)
    assert whole == len(content)
    file.write_bytes(content[:-cut])
    with Bag(folder) as opened:
        found = [m.data for m in opened.messages()]
        assert found == [frame(i) for i in range(len(found))]
        lost = len(content) - cut - whole_part(file)[0]
        assert f"last {lost} bytes" in opened.notes[0] if lost else "whole" in opened.notes[0]
    shutil.rmtree(folder)


def test_a_summary_that_was_not_finished_is_left_out(bag: Path) -> None:
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-20])
    with Bag(file) as opened:
        assert opened.topics[TOPIC].count == 5
        assert len(list(opened.messages())) == 6


def test_an_end_that_is_there_is_left_alone(bag: Path) -> None:
    assert whole_part(bag / "bag.mcap") == ((bag / "bag.mcap").stat().st_size, True)
    with Reader(bag) as reader:
        assert reader.message_count == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such bag"),
        (lambda path: path.mkdir(), "is no bag: it holds neither metadata.yaml"),
        (lambda path: path.write_text("no bag"), "expected a folder with metadata.yaml"),
    ],
)
def test_what_is_no_bag(make: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    make(path)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        Bag(path)


def test_damage_is_an_error_that_names_the_bag(bag: Path) -> None:
    file = bag / "bag.mcap"
    content = bytearray(file.read_bytes())
    content[-28:-20] = b"\xff" * 8  # where the summary begins
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"bag: (cannot be read|is damaged)"), Bag(bag) as opened:
        list(opened.messages())


@given(st.integers(0, 2**31 * 10**9 - 1))
@settings(deadline=None)
def test_stamps(stamp: int) -> None:
    assert stamp_ns(bytes(STORE.serialize_cdr(header(stamp), "std_msgs/msg/Header"))) == stamp
    big = STORE.serialize_cdr(header(stamp), "std_msgs/msg/Header", little_endian=False)
    assert stamp_ns(bytes(big)) == stamp


def test_a_message_without_a_header() -> None:
    with pytest.raises(DataError, match="has no header"):
        stamp_ns(bytes(8))
