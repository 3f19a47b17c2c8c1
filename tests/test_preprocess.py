from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.tensors import Array, check_feeds
from edgekit.inputs.image import Config
from edgekit.preprocess import Preprocess, place

IMAGENET = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)
modes = st.sampled_from(["stretch", "letterbox", "letterbox-topleft"])


@st.composite
def transforms(draw: st.DrawFn) -> Config:
    def three(low: float, high: float) -> Any:
        return st.tuples(*[st.floats(low, high)] * 3)

    scale = draw(st.sampled_from([1.0, 1 / 255, 0.5]))
    return Config(
        resize=draw(sizes),
        mode=draw(modes),
        color=draw(st.sampled_from(["rgb", "bgr"])),
        layout=draw(st.sampled_from(["nchw", "nhwc"])),
        scale=scale,
        mean=draw(three(0, 255 * scale)),
        std=draw(three(60 * scale, 255 * scale)),
        pad_value=draw(st.integers(0, 255)),
    )


def frame(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def reference(image: Array, t: Config) -> Array:
    """The documented steps one by one in float64; the content box is found on its own."""
    rows, columns = t.resize
    if t.mode == "stretch":
        top, left, h, w = 0, 0, rows, columns
    else:
        ratio = min(rows / image.shape[0], columns / image.shape[1])
        h, w = (max(1, int(np.floor(side * ratio + 0.5 + 1e-9))) for side in image.shape[:2])
        top, left = ((rows - h) // 2, (columns - w) // 2) if t.mode == "letterbox" else (0, 0)
    canvas = np.full((rows, columns, 3), t.pad_value, np.float64)
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    if t.color == "bgr":
        canvas = canvas[..., ::-1]
    result = (canvas * t.scale - np.array(t.mean)) / np.array(t.std)
    return (result.transpose(2, 0, 1) if t.layout == "nchw" else result)[None]


@settings(deadline=None, max_examples=200)
@given(transforms(), sizes, st.integers(0, 99))
def test_equals_the_steps_in_float64(transform: Config, size: tuple[int, int], seed: int) -> None:
    image = frame(*size, seed)
    made = Preprocess({"x": transform})({"image": image}).feeds["x"]
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    np.testing.assert_allclose(made, reference(image, transform), rtol=0, atol=1e-5)


def test_values_of_one_pixel() -> None:
    image = np.array([[[255, 128, 0]]], np.uint8)
    made = Preprocess({"x": Config(resize=(1, 1), color="bgr", **IMAGENET)})({"image": image}).feeds["x"]
    # B = 0, G = 128, R = 255: mean and std follow the model's channels, so B takes the first of them.
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(made.ravel(), expected, rtol=1e-6)


@settings(deadline=None, max_examples=300)
@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), sizes, modes, st.floats(0, 1), st.floats(0, 1))
def test_geometry_brings_points_back(
    original: tuple[int, int], tensor: tuple[int, int], mode: str, y: float, x: float
) -> None:
    geometry = place(original, tensor, mode)
    top, left, rows, columns = geometry.content
    assert top >= 0
    assert left >= 0
    assert rows >= 1
    assert columns >= 1
    assert top + rows <= tensor[0]
    assert left + columns <= tensor[1]
    # OpenCV aligns pixel centres: original (p + 0.5) * scale - 0.5 is the place in the resized image.
    for at, size, start, filled in ((y, original[0], top, rows), (x, original[1], left, columns)):
        point = at * size - 0.5
        inside = (point + 0.5) * filled / size - 0.5 + start
        back = (inside - start + 0.5) * size / filled - 0.5
        assert abs(back - point) < 1e-6
    if mode != "stretch":
        exact = min(tensor[0] / original[0], tensor[1] / original[1])
        assert abs(rows - max(original[0] * exact, 0.5)) <= 0.5 + 1e-9
        assert abs(columns - max(original[1] * exact, 0.5)) <= 0.5 + 1e-9
        assert rows == tensor[0] or columns == tensor[1]
        centre = (tensor[0] - rows) // 2, (tensor[1] - columns) // 2
        assert (top, left) == (centre if mode == "letterbox" else (0, 0))


