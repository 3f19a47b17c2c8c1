from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.image_mask import Config, ImageMask


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Five pairs in five sizes."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    rng = np.random.default_rng(0)
    for i, suffix in enumerate(("png", "jpg", "jpeg", "bmp", "webp")):
        cv2.imwrite(str(images / f"f{i}.{suffix}"), rng.integers(0, 256, (20 + i, 30, 3), np.uint8))
        cv2.imwrite(str(masks / f"f{i}.{'bmp' if i == 2 else 'png'}"), mask(i))
    return images, masks


def mask(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (20 + i, 30), np.uint8)


def opened(folders: tuple[Path, Path], limit: int | None = None) -> ImageMask:
    return Config(images=folders[0], masks=folders[1], limit=limit).open()


def png(width: int, height: int, bits: int, colour: int, rows: bytes, palette: bytes = b"") -> bytes:
    """A PNG by hand, for kinds that OpenCV does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    table = chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + header + table + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_pairs_by_stem(folders: tuple[Path, Path]) -> None:
    dataset = opened(folders)
    assert len(dataset) == 5
    for i, sample in enumerate(dataset):
        assert sample.id == f"f{i}"
        assert sample.images["image"].shape == (20 + i, 30, 3)
        assert sample.truth.dtype == np.uint8
        np.testing.assert_array_equal(sample.truth, mask(i))
    assert [s.id for s in opened(folders, limit=2)] == ["f0", "f2"]
    with pytest.raises(IndexError, match=r"image_mask: index 5 is not in 0\.\.4"):
        dataset[5]


def test_fingerprint_covers_images_and_masks(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    seen = [opened(folders).fingerprint(), opened(folders, limit=3).fingerprint()]
    cv2.imwrite(str(masks / "f0.png"), mask(9)[:20])
    seen.append(opened(folders).fingerprint())
    cv2.imwrite(str(images / "f0.png"), np.zeros((20, 30, 3), np.uint8))
    seen.append(opened(folders).fingerprint())
    assert len(set(seen)) == 4
    assert opened(folders).fingerprint() == seen[-1]


def test_lone_files(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    (masks / "f1.png").rename(masks / "g1.png")
    with pytest.raises(DataError, match=rf"{images}/f1\.jpg: has no mask of that stem in {masks}; add it or remove"):
        opened(folders)
    (masks / "f3.png").unlink()
    with pytest.raises(DataError, match=r"f1\.jpg \(and 1 more\): has no mask"):
        opened(folders)
    (images / "f1.jpg").unlink()
    (images / "f3.bmp").unlink()
    with pytest.raises(DataError, match=rf"{masks}/g1\.png: has no image of that stem in {images}; add it or remove"):
        opened(folders)


def test_missing_and_empty_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    for key, pair in (("images", (tmp_path / "x", masks)), ("masks", (images, tmp_path / "x"))):
        with pytest.raises(DataError, match=f"x: no such folder; point the key '{key}'"):
            opened(pair)
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="x: holds no image"):
        opened((images, tmp_path / "x"))


def test_mask_of_another_size(folders: tuple[Path, Path]) -> None:
    cv2.imwrite(str(folders[1] / "f0.png"), mask(1))
    with pytest.raises(
        DataError, match=r"masks/f0\.png: the mask is 30x21, but its image f0\.png is 30x20 \(width x height\); make"
    ):
        opened(folders)[0]


FIX = "save class ids as an 8-bit single-channel PNG"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((20, 30, 3), np.uint8), "the mask has 3 channels; expected 1 that holds class ids"),
        (np.zeros((20, 30, 4), np.uint8), "the mask has 4 channels; expected 1 that holds class ids"),
        (np.zeros((20, 30), np.uint16), "the mask is uint16; expected uint8"),
        (
            png(30, 20, 8, 3, bytes(31 * 20), bytes(6)),
            "the mask is a palette PNG; expected class ids in one grey channel",
        ),
        (png(30, 20, 4, 0, bytes(16 * 20)), "the mask has 4 bits a pixel; expected 8"),
    ],
)
def test_masks_that_hold_no_class_ids(folders: tuple[Path, Path], content: np.ndarray | bytes, message: str) -> None:
    path = folders[1] / "f0.png"
    path.write_bytes(content if isinstance(content, bytes) else bytes(cv2.imencode(".png", content)[1]))
    with pytest.raises(DataError, match=rf"^{path}: {message}: {FIX}$"):
        opened(folders)[0]


def test_lossy_mask(folders: tuple[Path, Path]) -> None:
    (folders[1] / "f0.png").unlink()
    cv2.imwrite(str(folders[1] / "f0.jpg"), mask(0))
    with pytest.raises(DataError, match=rf"f0\.jpg: \.jpg is a lossy format, which changes class ids; {FIX}"):
        opened(folders)[0]


def test_damaged_files(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    label, picture = (masks / "f1.png").read_bytes(), (images / "f1.jpg").read_bytes()
    (masks / "f1.png").write_bytes(label[:-20])
    with pytest.raises(DataError, match=r"masks/f1\.png: the mask is a truncated PNG: its end is missing"):
        opened(folders)[1]
    (images / "f1.jpg").write_bytes(picture[:-200])
    with pytest.raises(DataError, match=r"images/f1\.jpg: the image is a truncated JPEG"):
        opened(folders)[1]
    assert opened(folders)[0].id == "f0"  # the others stay usable
