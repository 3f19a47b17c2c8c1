from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data import video
from edgekit.data.video import Config
from tests.support.label_files import write_video


def grey(count: int, start: int = 0) -> list[np.ndarray]:
    """Frames whose brightness tells their number, with a red left half."""
    frames = []
    for number in range(start, start + count):
        frame = np.full((32, 48, 3), 5 * number + 20, np.uint8)
        frame[:, :24] = (220, 20, 20)
        frames.append(frame)
    return frames


def number(image: np.ndarray) -> int:
    return round((float(image[:, 28:].mean()) - 20) / 5)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two videos, of 20 and of 7 frames (whose brightness counts from 30)."""
    write_video(tmp_path / "clips/a.avi", grey(20))
    write_video(tmp_path / "clips/b.avi", grey(7, 30))
    (tmp_path / "clips/notes.txt").write_text("no video")
    return tmp_path / "clips"


def test_every_frame_in_order(clips: Path) -> None:
    samples = list(Config(root=clips).open())
    assert [number(sample.images["image"]) for sample in samples] == [*range(20), *range(30, 37)]
    assert samples[3].id == "a-000003"
    assert samples[-1].id == "b-000006"
    assert {sample.metadata["sequence"] for sample in samples[:20]} == {"a"}
    assert samples[20].metadata == {"sequence": "b"}
    left = samples[0].images["image"][:, 4:20].reshape(-1, 3).mean(axis=0)
    assert np.abs(left - (220, 20, 20)).max() < 12  # RGB


def test_any_order_gives_the_same_bytes(clips: Path) -> None:
    first = [sample.images["image"] for sample in Config(root=clips).open()]
    dataset = Config(root=clips).open()
    for index in (26, 5, 5, 4, 21, 0, 19, 20, 6, 7):
        np.testing.assert_array_equal(dataset[index].images["image"], first[index])
    dataset[5].images["image"][:] = 0
    np.testing.assert_array_equal(dataset[5].images["image"], first[5])


def test_every_and_limit(clips: Path) -> None:
    sparse = Config(root=clips, every=6).open()
    assert [sample.id for sample in sparse] == ["a-000000", "a-000006", "a-000012", "a-000018", "b-000000", "b-000006"]
    assert [number(sample.images["image"]) for sample in sparse] == [0, 6, 12, 18, 30, 36]
    assert [sample.id for sample in Config(root=clips, every=6, limit=2).open()] == ["a-000000", "a-000018"]
    with pytest.raises(ValidationError, match="every"):
        Config(root=clips, every=0)


def test_one_file(clips: Path) -> None:
    dataset = Config(root=clips / "b.avi").open()
    assert len(dataset) == 7
    with pytest.raises(IndexError, match=r"video: index 7 is not in 0\.\.6"):
        dataset[7]


@pytest.mark.parametrize("claimed", [-1.0, 0.0, 1e9])
def test_the_header_is_not_trusted(clips: Path, monkeypatch: pytest.MonkeyPatch, claimed: float) -> None:
    real = cv2.VideoCapture

    class Capture:
        def __init__(self, *args: Any) -> None:
            self.real = real(*args)

        def get(self, key: int) -> float:
            return claimed if key == cv2.CAP_PROP_FRAME_COUNT else float(self.real.get(key))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    video._count.cache_clear()
    try:
        assert len(Config(root=clips / "b.avi", incomplete="accept").open()) == (6 if claimed > 0 else 7)
        if claimed > 0:
            with pytest.raises(DataError, match=r"b\.avi: 7 frames can be decoded, but its header says 1e\+09"):
                Config(root=clips / "b.avi").open()
        else:
            assert len(Config(root=clips / "b.avi").open()) == 7
    finally:
        video._count.cache_clear()


@pytest.mark.parametrize("missing", [2, 40, 400, 4000])
def test_a_cut_video(clips: Path, missing: int) -> None:
    path = clips / "a.avi"
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(
        DataError, match=r"a\.avi: the file is cut short: .*; copy it again .* use the \d+ whole frames"
    ):
        Config(root=clips).open()
    some = Config(root=path, incomplete="accept").open()
    assert 0 < len(some) < 20
    assert [number(sample.images["image"]) for sample in some] == list(range(len(some)))


def test_a_cut_mp4(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (48, 32))
    for frame in grey(9):
        writer.write(frame)
    writer.release()
    assert len(Config(root=path).open()) == 9
    content = path.read_bytes()
    at = content.index(b"moov") - 4
    start = content.index(b"mdat") - 4
    assert start < at  # with the table of frames first, a cut file still opens
    front = content[:start] + content[at:] + content[start:at]
    path.write_bytes(front[:-40])
    with pytest.raises(DataError, match=r"a\.mp4: (the file is cut short|cannot be decoded|holds no whole frame)"):
        Config(root=path).open()


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_broken_files(clips: Path, content: bytes) -> None:
    (clips / "b.avi").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.avi: cannot be decoded; it is corrupt, cut short or no video"):
        Config(root=clips).open()


def test_a_header_without_frames(clips: Path) -> None:
    path = clips / "b.avi"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"movi") + 4])
    with pytest.raises(DataError, match=r"b\.avi: (holds no whole frame|cannot be decoded)"):
        Config(root=clips).open()


def test_missing_files(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such file or folder; point the key 'root' to a video"):
        Config(root=tmp_path / "gone").open()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no video; expected files that end in \.avi"):
        Config(root=tmp_path / "empty").open()
    (clips / "b.avi").rename(clips / "a.mkv")
    with pytest.raises(DataError, match=r"a\.mkv: has the same stem as a\.avi"):
        Config(root=clips).open()


def test_a_file_that_changes_after_open(clips: Path) -> None:
    dataset = Config(root=clips / "a.avi").open()
    write_video(clips / "a.avi", grey(4))
    with pytest.raises(DataError, match=r"a\.avi: frame 15 cannot be decoded; the file has changed"):
        dataset[15]
    assert len(Config(root=clips / "a.avi").open()) == 4  # the count is not remembered
    (clips / "a.avi").unlink()
    with pytest.raises(DataError, match=r"a\.avi"):
        dataset[0]


def test_fingerprint(clips: Path) -> None:
    seen = [Config(root=clips, **keys).open().fingerprint() for keys in ({}, {"every": 2}, {"limit": 5})]
    write_video(clips / "b.avi", grey(7, 31))
    seen.append(Config(root=clips).open().fingerprint())
    assert len(set(seen)) == 4
    moved = clips.rename(clips.with_name("moved"))
    assert Config(root=moved).open().fingerprint() == seen[-1]