@pytest.mark.parametrize("mode", ["stretch", "letterbox", "letterbox-topleft"])
def test_a_marked_point_is_where_the_geometry_says(mode: str) -> None:
    # A smooth spot (bilinear resizing skips parts of a sharp one) around the corner between pixels 199|200 and 399|400.
    y, x = np.arange(300)[:, None] + 0.5, np.arange(520)[None] + 0.5
    spot = 255 * np.exp(-((y - 200) ** 2 + (x - 400) ** 2) / (2 * 20**2))
    image = np.repeat(np.rint(spot).astype(np.uint8)[..., None], 3, axis=2)
    prepared = Preprocess({"x": Config(resize=(160, 128), mode=mode, pad_value=0)})({"image": image})
    weight = prepared.feeds["x"][0, 0]
    found_y = float((weight.sum(1) * (np.arange(160) + 0.5)).sum() / weight.sum())
    found_x = float((weight.sum(0) * (np.arange(128) + 0.5)).sum() / weight.sum())
    top, left, rows, columns = prepared.geometry.content
    back = (found_y - top) * 300 / rows, (found_x - left) * 520 / columns
    assert back == pytest.approx((200, 400), abs=0.1)


def test_letterbox_of_a_full_hd_frame() -> None:
    geometry = place((1080, 1920), (416, 416), "letterbox")
    assert geometry.content == (91, 0, 234, 416)
    assert place((1080, 1920), (416, 416), "letterbox-topleft").content == (0, 0, 234, 416)
    prepared = Preprocess({"x": Config(resize=416, mode="letterbox")})({"image": frame(1080, 1920)})
    assert prepared.geometry == geometry
    tensor = prepared.feeds["x"][0]
    assert (tensor[:, :91] == 114).all()
    assert (tensor[:, 325:] == 114).all()
    assert tensor[:, 91:325].std() > 10


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_images_with_any_strides(layout: str) -> None:
    preprocess = Preprocess({"x": Config(resize=(20, 30), layout=layout, **IMAGENET)})
    whole = frame(40, 60, 3)
    for view in (whole[::2, ::2], whole[10:30, 20:50], whole[::-1, ::-1][:20, :30], whole[:20, :30, ::-1]):
        made, expected = preprocess({"image": view}), preprocess({"image": np.ascontiguousarray(view)})
        np.testing.assert_array_equal(made.feeds["x"], expected.feeds["x"])


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_feeds_belong_to_the_caller(layout: str) -> None:
    preprocess = Preprocess({"x": Config(resize=(8, 8), layout=layout)})
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    first = preprocess({"image": black}).feeds["x"]
    second = preprocess({"image": white}).feeds["x"]
    assert not np.shares_memory(first, second)
    assert (first == 0).all()
    assert (second == 255).all()
    assert (black == 0).all()


def test_two_inputs_from_two_cameras() -> None:
    preprocess = Preprocess(
        {
            "front": Config(source="front", resize=(4, 6), mode="letterbox"),
            "rear": Config(source="rear", resize=(5, 5), layout="nhwc"),
        }
    )
    prepared = preprocess({"rear": np.full((7, 9, 3), 9, np.uint8), "front": np.full((4, 4, 3), 3, np.uint8)})
    assert list(prepared.feeds) == ["front", "rear"]
    check_feeds(prepared.feeds, preprocess.tensor_specs())
    assert [spec.shape for spec in preprocess.tensor_specs()] == [(1, 3, 4, 6), (1, 5, 5, 3)]
    assert prepared.geometry == place((4, 4), (4, 6), "letterbox")
    assert prepared.feeds["front"][0, 0, 0].tolist() == [114, 3, 3, 3, 3, 114]
    assert (prepared.feeds["rear"] == 9).all()


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ([[1, 2, 3]], "found list"),
        (np.zeros((4, 4), np.uint8), r"found shape \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"found shape \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"found an empty image of shape \[0, 4, 3\]"),
    ],
)
def test_refuses_what_is_no_image(image: Any, found: str) -> None:
    with pytest.raises(TensorError, match=rf"image 'image': expected a uint8 RGB array .*{found}"):
        Preprocess({"x": Config(resize=(4, 4))})({"image": image})


def test_names_a_missing_source() -> None:
    preprocess = Preprocess({"x": Config(source="left", resize=(4, 4))})
    with pytest.raises(DataError, match=r"preprocess\.x: the sample has no image 'left', it has 'image'; set preproc"):
        preprocess({"image": frame(4, 4)})
    with pytest.raises(DataError, match="it has no image;"):
        preprocess({})


def test_refuses_no_transforms() -> None:
    with pytest.raises(SpecError, match="no input is described"):
        Preprocess({})
