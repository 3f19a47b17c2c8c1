"""Pictures of detections and of their truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.core.predictions import Detections, Objects
from tests.support.detectors import task


def found(boxes: Any, scores: Any, labels: Any) -> Detections:
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels, np.int64))


def test_finds_nothing_where_no_box_reaches_the_confidence() -> None:
    made = task(family="yolox", confidence=0.5)
    assert made.finds_nothing(found([[20, 40, 60, 90]], [0.4], [0]))
    assert made.finds_nothing(found(np.zeros((0, 4)), [], []))
    assert not made.finds_nothing(found([[20, 40, 60, 90]], [0.5], [0]))


class TestDraw:
    image = np.full((100, 200, 3), 90, np.uint8)
    truth = Objects(
        np.array([[100, 40, 150, 90]], np.float32), np.array([1]), np.zeros(1, bool), np.ones(1, np.float32)
    )

    def test_only_confident_ones(self) -> None:
        made = task(family="yolox", confidence=0.5)
        picture = made.draw(self.image, found([[20, 40, 60, 90], [100, 40, 150, 90]], [0.6, 0.4], [0, 1]))
        assert picture.shape == self.image.shape  # labels are on the boxes: no legend
        assert (picture[89, 40] != 90).any()
        assert (picture[:, 90:] == 90).all()

    def test_truth_stands_on_the_right(self) -> None:
        picture = task(family="yolox").draw(self.image, found([[20, 40, 60, 90]], [0.6], [0]), self.truth)
        left, right = picture[-100:, :200], picture[-100:, -200:]
        assert picture.shape[1] == 404
        assert (left[89, 40] != 90).any()
        assert (left[:, 90:] == 90).all()
        assert (right[89, 120] != 90).any()
        assert (right[:, :90] == 90).all()

    @pytest.mark.parametrize(
        ("boxes", "labels", "message"),
        [
            ([[0, 0, 300, 50]], [0], r"a box reaches to \[0\.0, 0\.0, 300\.0, 50\.0\]; the image is 200x100"),
            ([[0, -20, 30, 50]], [0], "it belongs to another one"),
            ([[0, 0, 30, 50]], [3], r"a class outside 0\.\.2"),
        ],
    )
    def test_what_does_not_belong(self, boxes: Any, labels: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            task(family="yolox").draw(self.image, found(boxes, [0.9], labels))

    def test_truth_of_another_kind(self) -> None:
        with pytest.raises(DataError, match="truth is ndarray; expected objects"):
            task(family="yolox").draw(self.image, found([[0, 0, 9, 9]], [0.9], [0]), np.zeros((100, 200), np.uint8))

    def test_more_classes_than_colours(self) -> None:
        made = task(family="yolox", classes=[f"c{i}" for i in range(300)])
        assert made.draw(self.image, found([[20, 40, 60, 90]], [0.6], [299])).shape == self.image.shape
