"""What a file's pixels become: their own values, upright; against Pillow."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from edgekit.core.errors import DataError
from edgekit.data import Sample, _files
from edgekit.data.image_folder import Config as ImageFolder
from edgekit.data.image_mask import Config as ImageMask
from edgekit.data.images import Config

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
GREY = RGB[..., 0]
ORIENTATION = 0x0112


def save(path: Path, pixels: np.ndarray, turned: int | None = None, **options: Any) -> Path:
    exif = Image.Exif()
    if turned is not None:
        exif[ORIENTATION] = turned
        options["exif"] = exif
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.ppm", "a.pnm", "a.tif", "a.TIFF", "a.png", "a.bmp"])
def test_a_folder_leaves_no_image_out(tmp_path: Path, name: str) -> None:
    save(tmp_path / "b.png", RGB)
    Image.fromarray(RGB).save(tmp_path / name, format="PPM" if name.endswith(("ppm", "pnm")) else None)
    samples = list(Config(root=tmp_path).open())
    assert [sample.id for sample in samples] == ["a", "b"]
    np.testing.assert_array_equal(samples[0].images["image"], RGB)


def test_grey_files_of_further_kinds(tmp_path: Path) -> None:
    for name in ("a.pgm", "b.tif", "c.jfif"):
        Image.fromarray(GREY).save(tmp_path / name, format="JPEG" if name == "c.jfif" else None, quality=100)
    Image.fromarray(GREY > 128).save(tmp_path / "d.pbm", format="PPM")
    for sample in Config(root=tmp_path).open():
        expected = np.where(GREY > 128, 255, 0) if sample.id == "d" else GREY
        for channel in range(3):
            assert np.abs(sample.images["image"][..., channel].astype(int) - expected).max() <= (sample.id == "c")


@pytest.mark.parametrize("ending", [".heic", ".GIF", ".jp2", ".exr"])
def test_images_that_cannot_be_read_are_not_left_out_in_silence(tmp_path: Path, ending: str) -> None:
    save(tmp_path / "a.png", RGB)
    (tmp_path / f"b{ending}").write_bytes(b"?")
    (tmp_path / f"c{ending}").write_bytes(b"?")
    with pytest.raises(DataError, match=rf"b{re.escape(ending)} and 1 more: images of this kind are not read; convert"):
        Config(root=tmp_path).open()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bit_values_are_the_files_own(tmp_path: Path, name: str) -> None:
    counts = (7000 + GREY.astype(np.uint16) * 3).astype(np.uint16)
    cv2.imwrite(str(tmp_path / name), counts)
    image = _files.read_image(tmp_path / name)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, np.dstack([counts] * 3))


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    colour = RGB.astype(np.uint16) * 200 + 7
    for name in ("a.png", "b.tif"):
        cv2.imwrite(str(tmp_path / name), colour[..., ::-1])
        np.testing.assert_array_equal(_files.read_image(tmp_path / name), colour)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_float_tiff_keeps_its_values(tmp_path: Path, compression: str | None) -> None:
    degrees = (GREY.astype(np.float32) - 100) / 7
    save(tmp_path / "a.tif", degrees, compression=compression)
    image = _files.read_image(tmp_path / "a.tif")
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, np.dstack([degrees] * 3))


def test_other_types_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", GREY.astype(np.int32))
    with pytest.raises(DataError, match=r"a\.tif: the image has int32 pixels; expected uint8, uint16, float32: save"):
        _files.read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_a_netpbm_file_with_another_white_is_refused(tmp_path: Path, kind: str) -> None:
    values = 3 if kind in ("P3", "P6") else 1
    body = b"\x01" * values if kind in ("P5", "P6") else b"1 " * values
    (tmp_path / "a.pnm").write_bytes(b"%s\n# a comment\n1 1 15\n" % kind.encode() + body)
    with pytest.raises(DataError, match=r"a\.pnm: white is 15 in this Netpbm file; expected 255 or more"):
        _files.read_image(tmp_path / "a.pnm")


@pytest.mark.parametrize("name", ["a.tif", "lzw.tif", "a.ppm", "ascii.pgm"])
def test_every_truncation_is_noticed(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    if name.endswith("tif"):
        Image.fromarray(RGB).save(buffer, "TIFF", compression="tiff_lzw" if name[0] == "l" else None)
    elif name == "ascii.pgm":
        buffer.write(b"P2\n8 8 255\n" + b"123 " * 64)
    else:
        Image.fromarray(RGB).save(buffer, "PPM")
    content = buffer.getvalue()
    path = tmp_path / name
    for size in range(0, len(content) - 5, 41):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=f"^{path}: "):
            _files.read_image(path)
    path.write_bytes(content)
    assert _files.read_image(path).dtype == np.uint8


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_orientation_is_followed(tmp_path: Path, name: str, turned: int) -> None:
    smooth = cv2.GaussianBlur(RGB, (0, 0), 3)
    options = {"lossless": True} if name == "a.webp" else {"quality": 100, "subsampling": 0} if "jpg" in name else {}
    path = save(tmp_path / name, smooth, turned, **options)
    expected = np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    image = _files.read_image(path)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= (2 if name == "a.jpg" else 0)
    assert _files.orientation(path.read_bytes()) == turned


def test_orientation_of_sixteen_bit_tiff(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", GREY.astype(np.uint16) * 9, 6)
    np.testing.assert_array_equal(_files.read_image(path)[..., 0], np.rot90(GREY.astype(np.uint16) * 9, -1))


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"\xff\xd8\xff\xe1\0\x02", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_exif_says_nothing(content: bytes) -> None:
    assert _files.orientation(content) == 1


def pair(folder: Path, turned: int | None, mask: np.ndarray, own: int | None = None, rgb: np.ndarray = RGB) -> Sample:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    save(folder / "images" / "f.png", rgb, turned)
    save(folder / "masks" / "f.png", mask, own)
    return ImageMask(images=folder / "images", masks=folder / "masks").open()[0]


def seen(pixels: np.ndarray, turned: int) -> np.ndarray:
    """As Pillow shows it."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[ORIENTATION] = turned
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    return np.array(ImageOps.exif_transpose(Image.open(buffer)))


