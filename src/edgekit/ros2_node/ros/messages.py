"""Messages to what the node works on, and its predictions to messages."""

from __future__ import annotations

import array
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from edgekit.core.errors import SpecError
from edgekit.core.pixels import RawImage, decompress, to_rgb
from edgekit.core.predictions import ClassScores, Detections, Embedding, LabelMap, Tensors, Values
from edgekit.core.tensors import Array
from edgekit.ros2_node.frame import Frame
from edgekit.ros2_node.rectify import CameraModel

NAMES = {
    LabelMap: "mask",
    Detections: "detections",
    ClassScores: "classification",
    Embedding: "embedding",
    Values: "values",
}
"""The topic of each kind of prediction below ``~/output``."""


def stamp_of(header: Header) -> float:
    """Seconds of a header's stamp."""
    return float(header.stamp.sec + header.stamp.nanosec * 1e-9)


def now_s(node: Node) -> float:
    """Seconds of a node's clock, which follows /clock when ``use_sim_time`` is set."""
    return float(node.get_clock().now().nanoseconds * 1e-9)


def frame_of(message: Image | CompressedImage, camera: str, received_s: float) -> Frame:
    """A frame whose pixels are read when they are asked for, on another thread."""
    read = partial(decompress, message.data) if isinstance(message, CompressedImage) else partial(_rgb, message)
    return Frame(camera, read, stamp_of(message.header), received_s, message.header)


def _rgb(message: Image) -> Array:
    size = (message.height, message.width, message.encoding, message.step)
    return to_rgb(RawImage(*size, message.data, bool(message.is_bigendian)))


def camera_model(message: CameraInfo) -> CameraModel:
    """The calibration in a message."""
    matrices = (tuple(map(float, values)) for values in (message.d, message.k, message.r, message.p))
    return CameraModel(message.height, message.width, message.distortion_model, *matrices)


def image_message(pixels: Array, encoding: str, header: Header) -> Image:
    """An image of ``(H, W)`` or ``(H, W, C)``; one copy."""
    message = Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step = pixels.shape[1] * pixels.itemsize * (pixels.shape[2] if pixels.ndim == 3 else 1)
    message.is_bigendian = 0
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).view(np.uint8).data)
    message.data = data  # an array is taken as it is; a list would be checked number by number
    return message


def parts_of(prediction: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each single prediction with its topic below ``~/output``; those of several tasks are in a folder of their own.

    Raises:
        SpecError: it is of a kind that no message is known for, such as that of a task from another package.
    """
    if isinstance(prediction, Mapping):
        for name, part in prediction.items():
            yield from parts_of(part, f"{prefix}{_topic(name)}/")
    elif isinstance(prediction, Tensors):
        for name, values in prediction.values.items():
            yield f"{prefix}{_topic(name)}", values
    elif type(prediction) in NAMES:
        yield f"{prefix}{NAMES[type(prediction)]}", prediction
    else:
        known = ", ".join(kind.__name__ for kind in NAMES)
        raise SpecError(
            f"no message is known for a prediction of {type(prediction).__name__}; give the task one of {known}, or "
            "Tensors, which are published as they are"
        )


def _topic(name: str) -> str:
    """A name as it may stand in a topic."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def message_type(part: Any) -> Any:
    """The message that a single prediction is published as."""
    if isinstance(part, Detections | ClassScores):
        from vision_msgs.msg import Classification, Detection2DArray

        return Detection2DArray if isinstance(part, Detections) else Classification
    return Image


def message_of(part: Any, header: Header, classes: tuple[str, ...], least: float) -> Any:
    """A single prediction as a message with the header of its frame.

    A mask is mono8 with class ids.  An embedding, values and plain tensors are images of one 32-bit float channel
    (``32FC1``), whose rows are the last axis: no standard message holds a vector with a header.

    Args:
        part: the prediction.
        header: of the frame.
        classes: names of the class ids; empty: a class is named by its number.
        least: detections with a lower score are left out.
    """
    if isinstance(part, LabelMap):
        return image_message(part.labels, "mono8", header)
    if isinstance(part, Detections):
        return _detections(part, header, classes, least)
    if isinstance(part, ClassScores):
        return _classification(part, header, classes)
    vector = part.vector if isinstance(part, Embedding) else part.values if isinstance(part, Values) else part
    rows = np.asarray(vector, np.float32)
    return image_message(rows.reshape(-1, rows.shape[-1] if rows.ndim else 1), "32FC1", header)


def _name(label: int, classes: tuple[str, ...]) -> str:
    return classes[label] if 0 <= label < len(classes) else str(label)


def _detections(found: Detections, header: Header, classes: tuple[str, ...], least: float) -> Any:
    from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray, ObjectHypothesisWithPose

    message = Detection2DArray(header=header)
    for box, score, label in zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True):
        if score < least:
            continue
        left, top, right, bottom = box
        bounds = BoundingBox2D(size_x=right - left, size_y=bottom - top)
        bounds.center.position.x, bounds.center.position.y = (left + right) / 2, (top + bottom) / 2
        guess = ObjectHypothesisWithPose()
        guess.hypothesis.class_id, guess.hypothesis.score = _name(label, classes), score
        message.detections.append(Detection2D(header=header, results=[guess], bbox=bounds))
    return message


def _classification(found: ClassScores, header: Header, classes: tuple[str, ...]) -> Any:
    from vision_msgs.msg import Classification, ObjectHypothesis

    scores = found.probabilities.tolist()
    order = sorted(range(len(scores)), key=lambda label: -scores[label])  # the most probable first
    guesses = [ObjectHypothesis(class_id=_name(label, classes), score=scores[label]) for label in order]
    return Classification(header=header, results=guesses)


def label_info(classes: tuple[str, ...], threshold: float, header: Header) -> Any:
    """What the class ids mean: ``vision_msgs/msg/LabelInfo``."""
    from vision_msgs.msg import LabelInfo, VisionClass

    named = [VisionClass(class_id=number, class_name=name) for number, name in enumerate(classes)]
    return LabelInfo(header=header, class_map=named, threshold=threshold)


def vision_info(method: str, location: str, header: Header) -> Any:
    """Which network speaks: ``vision_msgs/msg/VisionInfo``; the location is the bundle's identity."""
    from vision_msgs.msg import VisionInfo

    return VisionInfo(header=header, method=method, database_location=location, database_version=0)
