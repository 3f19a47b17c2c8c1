"""Filters that grow with the reduction, against Pillow and PyTorch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgekit.core.tensors import Array
from edgekit.inputs._resample import FILTERS, coefficients, resample
from edgekit.inputs._resize import resize

PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))
filters = st.sampled_from(sorted(FILTERS))
seeds = st.integers(0, 2**31)


def pixels(size: tuple[int, int], seed: int, *channels: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8)


def by_pillow(image: Array, size: tuple[int, int], name: str) -> Array:
    """Pillow's own, along the rows first (up to version 12 always, since 13 not always)."""
    between = Image.fromarray(image).resize((size[1], len(image)), PILLOW[name])
    return np.array(between.resize((size[1], size[0]), PILLOW[name]))


def by_torch(image: Array, size: tuple[int, int], name: str) -> Array:
    whole = torch.from_numpy(image).permute(2, 0, 1)[None]
    made = torch.nn.functional.interpolate(whole, size=size, mode=name, antialias=True, align_corners=False)
    return made[0].permute(1, 2, 0).numpy()


@settings(deadline=None, max_examples=150)
@given(sizes, sizes, filters, seeds)
def test_uint8_is_pillows_to_the_bit(source: tuple[int, int], size: tuple[int, int], name: str, seed: int) -> None:
    image = pixels(source, seed, 3)
    np.testing.assert_array_equal(resample(image, size, name), by_pillow(image, size, name))
    np.testing.assert_array_equal(resample(image[..., 0], size, name), by_pillow(image[..., 0], size, name))


@settings(deadline=None, max_examples=100)
@given(sizes, sizes, filters, seeds)
def test_the_order_of_pillow_13(source: tuple[int, int], size: tuple[int, int], name: str, seed: int) -> None:
    image = pixels(source, seed)
    found = resample(image, size, name, pillow_13=True)
    if int(Image.__version__.split(".")[0]) >= 13:
        np.testing.assert_array_equal(found, np.array(Image.fromarray(image).resize(size[::-1], PILLOW[name])))
    one = by_pillow(image, size, name), by_pillow(image.T, size[::-1], name).T
    assert (found == one[0]).all() or (found == one[1]).all()


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, filters, seeds)
def test_float32_is_pillows(source: tuple[int, int], size: tuple[int, int], name: str, seed: int) -> None:
    image = np.random.default_rng(seed).normal(0, 100, source).astype(np.float32)
    np.testing.assert_allclose(resample(image, size, name), by_pillow(image, size, name), rtol=1e-5, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, filters, seeds)
def test_uint16_is_pillows(source: tuple[int, int], size: tuple[int, int], name: str, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 65536, source, np.uint16)
    found, expected = resample(image, size, name), by_pillow(image, size, name)
    assert found.dtype == np.uint16
    assert np.abs(found.astype(int) - expected).max() <= 1


@settings(deadline=None, max_examples=80)
@given(st.tuples(st.integers(4, 90), st.integers(4, 90)), st.tuples(st.integers(4, 90), st.integers(4, 90)), seeds)
def test_bilinear_is_pytorchs_within_one(source: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    image = pixels(source, seed, 3)
    assert np.abs(resample(image, size, "bilinear").astype(int) - by_torch(image, size, "bilinear")).max() <= 1


@pytest.mark.parametrize("size", [(224, 224), (90, 120), (37, 301), (360, 700)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_a_picture_is_pytorchs_within_one(name: str, size: tuple[int, int]) -> None:
    noise = pixels((360, 480), 3, 3)
    image = cv2.GaussianBlur(noise, (0, 0), 1.0)
    assert np.abs(resample(image, size, name).astype(int) - by_torch(image, size, name)).max() <= 1


def test_weights_sum_to_one_and_never_leave_the_image() -> None:
    for source, made in ((7, 3), (3, 7), (1, 5), (1920, 224), (5, 1)):
        for name in FILTERS:
            starts, weights = coefficients(source, made, name)
            np.testing.assert_allclose(weights.sum(axis=1), 1.0)
            ends = starts + (weights != 0).cumsum(axis=1).argmax(axis=1) + 1
            assert starts.min() >= 0
            assert ends.max() <= source


def test_an_axis_of_the_same_length_is_left_alone() -> None:
    image = pixels((20, 30), 1, 3)
    np.testing.assert_array_equal(resample(image, (20, 30), "lanczos"), image)
    np.testing.assert_array_equal(resample(image, (20, 11), "bicubic"), by_pillow(image, (20, 11), "bicubic"))


@settings(deadline=None, max_examples=80)
@given(sizes, sizes, seeds)
def test_nearest_exact_is_pillows_nearest(source: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    image = pixels(source, seed, 3)
    expected = np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(resize(image, size, "nearest-exact", False), expected)


@pytest.mark.parametrize(
    ("interpolation", "flag"),
    [
        ("bilinear", cv2.INTER_LINEAR),
        ("nearest", cv2.INTER_NEAREST),
        ("area", cv2.INTER_AREA),
        ("bicubic", cv2.INTER_CUBIC),
        ("lanczos", cv2.INTER_LANCZOS4),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_without_antialias_it_is_opencvs(interpolation: str, flag: int, dtype: type) -> None:
    image = pixels((40, 50), 5, 3).astype(dtype)
    expected = cv2.resize(image, (30, 20), interpolation=flag)
    np.testing.assert_array_equal(resize(image, (20, 30), interpolation, False), expected)
