"""Suppression equals its definition, written here one pair at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.tensors import Array
from edgekit.tasks._nms import suppress


def candidates(seed: int, count: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 60, (count, 2)).astype(float) - 20
    boxes = np.concatenate([corners, corners + rng.integers(5, 50, (count, 2))], axis=1)
    scores = -np.sort(-rng.choice(np.linspace(0.05, 1, 30), count)).astype(np.float32)
    return boxes, scores, rng.integers(0, 3, count)


def run(boxes: Any, scores: Any, labels: Any, mode: str, **options: Any) -> tuple[list[int], list[float]]:
    settings = {"iou": 0.5, "sigma": 0.5, "least": 0.01, "most": 100} | options
    arrays = np.array(boxes, float), np.array(scores, np.float32), np.array(labels, np.int64)
    kept, left = suppress(*arrays, mode, **settings)
    return kept.tolist(), left.tolist()


def overlap(a: Array, b: Array) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return float(width * height / union)


def greedy(boxes: Array, labels: Array, iou: float, aware: bool) -> list[int]:
    kept: list[int] = []
    for i in range(len(boxes)):
        rivals = (j for j in kept if not aware or labels[i] == labels[j])
        if all(overlap(boxes[i], boxes[j]) <= iou for j in rivals):
            kept.append(i)
    return kept


def soft(boxes: Array, scores: Array, labels: Array, iou: float | None, sigma: float, least: float) -> dict[int, float]:
    """Bodla et al., figure 2."""
    remaining = {i: float(score) for i, score in enumerate(scores)}
    kept: dict[int, float] = {}
    while remaining:
        best = max(remaining, key=lambda i: remaining[i])
        if remaining[best] < least:
            break
        kept[best] = remaining.pop(best)
        for i in remaining:
            if labels[i] == labels[best]:
                shared = overlap(boxes[best], boxes[i])
                factor = np.exp(-shared * shared / sigma) if iou is None else (1 - shared if shared > iou else 1)
                remaining[i] *= factor
    return kept


class TestGreedy:
    # Half is exact in binary; no overlap of these whole-numbered boxes comes within rounding of the others.
    @settings(deadline=None, max_examples=80)
    @given(st.integers(0, 2**32 - 1), st.integers(0, 150), st.sampled_from([0.1**0.5, 0.5, 0.42**0.5]))
    def test_is_its_definition(self, seed: int, count: int, iou: float) -> None:
        boxes, scores, labels = candidates(seed, count)
        for mode in ("class-aware", "class-agnostic"):
            kept, left = run(boxes, scores, labels, mode, iou=iou, most=1000)
            assert kept == greedy(boxes, labels, iou, mode == "class-aware")
            assert left == scores[kept].tolist()

    @pytest.mark.parametrize("most", [1, 7, 40])
    def test_ends_when_enough_are_found(self, most: int) -> None:
        boxes, scores, labels = candidates(5, 300)
        everything, _ = run(boxes, scores, labels, "class-aware", most=1000)
        assert len(everything) > 40
        assert run(boxes, scores, labels, "class-aware", most=most)[0] == everything[:most]

    def test_an_overlap_of_the_limit_is_kept(self) -> None:
        boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 6]]  # overlaps with the first: 0.5 and 0.6
        assert run(boxes, [0.9, 0.8, 0.7], [0, 0, 0], "class-aware", iou=0.5)[0] == [0, 1]

    def test_one_object_of_two_classes(self) -> None:
        boxes, scores = [[0, 0, 10, 10]] * 2, [0.9, 0.8]
        assert run(boxes, scores, [0, 1], "class-aware")[0] == [0, 1]
        assert run(boxes, scores, [0, 1], "class-agnostic")[0] == [0]

    def test_far_boxes_of_many_classes_stay_exact(self) -> None:
        boxes = [[-1e6, -1e6, 1e6, 1e6], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.3]]
        assert run(boxes, [0.9, 0.8, 0.7], [0, 4000, 4000], "class-aware", iou=0.5)[0] == [0, 1]


class TestSoft:
    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.sampled_from([0.0, 0.05]))
    @pytest.mark.parametrize("mode", ["soft-linear", "soft-gaussian"])
    def test_is_its_definition(self, mode: str, seed: int, count: int, least: float) -> None:
        boxes, scores, labels = candidates(seed, count)
        scores = scores * np.linspace(1, 0.9, count, dtype=np.float32)  # no ties: their order is not defined
        kept, left = run(boxes, scores, labels, mode, least=least, iou=0.35, sigma=0.4)
        expected = soft(boxes, scores, labels, None if mode == "soft-gaussian" else 0.35, 0.4, least)
        found = dict(zip(kept, left, strict=True))
        assert len(found) == len(kept)
        assert found == pytest.approx(expected, abs=1e-6)
        assert left == sorted(left, reverse=True)

    def test_equal_boxes_by_hand(self) -> None:
        boxes, scores, labels = [[0, 0, 10, 10]] * 2, [0.9, 0.8], [0, 0]
        assert run(boxes, scores, labels, "soft-linear") == ([0], pytest.approx([0.9]))
        kept, left = run(boxes, scores, labels, "soft-gaussian", sigma=0.5)
        assert kept == [0, 1]
        assert left == pytest.approx([0.9, 0.8 * np.exp(-2)])

    def test_a_score_of_nothing_comes_once(self) -> None:
        kept, left = run([[0, 0, 10, 10]] * 3, [0.9, 0.8, 0.7], [0, 0, 0], "soft-linear", least=0.0)
        assert sorted(kept) == [0, 1, 2]
        assert left == pytest.approx([0.9, 0, 0])


class TestAll:
    modes = pytest.mark.parametrize("mode", ["class-aware", "class-agnostic", "soft-linear", "soft-gaussian", "none"])

    @modes
    def test_nothing(self, mode: str) -> None:
        assert run(np.empty((0, 4)), [], [], mode) == ([], [])

    @modes
    def test_arguments_stay_as_they_are(self, mode: str) -> None:
        given_ = candidates(1, 20)
        before = [array.copy() for array in given_]
        suppress(*given_, mode, iou=0.5, sigma=0.5, least=0.01, most=10)
        for array, kept in zip(given_, before, strict=True):
            np.testing.assert_array_equal(array, kept)

    def test_none_keeps_the_surest(self) -> None:
        boxes = [[0, 0, 10, 10]] * 3
        assert run(boxes, [0.9, 0.8, 0.7], [0, 0, 0], "none", most=2)[0] == [0, 1]
