"""Soft labels come back as they were, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import DataError
from edgekit.distill._codec import DEPTH, SCORE_STEPS, Coding, log_softmax


def scores(seed: int, *shape: int, spread: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest distance of logarithms of probabilities, in steps."""
    return float(np.abs(np.sqrt(-found / DEPTH) - np.sqrt(np.maximum(-wanted, 0) / DEPTH)).max() * SCORE_STEPS)


@given(st.integers(0, 999), st.integers(2, 12), st.integers(1, 6), st.integers(1, 6))
def test_scores_are_half_a_step_away(seed: int, classes: int, height: int, width: int) -> None:
    output = scores(seed, classes, height, width)
    coding = Coding(output.shape, scores=True)
    found = coding.unpacked(coding.packed(output))
    wanted = np.maximum(log_softmax(output.astype(np.float64)), -DEPTH)
    assert off(found, wanted) <= 0.5 + 1e-4


@given(st.integers(0, 999), st.integers(3, 300), st.integers(1, 3))
def test_the_best_classes_stay_and_the_rest_is_shared(seed: int, classes: int, top: int) -> None:
    output = scores(seed, classes)
    coding = Coding(output.shape, scores=True, top=min(top, classes - 1))
    found = coding.unpacked(coding.packed(output))
    wanted = log_softmax(output.astype(np.float64))
    best = np.argsort(-wanted)[: coding.kept]
    assert off(found[best], np.maximum(wanted[best], -DEPTH)) <= 0.5 + 1e-4
    rest = np.delete(found, best)
    assert np.ptp(rest) < 1e-6
    assert np.exp(found).sum() == pytest.approx(1, abs=0.3)


@given(st.integers(0, 99), st.integers(2, 4), st.integers(1, 9), st.integers(1, 9))
def test_dense_scores_are_the_mean_probability_of_neighbours(seed: int, stride: int, height: int, width: int) -> None:
    output = scores(seed, 3, height, width, spread=1.0)
    coding = Coding(output.shape, scores=True, stride=stride)
    found = coding.unpacked(coding.packed(output))
    assert found.shape == (3, -(-height // stride), -(-width // stride))
    inside = np.exp(log_softmax(output[:, :stride, :stride].astype(np.float64)))
    if height >= stride and width >= stride:
        assert off(found[:, 0, 0], np.log(inside.mean((1, 2)))) <= 0.5 + 1e-4


@given(st.integers(0, 999), st.sampled_from([(7,), (40, 6), (4, 5, 6), (2, 3, 4, 5)]))
def test_values_are_half_a_step_of_their_channel_away(seed: int, shape: tuple[int, ...]) -> None:
    output = scores(seed, *shape) * 100
    coding = Coding(shape, scores=False)
    found = coding.unpacked(coding.packed(output))
    axis = {1: None, 2: 0, 3: (1, 2), 4: (1, 2, 3)}[len(shape)]
    span = np.ptp(output, axis=axis, keepdims=True)
    assert (np.abs(found - output) <= span / 255 / 2 + 1e-4).all()


def test_what_is_kept_is_small() -> None:
    """A street of 12 classes: sure in its areas, unsure at their borders."""
    y, x = np.mgrid[:90, :120]
    output = np.stack([-(((x - 10 * i) / 12) ** 2) - ((y - 7 * i) / 20) ** 2 for i in range(12)]).astype(np.float32)
    assert len(Coding(output.shape, scores=True).packed(output)) < 0.08 * output.nbytes
    assert len(Coding(output.shape, scores=True, stride=2).packed(output)) < 0.03 * output.nbytes


def test_a_constant_output() -> None:
    coding = Coding((2, 3, 3), scores=False)
    np.testing.assert_allclose(coding.unpacked(coding.packed(np.full((2, 3, 3), 5, np.float32))), 5)


def test_damaged_bytes() -> None:
    coding = Coding((2, 3, 3), scores=True)
    for content in (b"no lzma", coding.packed(np.zeros((2, 3, 3), np.float32))[:-4], Coding((2,), True).packed(
        np.zeros(2, np.float32))):  # fmt: skip
        with pytest.raises(DataError, match="soft labels are damaged"):
            coding.unpacked(content)
