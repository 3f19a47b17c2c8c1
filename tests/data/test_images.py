from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data import _files
from edgekit.data.images import Config

RED = np.zeros((24, 32, 3), np.uint8) + np.uint8([200, 30, 10])  # RGB


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)


def write(path: Path, rgb: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def encoded(suffix: str, rgb: np.ndarray, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, rgb[..., ::-1], options)[1])


def test_reads_every_format_as_rgb(tmp_path: Path) -> None:
    for name in ("e.PNG", "b.jpg", "a.jpeg", "c.bmp", "d.webp"):
        write(tmp_path / name, RED)
    (tmp_path / "notes.txt").write_text("no frame")
    (tmp_path / ".hidden.png").write_bytes(b"")
    dataset = Config(root=tmp_path).open()
    samples = list(dataset)
    assert [s.id for s in samples] == ["a", "b", "c", "d", "e"]
    assert len(dataset) == 5
    for sample in samples:
        image = sample.images["image"]
        assert image.dtype == np.uint8
        assert image.shape == (24, 32, 3)
        assert (
            np.abs(image.astype(int) - RED).max() <= 4
        )  # JPEG and WebP are lossy; swapped channels would differ by 190
        assert sample.truth is None
    np.testing.assert_array_equal(samples[2].images["image"], RED)


def test_index_outside_the_dataset(tmp_path: Path) -> None:
    write(tmp_path / "a.png", RED)
    dataset = Config(root=tmp_path).open()
    for index in (-1, 1):
        with pytest.raises(IndexError, match=rf"images: index {index} is not in 0\.\.0"):
            dataset[index]


def test_grey_and_alpha_become_rgb(tmp_path: Path) -> None:
    grey = noise()[..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([RED[..., ::-1], grey]))
    np.testing.assert_array_equal(_files.read_image(tmp_path / "grey.png"), np.dstack([grey] * 3))
    np.testing.assert_array_equal(_files.read_image(tmp_path / "alpha.png"), RED)


@given(st.integers(1, 300), st.integers(1, 300))
def test_evenly_spaced(count: int, limit: int) -> None:
    chosen = _files.evenly_spaced(range(count), limit)
    assert len(chosen) == min(count, limit)
    assert chosen[0] == 0
    steps = np.diff([*chosen, count])
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


def test_limit(tmp_path: Path) -> None:
    for i in range(10):
        write(tmp_path / f"{i}.png", RED)
    assert [s.id for s in Config(root=tmp_path, limit=4).open()] == ["0", "2", "5", "7"]
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Config(root=tmp_path, limit=0)


def test_fingerprint_follows_names_content_and_limit(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.png", noise(i))
    seen = [Config(root=tmp_path).open().fingerprint()]
    assert Config(root=tmp_path).open().fingerprint() == seen[0]
    (tmp_path / "notes.txt").write_text("no frame")
    assert Config(root=tmp_path).open().fingerprint() == seen[0]
    seen.append(Config(root=tmp_path, limit=2).open().fingerprint())
    (tmp_path / "3.png").rename(tmp_path / "4.png")
    seen.append(Config(root=tmp_path).open().fingerprint())
    write(tmp_path / "4.png", noise(5))
    seen.append(Config(root=tmp_path).open().fingerprint())
    assert len(set(seen)) == 4
    copy = tmp_path.rename(tmp_path.with_name("moved"))  # the place of the folder does not count
    assert Config(root=copy).open().fingerprint() == seen[-1]


def test_folder_errors(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(DataError, match=f"{missing}: no such folder; point the key 'root' to a folder that exists"):
        Config(root=missing).open()
    with pytest.raises(DataError, match=r"holds no image; expected files that end in \.png, \.jpg"):
        Config(root=tmp_path).open()
    file = write(tmp_path / "a.png", RED)
    with pytest.raises(DataError, match=f"{file}: is a file; the key 'root' needs a folder"):
        Config(root=file).open()
    write(tmp_path / "a.jpg", RED)
    with pytest.raises(DataError, match=r"a\.png: has the same stem as a\.jpg, but the stem is the frame's id"):
        Config(root=tmp_path).open()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_every_truncation_is_noticed(tmp_path: Path, suffix: str) -> None:
    content = encoded(suffix, noise())
    path = tmp_path / f"cut{suffix}"
    for size in sorted({*range(0, len(content) - 2, 37), len(content) - 3}):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=f"^{path}: .*copy it again from its source$"):
            _files.read_image(path)
    path.write_bytes(content)
    assert _files.read_image(path).shape == (24, 32, 3)


def test_a_truncated_jpeg_with_a_whole_thumbnail(tmp_path: Path) -> None:
    thumbnail = encoded(".jpg", RED)
    content = encoded(".jpg", noise())
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    content = content[:2] + segment + content[2:]
    path = tmp_path / "camera.jpg"
    path.write_bytes(content + bytes(16))  # padding after the end is usual
    whole = _files.read_image(path)
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(DataError, match=r"camera\.jpg: the image is a truncated JPEG: its end marker is missing"):
        _files.read_image(path)
    assert whole.shape == (24, 32, 3)


def test_a_whole_progressive_jpeg_with_restarts(tmp_path: Path) -> None:
    options = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 1)
    content = encoded(".jpg", noise(), *options)
    assert content.count(b"\xff\xda") > 1  # several scans
    path = tmp_path / "p.jpg"
    path.write_bytes(content)
    assert _files.read_image(path).shape == (24, 32, 3)
    last_scan = content.rindex(b"\xff\xda")
    path.write_bytes(content[: last_scan + 20])
    with pytest.raises(DataError, match="truncated JPEG"):
        _files.read_image(path)


def test_messages_of_damaged_files(tmp_path: Path) -> None:
    png = bytearray(encoded(".png", noise()))
    png[len(png) // 2] ^= 1
    for name, content, message in (
        ("flip.png", bytes(png), "the image is a corrupt PNG: the checksum of its 'IDAT' chunk does not match"),
        ("cut.png", bytes(png[:40]), "the image is a truncated PNG: its end is missing"),
        ("cut.webp", encoded(".webp", noise())[:50], r"the image is a truncated WebP: 50 of \d+ bytes"),
        ("text.jpg", b"<html>404</html>", "cannot be decoded; it is corrupt or no image"),
        ("empty.jpg", b"", "the image is an empty file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"^{tmp_path / name}: {message}.* copy it again from its source$"):
            _files.read_image(tmp_path / name)


def test_a_file_that_goes_away_after_open(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", RED)
    dataset = Config(root=tmp_path).open()
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png: no such file; restore it or take it out of the dataset"):
        dataset[0]
    with pytest.raises(DataError, match=r"a\.png: no such file"):
        dataset.fingerprint()
    path.mkdir()
    with pytest.raises(DataError, match=r"a\.png: cannot be read: is a directory"):
        dataset[0]
