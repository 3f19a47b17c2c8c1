"""Images and videos as bags, which others read too."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from edgekit.core.bags import Bag, stamp_ns
from edgekit.core.errors import DataError, InputError
from edgekit.data.mcap import Config
from edgekit.ros2_node.bags.convert import Conversion, convert
from edgekit.ros2_node.bags.writer import MIB, Limits
from tests.support.projects import write_frames

SECOND = 10**9


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_frames(tmp_path / "made", 4)
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, suffix in enumerate(("png", "jpg", "bmp", "jpg")):
        cv2.imwrite(str(folder / f"f{i}.{suffix}"), cv2.imread(str(tmp_path / f"made/images/f{i}.png")))
    return folder


def test_files_become_messages_as_they_are(images: Path, tmp_path: Path) -> None:
    assert convert(images, tmp_path / "bag", Conversion("/front/image", 10, "front", start_ns=5 * SECOND)) == 4
    with Bag(tmp_path / "bag") as bag:
        messages = list(bag.messages())
        assert [(m.topic, m.type) for m in messages] == [
            ("/front/image/compressed", "sensor_msgs/msg/CompressedImage")
        ] * 4
        assert [stamp_ns(m.data) for m in messages] == [5 * SECOND + i * SECOND // 10 for i in range(4)]
        assert [m.time_ns for m in messages] == [stamp_ns(m.data) for m in messages]
        decoded = [bag.decode(m) for m in messages]
        assert [d.format for d in decoded] == ["png", "jpeg", "jpeg", "jpeg"]
        assert {d.header.frame_id for d in decoded} == {"front"}
        assert decoded[0].data.tobytes() == (images / "f0.png").read_bytes()
        assert decoded[1].data.tobytes() == (images / "f1.jpg").read_bytes()


def test_raw_images(images: Path, tmp_path: Path) -> None:
    convert(images, tmp_path / "bag", Conversion(raw=True))
    dataset = Config(format="mcap", root=tmp_path / "bag").open()
    for sample, file in zip(dataset, sorted(images.iterdir()), strict=True):
        assert np.array_equal(sample.images["image"][..., ::-1], cv2.imread(str(file)))


def test_a_picture_turned_by_its_exif_data_is_turned(images: Path, tmp_path: Path) -> None:
    """No ROS node follows EXIF, and labels belong to the upright picture."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(images / "f1.jpg") as picture:
        picture.save(images / "f1.jpg", exif=exif)
    convert(images, tmp_path / "bag", Conversion())
    sizes = [sample.images["image"].shape[:2] for sample in Config(format="mcap", root=tmp_path / "bag").open()]
    assert sizes == [(32, 48), (48, 32), (32, 48), (32, 48)]


def test_a_video(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "drive.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for i in range(5):
        writer.write(np.full((48, 64, 3), 40 * i, np.uint8))
    writer.release()
    assert convert(tmp_path / "drive.avi", tmp_path / "bag", Conversion()) == 5
    dataset = Config(format="mcap", root=tmp_path / "bag").open()
    assert [s.id for s in dataset] == [f"drive-{i:06d}" for i in range(5)]
    assert [abs(int(s.images["image"].mean()) - 40 * i) <= 2 for i, s in enumerate(dataset)] == [True] * 5


@given(st.floats(0.01, 10_000), st.integers(0, 100_000))
@settings(deadline=None)
def test_stamps_do_not_drift(rate: float, index: int) -> None:
    how = Conversion(rate_hz=rate)
    assert abs(how.stamp_ns(index) - how.start_ns - index * SECOND / rate) <= max(1.0, index * SECOND / rate * 1e-12)
    assert how.stamp_ns(index + 1) > how.stamp_ns(index)


def test_what_fails_leaves_nothing(images: Path, tmp_path: Path) -> None:
    (images / "f3.jpg").write_bytes((images / "f3.jpg").read_bytes()[:100])
    with pytest.raises(DataError, match=r"f3\.jpg"):
        convert(images, tmp_path / "bag", Conversion())
    assert not (tmp_path / "bag").exists()
    (images / "f3.jpg").unlink()
    big = np.random.default_rng(0).integers(0, 255, (800, 800, 3), np.uint8)
    cv2.imwrite(str(images / "f9.png"), big)
    with pytest.raises(InputError, match=r"is full after 3 frames"):
        convert(images, tmp_path / "bag", Conversion(), Limits(MIB))
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("wrong", [{"rate_hz": 0.0}, {"rate_hz": float("nan")}, {"start_ns": -1}])
def test_mistakes(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Conversion(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [False, True])
def test_the_readers_of_foxglove_take_every_message(raw: bool, images: Path, tmp_path: Path) -> None:
    """The packages mcap and mcap-ros2-support, which share nothing with rosbags."""
    convert(images, tmp_path / "bag", Conversion(raw=raw))
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None
        assert [schema.encoding for schema in summary.schemas.values()] == ["ros2msg"]
        assert summary.statistics is not None
        assert summary.statistics.message_count == 4
        messages = list(reader.iter_decoded_messages())
    assert [(m.decoded_message.header.stamp.sec, len(m.decoded_message.data) > 0) for m in messages] == [(1, True)] * 4
