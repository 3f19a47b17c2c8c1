"""Writing bags: bounds hold for any messages, files are split, what is written is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader

from edgekit.core.bags import Bag
from edgekit.core.errors import InputError
from edgekit.ros2_node.bags.definitions import Definitions
from edgekit.ros2_node.bags.writer import MIB, SMALLEST, BagWriter, Limits, TopicEntry

DEFINITION = Definitions()["std_msgs/msg/String"]
NEVER = QosTime(9223372036, 854775807)
OFFER = Qos(
    *(QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE),
    *(NEVER, NEVER, QosLiveliness.AUTOMATIC, NEVER, False),
)
ENTRIES = [TopicEntry(f"/topic/{i}", DEFINITION) for i in range(3)]


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def make(folder: Path, limits: Limits | None = None) -> BagWriter:
    writer = BagWriter(folder, limits, {"edgekit": "{}"})
    for entry in ENTRIES:
        writer.add(entry)
    return writer


def test_what_is_written_is_read(tmp_path: Path) -> None:
    writer = make(tmp_path / "bag")
    for i in range(10):
        assert writer.write(f"/topic/{i % 3}", 100 + i, bytes([i]) * 20)
    writer.close()
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == ["bag_0.mcap", "metadata.yaml"]
    with Bag(tmp_path / "bag") as bag:
        assert [(m.topic, m.time_ns, m.data) for m in bag.messages()] == [
            (f"/topic/{i % 3}", 100 + i, bytes([i]) * 20) for i in range(10)
        ]
        assert bag.custom == {"edgekit": "{}"}


def test_files_are_split_by_size_and_by_time(tmp_path: Path) -> None:
    by_size = make(tmp_path / "size", Limits(split_bytes=MIB))
    for i in range(30):
        by_size.write("/topic/0", i, bytes(100_000))
    by_size.close()
    by_time = make(tmp_path / "time", Limits(split_ns=10))
    for i in range(30):
        by_time.write("/topic/0", i, b"x")
    by_time.close()
    assert len(list((tmp_path / "time").glob("*.mcap"))) == 3
    sizes = [file.stat().st_size for file in (tmp_path / "size").glob("*.mcap")]
    assert len(sizes) > 2
    assert max(sizes) <= MIB
    for name in ("size", "time"):
        with Reader(tmp_path / name) as reader:  # rosbags itself takes it for one bag
            assert reader.message_count == 30
            assert [time for _, time, _ in reader.messages()] == list(range(30))
            assert reader.end_time - reader.start_time == 30


@settings(deadline=None, max_examples=40)
@given(
    messages=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200_000), st.booleans()), min_size=1, max_size=60),
    when_full=st.sampled_from(["stop", "oldest"]),
    most=st.integers(SMALLEST, 3 * MIB),
    split=st.integers(SMALLEST // 4, MIB),
)
def test_the_disk_never_holds_more_than_allowed(
    messages: list[tuple[int, int, bool]],
    when_full: str,
    most: int,
    split: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("bounded") / "bag"
    writer = make(folder, Limits(most, split, when_full=when_full))  # type: ignore[arg-type]
    kept = 0
    for time, (topic, size, flush) in enumerate(messages):
        kept += writer.write(f"/topic/{topic}", time, bytes(size))
        if flush:
            writer.flush()
        assert on_disk(folder) <= writer.size <= most
    writer.close()
    assert on_disk(folder) <= writer.size <= most
    with Bag(folder) as bag:
        found = [message.time_ns for message in bag.messages()]
    if when_full == "stop":
        assert found == list(range(kept))
    else:
        assert found == list(range(len(messages) - len(found), len(messages)))
        assert len(found) == len(messages) or writer.removed or writer.full
    shutil.rmtree(folder)


def test_a_full_bag_says_no_and_stays_whole(tmp_path: Path) -> None:
    writer = make(tmp_path / "bag", Limits(MIB))
    answers = [writer.write("/topic/0", i, bytes(200_000)) for i in range(8)]
    assert answers == [True] * answers.index(False) + [False] * (8 - answers.index(False))
    assert writer.full
    writer.write("/topic/0", 9, b"small")  # nothing after the gap: a bag has no holes
    writer.close()
    with Bag(tmp_path / "bag") as bag:
        assert sum(1 for _ in bag.messages()) == answers.index(False)


def test_the_oldest_make_room(tmp_path: Path) -> None:
    writer = make(tmp_path / "bag", Limits(2 * MIB, MIB, when_full="oldest"))
    assert all(writer.write("/topic/0", i, bytes(100_000)) for i in range(60))
    writer.close()
    assert writer.removed
    with Bag(tmp_path / "bag") as bag:
        times = [message.time_ns for message in bag.messages()]
        assert times[-1] == 59
        assert len(times) >= 10  # a half of the room, at least


def test_time_never_goes_back(tmp_path: Path) -> None:
    writer = make(tmp_path / "bag")
    for time in (5, 3, 7):
        writer.write("/topic/0", time, b"x")
    writer.close()
    with Bag(tmp_path / "bag") as bag:
        assert [message.time_ns for message in bag.messages()] == [5, 5, 7]


def test_an_empty_bag_opens(tmp_path: Path) -> None:
    make(tmp_path / "bag").close()
    with Bag(tmp_path / "bag") as bag:
        assert list(bag.messages()) == []


def test_a_finished_file_opens_while_the_next_is_written(tmp_path: Path) -> None:
    writer = make(tmp_path / "bag", Limits(split_ns=10))
    for i in range(15):
        writer.write("/topic/0", i, b"x")
    with Reader(tmp_path / "bag") as reader:  # any tool, while it records
        assert reader.message_count == 10
    writer.flush()
    with Bag(tmp_path / "bag") as bag:
        assert sum(1 for _ in bag.messages()) == 15
    writer.close()


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "mine").touch()
    with pytest.raises(InputError, match="is there already"):
        BagWriter(tmp_path / "bag")
    with pytest.raises(InputError, match="holds nothing"):
        Limits(SMALLEST - 1)
    with pytest.raises(InputError, match="are too small"):
        Limits(split_bytes=1)


def test_what_many_topics_cost_is_counted(tmp_path: Path) -> None:
    """Schemas, channels, offers and their metadata are most of a bag of few messages."""
    info = Definitions()["sensor_msgs/msg/CameraInfo"]
    writer = BagWriter(tmp_path / "bag", Limits(4 * MIB))
    for number in range(60):
        writer.add(TopicEntry(f"/camera_{number}/a/long/name/of/a/topic/camera_info", info, (OFFER,) * 3))
        writer.write(f"/camera_{number}/a/long/name/of/a/topic/camera_info", number, b"x")
    size = writer.size
    writer.close()
    assert 100_000 < on_disk(tmp_path / "bag") <= size
