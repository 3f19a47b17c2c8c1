"""Golden frames in a bundle: each image and array comes back as it was read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.bundle.frames import read_frame, write_frame
from edgekit.core.errors import BundleError
from edgekit.core.tensors import Array

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 255, (6, 8, 1), np.uint8).repeat(3, axis=2)
FRAMES: dict[str, tuple[Array, str]] = {
    "colours": (RANDOM.integers(0, 255, (6, 8, 3), np.uint8), "png"),
    "colours of 16 bits": (RANDOM.integers(0, 65535, (6, 8, 3), np.uint16), "png"),
    "grey read as RGB": (GREY, "png"),
    "one channel of 8 bits": (RANDOM.integers(0, 255, (6, 8), np.uint8), "png"),
    "one channel of 16 bits": (RANDOM.integers(0, 65535, (6, 8), np.uint16), "png"),
    "floats": (RANDOM.normal(size=(6, 8, 3)).astype(np.float32), "npz"),
    "points": (RANDOM.normal(size=(100, 4)).astype(np.float32), "npz"),
    "a number": (np.float64(3.5).reshape(()), "npz"),
    "four channels": (RANDOM.integers(0, 255, (6, 8, 4), np.uint8), "npz"),
    "nothing": (np.zeros((0, 8), np.uint8), "npz"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    array, kind = FRAMES[name]
    sources = write_frame(tmp_path, 3, {"image": array})
    assert sources["image"].file == ("golden/3.image.png" if kind == "png" else "golden/3.npz")
    found = read_frame(tmp_path, sources)["image"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_colours_are_those_of_any_viewer(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    write_frame(tmp_path, 0, {"image": red})
    assert cv2.imread(str(tmp_path / "golden" / "0.image.png"))[0, 0].tolist() == [0, 0, 200]  # OpenCV reads BGR
    write_frame(tmp_path, 1, {"image": GREY})
    assert cv2.imread(str(tmp_path / "golden" / "1.image.png"), cv2.IMREAD_UNCHANGED).ndim == 2


def test_several_in_a_frame(tmp_path: Path) -> None:
    images = {"left/far": FRAMES["colours"][0], "gain": np.ones(3), "points": FRAMES["points"][0]}
    sources = write_frame(tmp_path, 0, images)
    assert sorted(path.name for path in (tmp_path / "golden").iterdir()) == ["0.0.png", "0.npz"]
    for name, found in read_frame(tmp_path, sources).items():
        np.testing.assert_array_equal(found, images[name])


def test_a_file_that_is_not_what_its_record_says(tmp_path: Path) -> None:
    sources = write_frame(tmp_path, 0, {"image": FRAMES["colours"][0]})
    cv2.imwrite(str(tmp_path / "golden" / "0.image.png"), np.zeros((5, 8, 3), np.uint8))
    with pytest.raises(
        BundleError, match=r"golden/0\.image\.png: 'image' is uint8\[5, 8, 3\], .* says uint8\[6, 8, 3\]"
    ):
        read_frame(tmp_path, sources)
    (tmp_path / "golden" / "0.image.png").write_bytes(b"")
    with pytest.raises(BundleError, match="'image' is nothing"):
        read_frame(tmp_path, sources)
