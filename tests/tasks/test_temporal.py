"""What changed between two frames, against values counted by hand or in another way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgekit.core.errors import DataError
from edgekit.core.predictions import ClassScores, Detections, LabelMap, Objects
from edgekit.core.tensors import Array
from edgekit.tasks._temporal import changed_boxes, changed_class, changed_objects, matches
from edgekit.tasks.segmentation import Config

Box = tuple[float, float, float, float]


def detections(*boxes: Box, labels: list[int] | None = None, scores: list[float] | None = None) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.array(scores or [0.9] * count, np.float32),
        np.array(labels or [0] * count, np.int64),
    )


def objects(*boxes: Box, labels: list[int] | None = None, crowd: list[bool] | None = None) -> Objects:
    found = detections(*boxes, labels=labels)
    marks = np.array(crowd or [False] * len(boxes), bool)
    return Objects(found.boxes, found.labels, marks, np.ones(len(boxes), np.float32))


A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 60, 20)
A_NEAR, A_FAR = (2, 0, 12, 10), (4, 0, 14, 10)  # IoU 8/12 and 6/14


class TestBoxes:
    @pytest.mark.parametrize(
        ("before", "after", "share"),
        [
            (detections(), detections(), 0),
            (detections(A, B), detections(B, A), 0),
            (detections(A), detections(A_NEAR), 0),
            (detections(A), detections(A_FAR), 1),
            (detections(A, B), detections(A), 1 / 3),
            (detections(A), detections(), 1),
            (detections(A), detections(A, labels=[1]), 1),
            (detections(A, B), detections(A, B, labels=[0, 1]), 1 / 2),
            (detections(A, A), detections(A), 1 / 3),  # each box once
        ],
    )
    def test_by_hand(self, before: Detections, after: Detections, share: float) -> None:
        assert changed_boxes(before, after, score=0.3) == pytest.approx(share)
        assert changed_boxes(after, before, score=0.3) == pytest.approx(share)

    def test_only_confident_boxes_count(self) -> None:
        before, after = detections(A, B, scores=[0.9, 0.31]), detections(A, B, scores=[0.9, 0.29])
        assert changed_boxes(before, after, score=0.3) == pytest.approx(1 / 3)
        assert changed_boxes(before, after, score=0.2) == 0
        assert changed_boxes(before, after, score=0.95) == 0

    def test_the_highest_overlap_goes_first(self) -> None:
        assert matches(detections(A_NEAR, A), detections(A)) == [(1, 0)]

    def test_a_box_without_area_matches_nothing(self) -> None:
        assert matches(detections((5, 5, 5, 9)), detections((5, 5, 5, 9))) == []

    @settings(deadline=None, max_examples=150)
    @given(st.data())
    def test_greedy_pairs_are_valid_and_near_the_best_assignment(self, data: st.DataObject) -> None:
        corner = st.integers(0, 8)
        boxes = st.lists(st.tuples(corner, corner, st.integers(1, 6), st.integers(1, 6)), max_size=4)
        first, second = (
            detections(*((x, y, x + w, y + h) for x, y, w, h in found), labels=[i % 2 for i in range(len(found))])
            for found in (data.draw(boxes), data.draw(boxes))
        )
        pairs = matches(first, second)
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
        allowed = {
            (i, j)
            for i, j in itertools.product(range(len(first)), range(len(second)))
            if first.labels[i] == second.labels[j] and plain_iou(first.boxes[i], second.boxes[j]) >= 0.5
        }
        assert set(pairs) <= allowed
        assert not any(all(i != p and j != q for p, q in pairs) for i, j in allowed)  # no pair is left to make
        change = changed_boxes(first, second, score=0.3)
        assert 0 <= change <= 1
        assert changed_boxes(first, first, score=0.3) == 0


def plain_iou(a: Array, b: Array) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = float(max(width, 0) * max(height, 0))
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return shared / (sum(areas) - shared)


class TestObjects:
    @pytest.mark.parametrize(
        ("before", "after", "share"),
        [
            (detections(A, B), detections(A, B), 0),
            (detections(), detections(), 0),  # missed twice is wrong, and does not flicker
            (detections(A, B), detections(A), 1 / 2),
            (detections(A), detections(B), 1),
            (detections(A, B), detections(A, B, C), 0),  # C is no object that stayed
            (detections(A, B), detections(A, B, labels=[0, 1]), 1 / 2),
        ],
    )
    def test_by_hand(self, before: Detections, after: Detections, share: float) -> None:
        truth = objects(A, B)
        assert changed_objects(before, after, truth, truth, score=0.3) == pytest.approx(share)

    def test_objects_that_move_are_followed(self) -> None:
        """The box moves with its object, so that nothing flickers, whatever the boxes do."""
        found = changed_objects(detections(A), detections(A_NEAR), objects(A), objects(A_NEAR), score=0.3)
        assert found == 0

    def test_objects_that_come_and_go_count_nowhere(self) -> None:
        found = changed_objects(detections(A, B), detections(A, C), objects(A, B), objects(A, C), score=0.3)
        assert found == 0
        assert changed_objects(detections(A), detections(C), objects(A), objects(C), score=0.3) is None

    def test_crowds_count_nowhere(self) -> None:
        truth = objects(A, B, crowd=[False, True])
        assert changed_objects(detections(A, B), detections(A), truth, truth, score=0.3) == 0


def test_the_top_class() -> None:
    first, same, other = (ClassScores(np.array(p, np.float32)) for p in ([0.6, 0.4], [0.9, 0.1], [0.4, 0.6]))
    assert [changed_class(first, same), changed_class(first, other)] == [0.0, 1.0]


def task(ignore_index: int | None = None) -> Any:
    return Config(output="logits", classes=("road", "car", "sky"), ignore_index=ignore_index).create()


def frame(labels: Any, truth: Any) -> tuple[LabelMap, Array]:
    return LabelMap(np.array(labels, np.uint8)), np.array(truth, np.uint8)


class TestSegmentation:
    def test_by_hand(self) -> None:
        before = frame([[0, 0, 1, 1]], [[0, 0, 1, 1]])
        after = frame([[0, 1, 1, 2]], [[0, 0, 0, 1]])
        # Two of four pixels changed; of the three whose true class stayed, the second and the last.
        assert task().flicker(before, after) == {"flicker": 1 / 2, "flicker_excess": pytest.approx(2 / 3)}

    def test_a_right_prediction_of_a_moving_scene_has_no_excess(self) -> None:
        truth = np.random.default_rng(0).integers(0, 3, (2, 6, 8)).astype(np.uint8)
        found = task().flicker(*(frame(t, t) for t in truth))
        assert found["flicker_excess"] == 0
        assert found["flicker"] == pytest.approx((truth[0] != truth[1]).mean())

    def test_void_is_left_out_of_the_excess(self) -> None:
        before, after = frame([[0, 0, 0]], [[9, 9, 0]]), frame([[1, 1, 0]], [[9, 0, 0]])
        assert task(9).flicker(before, after) == {"flicker": pytest.approx(2 / 3), "flicker_excess": 0}

    def test_nothing_stayed(self) -> None:
        before, after = frame([[0]], [[0]]), frame([[0]], [[1]])
        assert task().flicker(before, after) == {"flicker": 0}

    @settings(deadline=None, max_examples=80)
    @given(npst.arrays(np.uint8, (4, 3, 5), elements=st.integers(0, 2)))
    def test_pixel_by_pixel(self, planes: Array) -> None:
        before, after, true_before, true_after = planes
        stayed = [i for i in np.ndindex(3, 5) if true_before[i] == true_after[i]]
        found = task().flicker(frame(before, true_before), frame(after, true_after))
        assert found["flicker"] == pytest.approx(sum(before[i] != after[i] for i in np.ndindex(3, 5)) / 15)
        if stayed:
            expected = sum(before[i] != after[i] for i in stayed) / len(stayed)
            assert found["flicker_excess"] == pytest.approx(expected)
        else:
            assert "flicker_excess" not in found

    def test_sizes_must_agree(self) -> None:
        with pytest.raises(DataError, match=r"frames of one sequence are \[1, 1\] and \[1, 2\] \(height, width\)"):
            task().change(frame([[0]], [[0]])[0], frame([[0, 0]], [[0, 0]])[0])
