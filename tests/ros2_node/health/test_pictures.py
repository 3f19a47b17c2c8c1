"""What pictures and outputs say: faults of the camera, and outputs that cannot be true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.core.predictions import ClassScores, Detections, Embedding, LabelMap, Values
from edgekit.ros2_node.health import Level, Limits
from tests.ros2_node.health.driving import Node, blurred, picture


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        (lambda image: np.full_like(image, 128), Level.ERROR, "covered"),
        (lambda image: image // 64, Level.ERROR, "dark"),
        (lambda image: np.maximum(image, 251), Level.WARN, "saturated"),
        (blurred, Level.WARN, "out of focus"),
    ],
)
def test_camera_faults_are_named_and_end(changed: Any, level: Level, words: str) -> None:
    node = Node(Limits(frozen_s=60, exposure_factor=100))
    node.run(1)
    assert node.level("camera") == Level.OK, node.status("camera").message
    node.run(1, image=lambda: changed(picture(node.number)))
    status = node.status("camera")
    assert status.level >= level
    assert words in status.message
    node.run(1.5)
    assert node.level("camera") == Level.OK


def test_a_dark_picture_is_told_once() -> None:
    node = Node()
    node.run(1, image=lambda: picture(node.number) // 64)
    assert node.status("camera").message == "The picture is dark."


def test_the_same_picture_repeated_is_an_error_and_the_next_other_one_ends_it() -> None:
    node = Node()
    node.run(1)
    still = picture(node.number)
    node.run(0.9, image=still)
    assert node.level("camera") == Level.OK
    node.run(0.4, image=still)
    assert node.level("camera") == Level.ERROR
    assert "repeated" in node.status("camera").message
    node.run(0.1)
    assert node.level("camera") == Level.OK


def test_pictures_that_stop_coming_are_not_repeated() -> None:
    node = Node()
    node.run(1)
    node.run(0.5, image=picture(node.number))
    node.step(10)
    assert node.level("camera") == Level.OK
    assert node.level("input rate") == Level.ERROR


@pytest.mark.parametrize("light", [0.4, 1.3])
def test_a_jump_of_exposure_is_told_once_for_a_while(light: float) -> None:
    node = Node(Limits(exposure_factor=1.25))
    node.run(1)
    node.run(0.1, image=lambda: picture(node.number, light))
    assert "exposure jumped" in node.status("camera").message
    node.run(1.5, image=lambda: picture(node.number, light))
    assert node.level("camera") == Level.OK


def test_sixteen_bits_of_which_twelve_are_used_are_not_dark() -> None:
    node = Node()
    node.run(2, image=lambda: picture(node.number).astype(np.uint16) * 16)
    assert node.level("camera") == Level.OK, node.status("camera").message


def boxes(count: int, score: float = 0.5) -> Detections:
    scores = np.full(count, score, np.float32)
    return Detections(np.zeros((count, 4), np.float32), scores, np.zeros(count, np.int64))


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (boxes(0), "Nothing was found for 3 s."),
        (boxes(2, 1.0), "Every score is at its end for 2 s."),
        (ClassScores(np.array([1, 0], np.float32)), "Every score is at its end for 2 s."),
        (LabelMap(np.zeros((80, 80), np.uint8)), "One class fills the mask for 2 s."),
        ({"boxes": boxes(0)}, "Nothing was found for 3 s."),
        ({"front": {"boxes": boxes(0)}}, "Nothing was found for 3 s."),
    ],
)
def test_outputs_that_say_nothing_for_long_warn(prediction: Any, message: str) -> None:
    node = Node(Limits(empty_s=3, saturated_s=2))
    node.run(1.5, prediction=prediction)
    assert node.level("output") == Level.OK
    node.run(2, prediction=prediction)
    assert (node.level("output"), node.status("output").message) == (Level.WARN, message)
    node.run(1.5, prediction=boxes(1))
    assert node.level("output") == Level.OK


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (ClassScores(np.array([np.nan, 0], np.float32)), "Class scores hold NaN or infinity."),
        (Embedding(np.zeros(4, np.float32)), "The embedding is zero."),
        (Values(("speed",), np.array([np.inf])), "Values hold NaN or infinity."),
    ],
)
def test_predictions_that_cannot_be_true_are_errors_at_once(prediction: Any, message: str) -> None:
    node = Node()
    node.run(0.1, prediction=prediction)
    assert (node.level("output"), node.status("output").message) == (Level.ERROR, message)
    node.run(1.2)
    assert node.level("output") == Level.OK


@pytest.mark.parametrize("place", [0, 123_457, 999_999])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_wrong_number_of_a_million_is_found_within_some_frames(place: int, value: float) -> None:
    node = Node()
    output = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    output[place] = value
    node.run(0.4, outputs={"logits": output})
    assert node.status("output").message == "Output 'logits' holds NaN or infinity."


def test_outputs_that_stay_while_the_input_changes_are_an_error() -> None:
    node = Node()
    output = np.arange(8, dtype=np.float32)
    node.run(0.8, outputs={"logits": output})
    assert node.level("output") == Level.OK
    node.run(0.5, outputs={"logits": output})
    assert "stay the same" in node.status("output").message
    node.run(1.2, outputs=lambda: {"logits": output + node.number})
    assert node.level("output") == Level.OK


def test_a_still_picture_may_have_still_outputs_and_a_constant_output_says_nothing() -> None:
    node = Node(Limits(frozen_s=60))
    node.run(3, outputs={"logits": np.arange(8, dtype=np.float32)}, image=picture())
    assert node.level("output") == Level.OK
    node.run(3, outputs={"boxes": np.zeros(8, np.float32), "count": np.zeros(1, np.int64)})
    assert node.level("output") == Level.OK
