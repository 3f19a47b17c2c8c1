"""Dense class scores of many classes are kept in the way that takes the fewest bytes at no more error."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import DataError
from edgekit.distill._codec import Coding, log_softmax
from edgekit.distill._compact import chosen, eligible, error
from edgekit.distill._factors import factored, unfactored


def head(classes: int, width: int, seed: int = 0, bias: float = 0.0) -> np.ndarray:
    """Scores of a network whose last layer leads from ``width`` smooth maps to the classes."""
    rng = np.random.default_rng(seed)
    maps = np.stack([cv2.GaussianBlur(rng.normal(size=(24, 32)).astype(np.float32), (0, 0), 3) for _ in range(width)])
    weights = rng.normal(size=(classes, width)) * 4 / np.sqrt(width)
    scores = np.tensordot(weights, maps / maps.std(), 1) + bias * rng.normal(size=(classes, 1, 1))
    return np.asarray(scores, np.float32)


@given(st.integers(0, 99), st.integers(2, 9), st.integers(1, 3))
def test_few_maps_give_back_what_was_made_of_them(seed: int, classes: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    made = np.tensordot(rng.normal(size=(classes, rank)), rng.normal(size=(rank, 4, 5)), 1)
    scores = made + rng.normal(size=(classes, 1, 1)) + rng.normal(size=(1, 4, 5)) * 100
    found = unfactored(factored(scores, min(rank, classes), 255), scores.shape, min(rank, classes))
    span = np.ptp(made) * np.sqrt(classes)
    np.testing.assert_allclose(log_softmax(found), log_softmax(scores), atol=2e-2 * span + 1e-6)


def test_a_narrow_head_is_kept_as_few_maps() -> None:
    outputs = [head(48, 5, seed, bias=2) for seed in (0, 0)]
    coding, tried = chosen(Coding(outputs[0].shape, scores=True), outputs)
    plain, best = tried[0], min(tried, key=lambda one: one.share)
    assert (coding.rank, coding) == (8, best.coding)
    assert best.share < 0.5 * plain.share
    assert all(best.error[key] <= plain.error[key] for key in ("divergence", "other_class"))
    assert (plain.coding.words, best.coding.words) == ("all classes", f"8 maps of {coding.levels} steps")
    # What is measured is what comes back.
    found = coding.unpacked(coding.packed(outputs[0]))
    assert error(found, outputs[0])["divergence"] == pytest.approx(best.error["divergence"], rel=1e-3)


def test_of_classes_that_are_all_their_own_no_maps_are_taken() -> None:
    """Each class where no other is: no map stands for two of them."""
    scores = np.full((16, 4, 4), -9.0, np.float32)
    for one in range(16):
        scores[one, one // 4, one % 4] = 3
    coding, tried = chosen(Coding(scores.shape, scores=True), [scores])
    assert coding.rank is None
    assert all(one.share >= tried[0].share for one in tried if one.coding.rank is not None)


def test_the_best_classes_alone_where_the_others_hardly_count() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (300, 8, 8)).astype(np.float32)
    np.put_along_axis(scores, rng.integers(0, 300, (1, 8, 8)), 20.0, 0)
    coding, tried = chosen(Coding(scores.shape, scores=True), [scores])
    assert coding.top == 1
    assert tried[1].coding == coding
    assert tried[1].share < tried[0].share


def test_neighbouring_places_become_one_first() -> None:
    output = head(32, 4)
    coding = Coding(output.shape, scores=True, stride=2, rank=8)
    found = coding.unpacked(coding.packed(output))
    assert found.shape == (32, 12, 16)
    assert error(found, coding.target(output))["divergence"] < 0.05


@pytest.mark.parametrize(
    ("coding", "open_to"),
    [
        (Coding((16, 4, 4), True), True),
        (Coding((15, 4, 4), True), False),
        (Coding((16, 4, 4), False), False),
        (Coding((16,), True), False),
        (Coding((16, 4, 4), True, top=3), False),
    ],
)
def test_what_there_is_a_choice_for(coding: Coding, open_to: bool) -> None:
    assert eligible(coding) is open_to


def test_damaged_maps() -> None:
    coding = Coding((16, 4, 4), scores=True, rank=2)
    for other in (Coding((16, 4, 4), scores=True, rank=3), Coding((2,), scores=True)):
        with pytest.raises(DataError, match="soft labels are damaged"):
            coding.unpacked(other.packed(np.zeros(other.shape, np.float32)))
