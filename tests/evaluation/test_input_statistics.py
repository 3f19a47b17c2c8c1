from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.evaluation.input_statistics import (
    COMBINED,
    FEATURES,
    JUDGED,
    LEAST_FRAMES,
    InputStatistics,
    Measured,
    full_scale,
    measure,
    statistics_of,
)


def street(seed: int, light: float = 1.0) -> Array:
    """A sky, a ground with an edge every few pixels, and noise; every seed has its own light and colours."""
    rng = np.random.default_rng(seed)
    image = np.empty((120, 200, 3))
    image[:60] = rng.uniform(140, 220) * np.array([0.75, 0.9, 1.1])
    image[60:] = rng.uniform(60, 110) * np.array([1.1, 1.0, 0.85])
    for left in range(0, 200, 10):
        image[int(rng.integers(30, 60)) :, left : left + 5] *= rng.uniform(0.4, 1.5) * rng.uniform(0.9, 1.1, 3)
    image = image * rng.uniform(0.85, 1.15) * light + rng.normal(0, rng.uniform(2, 4), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def feature(image: Array, name: str) -> float:
    return float(measure(image).values[list(FEATURES).index(name)])


@pytest.fixture(scope="module")
def reference() -> InputStatistics:
    return statistics_of([measure(street(seed)) for seed in range(60)], "made")


def outside(image: Array, reference: InputStatistics) -> set[str]:
    row = reference.row(measure(image))
    edges = {name: reference.edges(name) for name in JUDGED}
    return {name for k, name in enumerate(JUDGED) if not edges[name][0] <= row[k] <= edges[name][1]}


@pytest.mark.parametrize("seed", range(1000, 1020))
def test_other_frames_of_the_kind_lie_within(seed: int, reference: InputStatistics) -> None:
    assert outside(street(seed), reference) == set()


def test_what_was_done_to_a_frame_lies_outside(reference: InputStatistics) -> None:
    import cv2

    image = street(1000)
    assert {"sharpness", "noise"} & outside(np.asarray(cv2.GaussianBlur(image, (0, 0), 4)), reference)
    assert {"colour order", "blue with light"} & outside(np.ascontiguousarray(image[..., ::-1]), reference)
    assert "haze" in outside((image * 0.15 + 200 * 0.85).astype(np.uint8), reference)
    assert "brightness" in outside((image * 0.1).astype(np.uint8), reference)
    rng = np.random.default_rng(0)
    noisy = np.clip(image + rng.normal(0, 60, image.shape), 0, 255).astype(np.uint8)
    assert "noise" in outside(noisy, reference)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.5, 0.25]))
def test_brightness_counts_in_octaves(seed: int, light: float) -> None:
    image = np.full((60, 100, 3), 200.0) + np.random.default_rng(seed).uniform(-20, 20, (60, 100, 3))
    apart = feature(image.astype(np.uint8), "brightness") - feature((image * light).astype(np.uint8), "brightness")
    assert apart == pytest.approx(-np.log2(light), abs=0.05)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_exchanged_colours_turn_the_signs_of_what_is_about_red_and_blue(seed: int) -> None:
    image = street(seed)
    swapped = np.ascontiguousarray(image[..., ::-1])
    assert feature(swapped, "blue with light") == pytest.approx(-feature(image, "blue with light"), abs=0.25)
    assert feature(swapped, "blue above") == pytest.approx(-feature(image, "blue above"), abs=1e-6)
    assert feature(swapped, "warm") == pytest.approx(feature(image, "cold"), abs=1e-6)
    assert feature(swapped, "red") == pytest.approx(feature(image, "blue"), abs=1e-6)
    colours, mirrored = measure(image).colours, measure(swapped).colours
    np.testing.assert_array_equal(mirrored, colours.transpose(0, 1, 3, 2))
    assert float((colours**2).sum()) == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(3, 12))
def test_noise_is_measured_where_nothing_else_is(seed: int, sigma: float) -> None:
    image = 128 + np.random.default_rng(seed).normal(0, sigma, (300, 640, 3))
    found = 2 ** feature(np.round(image).astype(np.uint8), "noise") - 0.5
    assert found == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_full_scale_of_sixteen_bits_is_that_of_the_bits_in_use(bits: int, white: int) -> None:
    image = np.full((10, 10, 3), 2 ** (bits - 1), np.uint16)
    assert full_scale(image) == white
    assert full_scale(np.zeros((10, 10, 3), np.uint8)) == 255


