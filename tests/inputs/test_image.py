"""Images as model inputs of any type and number of channels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from edgekit.core.errors import DataError
from edgekit.core.spec import InputSection, Misfit, TensorShape
from edgekit.core.tensors import Array
from edgekit.inputs.image import Config
from edgekit.preprocess import Preprocess, place

SECTION: TypeAdapter[Config] = TypeAdapter(InputSection)


def frame(height: int, width: int, seed: int = 0, dtype: str = "uint8") -> Array:
    largest = {"uint8": 256, "uint16": 65536}[dtype]
    return np.random.default_rng(seed).integers(0, largest, (height, width, 3), dtype)


def fitted(shape: list[int], dtype: str = "float32", **keys: Any) -> Config:
    config = Config.model_validate(keys)
    return config.fitted(TensorShape(shape=tuple(shape), dtype=dtype))  # type: ignore[arg-type]


def made(config: Config, *images: Array) -> Array:
    names = config.sources
    return Preprocess({"x": config})(dict(zip(names, images, strict=True))).feeds["x"]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_uint8_pixels_go_through_as_they_are(layout: str, mode: str, color: str) -> None:
    shape = [1, 3, 20, 30] if layout == "nchw" else [1, 20, 30, 3]
    keys: dict[str, Any] = {"resize": (20, 30), "mode": mode, "layout": layout, "color": color}
    image = frame(17, 40)
    found, floats = made(fitted(shape, "uint8", **keys), image), made(fitted(shape, **keys), image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, floats)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float16"])
def test_other_types_hold_the_same_values(dtype: str) -> None:
    image = frame(20, 30)
    found = made(fitted([1, 3, 20, 30], dtype, resize=(20, 30)), image)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[0].transpose(1, 2, 0), image)


def test_float16_is_rounded_once() -> None:
    keys: dict[str, Any] = {"resize": (20, 30), "scale": 1 / 255, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    found = made(fitted([1, 3, 20, 30], "float16", **keys), frame(20, 30))
    exact = (frame(20, 30) / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]
    np.testing.assert_array_equal(found[0].transpose(1, 2, 0), exact.astype(np.float16))


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
def test_one_channel_is_grey(layout: str, mode: str) -> None:
    image, shape = frame(20, 60), [1, 1, 20, 30] if layout == "nchw" else [1, 20, 30, 1]
    config = fitted(shape, resize=(20, 30), mode=mode, layout=layout, scale=1 / 255, mean=0.5, std=[0.25])
    assert config.color == "grey"
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    canvas = np.full((20, 30), 114.0)
    top, left, rows, columns = place((20, 60), (20, 30), mode).content
    canvas[top : top + rows, left : left + columns] = cv2.resize(grey, (columns, rows))
    np.testing.assert_allclose(made(config, image).reshape(20, 30), (canvas / 255 - 0.5) / 0.25, atol=1e-6)
    by_pillow = np.array(Image.fromarray(image).convert("L"))
    assert np.abs(grey.astype(int) - by_pillow).max() <= 1


def test_a_grey_file_keeps_its_values() -> None:
    plane = frame(20, 30)[..., 0]
    found = made(fitted([1, 1, 20, 30], resize=(20, 30)), np.dstack([plane] * 3))
    np.testing.assert_array_equal(found[0, 0], plane)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_several_images_follow_each_other_in_the_channels(layout: str) -> None:
    left, right = frame(20, 30, 1), frame(40, 50, 2)
    shape = [1, 6, 20, 30] if layout == "nchw" else [1, 20, 30, 6]
    config = fitted(shape, source=["left", "right"], resize=(20, 30), layout=layout, mean=[1, 2, 3, 4, 5, 6])
    found = made(config, left, right)
    if layout == "nhwc":
        found = found.transpose(0, 3, 1, 2)
    expected = [*cv2.split(left), *cv2.split(cv2.resize(right, (30, 20)))]
    for channel in range(6):
        np.testing.assert_allclose(found[0, channel], expected[channel] - (channel + 1.0))
    grey = fitted([1, 2, 20, 30], source=["left", "right"], resize=(20, 30))
    assert grey.color == "grey"
    np.testing.assert_array_equal(made(grey, left, right)[0, 0], cv2.cvtColor(left, cv2.COLOR_RGB2GRAY))


def test_sixteen_bit_values_are_taken_as_they_are() -> None:
    image = frame(20, 30, dtype="uint16")
    config = fitted([1, 3, 20, 30], resize=(20, 30), pixels="uint16", scale=1 / 65535)
    np.testing.assert_allclose(made(config, image)[0].transpose(1, 2, 0), image / 65535, rtol=1e-6)
    whole = fitted([1, 3, 20, 30], "int32", resize=(20, 30), pixels="uint16")
    np.testing.assert_array_equal(made(whole, image)[0].transpose(1, 2, 0), image)
    wide = fitted([1, 20, 30, 3], resize=(20, 30), pixels="uint16", layout="nhwc", mode="letterbox", pad_value=65000)
    np.testing.assert_array_equal(made(wide, image)[0], image)


def test_float_values_are_taken_as_they_are() -> None:
    image = np.random.default_rng(0).normal(20, 30, (20, 30, 3)).astype(np.float32)
    config = fitted([1, 3, 20, 30], resize=(20, 30), pixels="float32", mean=[20], std=[30])
    np.testing.assert_allclose(made(config, image)[0].transpose(1, 2, 0), (image - 20.0) / 30, atol=1e-6)
    padded = fitted([1, 1, 8, 8], resize=(8, 8), pixels="float32", mode="letterbox", pad_value=-1.5)
    assert (made(padded, image)[0, 0, 0] == -1.5).all()


def test_pixels_that_are_no_numbers_are_refused() -> None:
    image = np.zeros((4, 4, 3), np.float32)
    image[1, 1] = np.nan
    with pytest.raises(DataError, match=r"preprocess\.x: the image 'image' holds NaN or infinity, and a resize"):
        made(fitted([1, 3, 4, 4], resize=(4, 4), pixels="float32"), image)


@pytest.mark.parametrize(
    ("pixels", "given", "said"),
    [
        ("uint8", "uint16", "has uint16 pixels of 7000 to 7000, but preprocess.x.pixels is uint8: set pixels: uint16"),
        ("uint8", "float32", "has float32 pixels of 7000 to 7000, .* set pixels: float32"),
        ("uint16", "float32", "set pixels: float32"),
        ("uint8", "int16", "pixels takes uint8, uint16 and float32: write the frames in one of them"),
    ],
)
def test_other_pixels_are_refused_with_the_way_out(pixels: str, given: str, said: str) -> None:
    config = fitted([1, 3, 4, 4], resize=(4, 4), pixels=pixels)
    with pytest.raises(DataError, match=rf"frame 'night_7': the image 'image' {said}" if "has" in said else said):
        Preprocess({"x": config})({"image": np.full((4, 4, 3), 7000, given)}, "night_7")


def test_eight_bits_among_sixteen_are_refused() -> None:
    config = fitted([1, 3, 4, 4], resize=(4, 4), pixels="uint16")
    with pytest.raises(DataError, match=r"has uint8 pixels of 3 to 3, but preprocess\.x\.pixels is uint16: leave"):
        made(config, np.full((4, 4, 3), 3, np.uint8))


@settings(deadline=None, max_examples=200)
@given(st.tuples(st.integers(20, 90), st.integers(20, 90)), st.integers(8, 20), st.integers(0, 40))
def test_shorter_side_and_centre_crop_are_torchvisions(size: tuple[int, int], crop: int, more: int) -> None:
    """Its Resize(side) and CenterCrop, in the arithmetic of its source."""
    (height, width), side = size, crop + more
    short, long = min(size), max(size)
    new = side, int(side * long / short)
    filled = new if height <= width else new[::-1]
    top, left = round((filled[0] - crop) / 2.0), round((filled[1] - crop) / 2.0)
    resized = Image.fromarray(frame(height, width)).resize(filled[::-1], Image.Resampling.BILINEAR)
    between = Image.fromarray(frame(height, width)).resize((filled[1], height), Image.Resampling.BILINEAR)
    resized = between.resize(filled[::-1], Image.Resampling.BILINEAR)
    expected = np.array(resized.crop((left, top, left + crop, top + crop)))
    config = fitted([1, 3, crop, crop], "uint8", resize=(crop, crop), mode="crop", before_crop=side, antialias=True)
    prepared = Preprocess({"x": config})({"image": frame(height, width)})
    np.testing.assert_array_equal(prepared.feeds["x"][0].transpose(1, 2, 0), expected)
    assert prepared.geometry.content == (-top, -left, *filled)


def test_a_crop_of_a_given_size_and_of_the_frame_itself() -> None:
    image = frame(40, 60)
    config = fitted([1, 3, 16, 16], "uint8", resize=16, mode="crop", before_crop=[20, 30], interpolation="area")
    expected = cv2.resize(image, (30, 20), interpolation=cv2.INTER_AREA)[2:18, 7:23]
    np.testing.assert_array_equal(made(config, image)[0].transpose(1, 2, 0), expected)
    plain = fitted([1, 3, 16, 16], "uint8", resize=16, mode="crop")
    np.testing.assert_array_equal(made(plain, image)[0].transpose(1, 2, 0), image[12:28, 22:38])
    with pytest.raises(
        DataError, match=r"a frame of 8x60 \(height x width\) is 8x60 before the crop, less than the 16"
    ):
        made(plain, image[:8])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"antialias": True, "interpolation": "area"}, "interpolation area averages already; leave antialias out"),
        ({"antialias": True, "interpolation": "nearest"}, "nearest takes one pixel; leave antialias out"),
        ({"before_crop": 256}, "before_crop: belongs to mode: crop; mode is stretch"),
        ({"pad_value": 300}, "pad_value: expected a whole number from 0 to 255; found 300"),
        ({"pad_value": 0.5}, "pad_value: expected a whole number"),
        ({"mean": [1, 2]}, "mean: expected 1 or 3 numbers with color: rgb; found 2"),
        ({"color": "grey", "std": [1, 2, 3]}, "std: expected 1 numbers"),
        ({"color": "gray"}, "grey"),
    ],
)
def test_keys_that_contradict_each_other(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config.model_validate({"resize": 8} | keys)


@pytest.mark.parametrize(
    ("shape", "dtype", "keys", "key", "said"),
    [
        ([1, 1, 8, 8], "float32", {"color": "rgb"}, "resize", "set color: grey"),
        ([1, 8, 8, 3], "float32", {}, "resize", "set layout: nhwc"),
        ([1, 6, 8, 8], "float32", {}, "resize", "6 channels are 2 images: name them, source: [first, ...]"),
        (
            [1, 4, 8, 8],
            "float32",
            {},
            "resize",
            "an image makes 3 channels (grey: 1), and what is no image",
        ),
        ([1, 2, 3, 8, 8], "float32", {}, "resize", "kind: array takes what is no image"),
        ([1, 3, 8, 8], "uint8", {"scale": 0.5, "mean": [1, 1, 1]}, "scale", "leave scale, mean out when the network"),
        ([1, 3, 8, 8], "uint8", {"pixels": "uint16"}, "pixels", "uint16 values do not fit in the model input"),
        ([1, 3, 8, 8], "int32", {"pixels": "float32"}, "pixels", "float32 values do not fit"),
        ([1, 3, 8, 8], "bool", {}, "kind", "the model input is bool, and an image is not"),
        ([1, 1, 8, 8], "float32", {"mean": [1, 2, 3]}, "mean", "the model input has 1 channels"),
        ([1, 3, 8, 8], "float16", {"pixels": "uint16"}, "scale", "beyond what float16 can hold"),
    ],
)
def test_model_inputs_that_no_image_fills(shape: list[int], dtype: str, keys: Any, key: str, said: str) -> None:
    with pytest.raises(Misfit) as caught:
        fitted(shape, dtype, resize=(8, 8), **keys)
    assert caught.value.key == key
    assert said in str(caught.value)


def test_the_record_of_a_section_without_new_keys_is_as_it_was() -> None:
    """Its hash decides whether two evaluations can be compared."""
    config = fitted([1, 3, 8, 8], resize=(8, 8), scale=0.5)
    assert SECTION.dump_python(config, mode="json") == {
        "source": "image",
        "resize": [8, 8],
        "mode": "stretch",
        "color": "rgb",
        "scale": 0.5,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "pad_value": 114,
        "layout": "nchw",
    }
    changed = SECTION.dump_python(fitted([1, 3, 8, 8], resize=(8, 8), antialias=True), mode="json")
    assert changed["antialias"] is True


@pytest.mark.parametrize(
    ("size", "keys", "warned"),
    [
        ((40, 61), {}, True),
        ((41, 60), {"interpolation": "nearest"}, True),
        ((40, 60), {}, False),
        ((400, 600), {"antialias": True}, False),
        ((400, 600), {"antialias": False}, False),
        ((400, 600), {"interpolation": "area"}, False),
        ((41, 61), {"mode": "letterbox"}, True),
        ((41, 61), {"mode": "crop"}, False),
    ],
)
def test_a_reduction_that_skips_pixels_is_told(size: tuple[int, int], keys: dict[str, Any], warned: bool) -> None:
    preprocess = Preprocess({"x": fitted([1, 3, 20, 30], resize=(20, 30), **keys)})
    found = preprocess.aliasing({"image": frame(*size)})
    assert len(found) == warned
    if warned:
        assert found[0].startswith(f"preprocess.x: frames of {size[0]}x{size[1]} become 2.")
        assert "antialias: true as Pillow and torchvision do" in found[0]