@pytest.mark.parametrize("turned", range(2, 9))
def test_a_mask_with_the_images_orientation(tmp_path: Path, turned: int) -> None:
    sample = pair(tmp_path, turned, GREY, turned)
    np.testing.assert_array_equal(sample.truth, seen(GREY, turned))
    np.testing.assert_array_equal(sample.images["image"], seen(RGB, turned))


@pytest.mark.parametrize("turned", range(5, 9))
def test_a_mask_of_the_stored_or_of_the_upright_image(tmp_path: Path, turned: int) -> None:
    upright = seen(GREY, turned)
    (tmp_path / "stored").mkdir()
    (tmp_path / "upright").mkdir()
    np.testing.assert_array_equal(pair(tmp_path / "stored", turned, GREY).truth, upright)
    np.testing.assert_array_equal(pair(tmp_path / "upright", turned, upright).truth, upright)


@pytest.mark.parametrize("turned", [2, 3, 4, 6])
def test_a_mask_that_may_be_of_either_is_refused(tmp_path: Path, turned: int) -> None:
    square = RGB[:, :24]
    said = f"f.png: has no EXIF orientation, and its image f.png has number {turned}, so the mask may be"
    with pytest.raises(DataError, match=said):
        pair(tmp_path, turned, square[..., 0], rgb=square)


def test_a_mask_of_another_size_is_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the mask is 30x24, but its image"):
        pair(tmp_path, 6, GREY[:, :30])


@pytest.mark.parametrize("name", ["f.pgm", "f.tif"])
def test_masks_in_further_lossless_files(tmp_path: Path, name: str) -> None:
    Image.fromarray(GREY).save(tmp_path / name)
    np.testing.assert_array_equal(_files.read_mask(tmp_path / name), GREY)


def test_pictures_for_people() -> None:
    counts = np.full((2, 2, 3), 7000, np.uint16)
    counts[0] = 7100
    shown = Sample("a", {"points": np.zeros((5, 3)), "image": counts}).picture()
    assert shown.dtype == np.uint8
    assert shown[..., 0].tolist() == [[255, 255], [0, 0]]
    assert Sample("a", {"image": RGB}).picture() is RGB
    assert Sample("a", {"points": np.zeros((5, 3))}).picture().shape == (240, 320, 3)


def test_a_tiff_of_several_images_is_refused(tmp_path: Path) -> None:
    second = Image.fromarray(255 - RGB)
    Image.fromarray(RGB).save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with pytest.raises(DataError, match=r"a\.tif: holds several images, of which one would be taken; save each"):
        _files.read_image(tmp_path / "a.tif")


def test_orientation_is_left_alone_where_the_key_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set orientation: ignore \(format image_mask\) when both are as stored"):
        pair(tmp_path, 3, GREY)
    folders = {"images": tmp_path / "images", "masks": tmp_path / "masks"}
    stored = ImageMask(**folders, orientation="ignore").open()
    np.testing.assert_array_equal(stored[0].images["image"], RGB)
    np.testing.assert_array_equal(stored[0].truth, GREY)
    assert stored.fingerprint() != ImageMask(**folders).open().fingerprint()
    alone = Config(root=tmp_path / "images", orientation="ignore").open()
    np.testing.assert_array_equal(alone[0].images["image"], RGB)
    assert alone.fingerprint() != Config(root=tmp_path / "images").open().fingerprint()
    (tmp_path / "root").mkdir()
    (tmp_path / "images").rename(tmp_path / "root" / "kind")
    kinds = [ImageFolder(root=tmp_path / "root", orientation=o).open() for o in ("ignore", "follow")]
    np.testing.assert_array_equal(kinds[0][0].images["image"], RGB)
    np.testing.assert_array_equal(kinds[1][0].images["image"], seen(RGB, 3))
    assert kinds[0].fingerprint() != kinds[1].fingerprint()