def test_sixteen_bits_are_measured_as_eight_are() -> None:
    image = street(5)
    deep = image.astype(np.uint16) * 16
    np.testing.assert_allclose(measure(deep, 255 * 16).values, measure(image).values, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 20), (720, 1280)])
def test_any_size_gives_finite_numbers(size: tuple[int, int]) -> None:
    for image in (np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)):
        assert np.isfinite(measure(image).values).all()


def test_quantiles_of_the_combined_are_of_frames_that_nothing_was_learned_of() -> None:
    """A frame that only itself resembles is as far from the others as one that was never seen."""
    frames = [measure(street(seed)) for seed in range(20)]
    odd = measure(np.random.default_rng(0).integers(0, 255, (120, 200, 3), np.uint8))
    with_it = statistics_of([*frames, odd], "made")
    alone = statistics_of(frames, "made")
    assert with_it.quantile("together", 1.0) > 2 * alone.quantile("together", 1.0)


def test_the_document_is_what_was_written(reference: InputStatistics) -> None:
    again = InputStatistics.model_validate_json(reference.model_dump_json())
    assert again == reference
    measured = measure(street(7))
    np.testing.assert_array_equal(again.row(measured), reference.row(measured))
    assert len(reference.model_dump_json()) < 16_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("levels", (0.1, 1.0)),
        ("levels", (0.0, 0.5, 0.5, 1.0)),
        ("quantiles", {}),
        ("colours", "AAAA"),
        ("frames", 1),
        ("other", 1),
    ],
)
def test_a_damaged_document_is_refused(reference: InputStatistics, key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        InputStatistics.model_validate(reference.model_dump() | {key: value})


def test_quantiles_that_fall_are_refused(reference: InputStatistics) -> None:
    document = reference.model_dump()
    document["quantiles"]["sky"] = tuple(reversed(document["quantiles"]["sky"]))
    with pytest.raises(ValidationError, match="quantiles of 'sky'"):
        InputStatistics.model_validate(document)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(DataError, match="at least 8 are needed"):
        statistics_of([measure(street(0))] * (LEAST_FRAMES - 1), "made")


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 3), st.floats(0, 3))
def test_edges_widen_with_the_factor_and_hold_the_range(one: float, other: float) -> None:
    reference = ONE_FRAME
    for name, judged in JUDGED.items():
        (low, high), (wider_low, wider_high) = (reference.edges(name, f) for f in sorted((one, other)))
        assert wider_low <= low <= high <= wider_high
        if judged.sides != "low":
            span = max(reference.quantile(name, 0.99) - reference.quantile(name, 0.01), judged.width)
            assert wider_high - high == pytest.approx(abs(one - other) * judged.margin * span, abs=1e-9)
        assert (low == -np.inf) == (judged.sides == "high")
        assert (high == np.inf) == (judged.sides == "low")
        assert judged.width > 0


ONE_FRAME = statistics_of([measure(street(0))] * LEAST_FRAMES, "made")


def test_a_reference_of_one_frame_allows_the_least_width() -> None:
    low, high = ONE_FRAME.edges("brightness")
    assert high - low == pytest.approx(2 * FEATURES["brightness"].margin * FEATURES["brightness"].width, rel=1e-4)


def test_the_distance_together_is_that_of_mahalanobis() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(len(FEATURES), len(FEATURES)))
    colours = measure(street(0)).colours
    frames = [Measured(40 * mixing @ rng.normal(size=len(FEATURES)), colours) for _ in range(4000)]
    found = statistics_of(frames, "made").joint
    covariance = np.cov(np.array([m.values for m in frames]).T)
    precision = np.linalg.inv(covariance)
    near, far = (np.array([np.sqrt(m.values @ precision @ m.values) for m in frames[:200]]),
                 np.array([found.distance(m.values) for m in frames[:200]]))  # fmt: skip
    assert np.corrcoef(near, far)[0, 1] > 0.6  # shrinking keeps it from being the same


def test_names_are_told_apart() -> None:
    assert not set(FEATURES) & set(COMBINED)
    assert all(name == name.lower() and each.description for name, each in JUDGED.items())
    assert all(a != b for a, b in itertools.combinations([each.description for each in JUDGED.values()], 2))
