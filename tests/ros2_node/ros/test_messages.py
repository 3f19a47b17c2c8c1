"""Predictions as messages: topics, types and what cannot be one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from edgekit.core.errors import SpecError
from edgekit.core.predictions import Embedding, LabelMap, Tensors, Values
from edgekit.ros2_node.ros.messages import message_of, message_type, parts_of
from tests.support.ros import pixels_of


def test_topics_of_several_tasks_and_plain_tensors():
    mask = LabelMap(np.zeros((2, 3), np.uint8))
    found = parts_of({"drivable area": mask, "rest": Tensors({"0.heat": np.zeros((1, 2, 3), np.float32)})})
    assert [name for name, _ in found] == ["drivable_area/mask", "rest/_0_heat"]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Embedding(np.array([0.5, -1.0], np.float32)), [[0.5, -1.0]]),
        (Values(("yaw", "pitch"), np.array([10.0, 20.0])), [[10.0, 20.0]]),
        (np.arange(6, dtype=np.int64).reshape(1, 2, 3), [[0, 1, 2], [3, 4, 5]]),
        (np.float32(7), [[7]]),
    ],
)
def test_vectors_are_rows_of_an_image(part, expected):
    assert message_type(part) is Image
    message = message_of(part, Header(frame_id="eye"), (), 0.0)
    assert message.header.frame_id == "eye"
    np.testing.assert_array_equal(pixels_of(message), expected)


def test_a_prediction_of_another_package_is_refused_by_name():
    class Lanes:
        pass

    with pytest.raises(SpecError, match="no message is known for a prediction of Lanes; give the task one of LabelMap"):
        list(parts_of({"road": Lanes()}))
