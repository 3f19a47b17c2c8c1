"""Small bags for tests, written by rosbags alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

VISION = {
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\n"
    "geometry_msgs/PoseWithCovariance pose",
    "vision_msgs/msg/Detection2D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
    "vision_msgs/BoundingBox2D bbox\nstring id",
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}
"""Fields of vision_msgs 4, as far as the tests need them."""


def typestore() -> Any:
    """Types of Kilted, and of vision_msgs."""
    store = get_typestore(Stores.ROS2_KILTED)
    for name, text in VISION.items():
        store.register(get_types_from_msg(text, name))
    return store


STORE = typestore()


def header(stamp_ns: int, frame_id: str = "camera") -> Any:
    """A ``std_msgs/Header``."""
    time = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def raw_image(stamp_ns: int, pixels: np.ndarray, encoding: str) -> Any:
    """A ``sensor_msgs/Image`` of an array ``(H, W, C)``."""
    return STORE.types["sensor_msgs/msg/Image"](
        header=header(stamp_ns),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=pixels.reshape(-1).view(np.uint8),
    )


def detections(stamp_ns: int, objects: Iterable[tuple[str, float, tuple[float, float, float, float]]]) -> Any:
    """A ``Detection2DArray`` of class, score and (left, top, right, bottom)."""
    make = {name.rpartition("/")[2]: kind for name, kind in STORE.types.items() if name.startswith("vision_msgs")}
    geometry = {name.rpartition("/")[2]: kind for name, kind in STORE.types.items() if name.startswith("geometry_msgs")}
    pose = geometry["PoseWithCovariance"](
        pose=geometry["Pose"](
            position=geometry["Point"](x=0.0, y=0.0, z=0.0),
            orientation=geometry["Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
        ),
        covariance=np.zeros(36),
    )
    found = []
    for kind, score, (left, top, right, bottom) in objects:
        centre = make["Point2D"](x=(left + right) / 2, y=(top + bottom) / 2)
        box = make["BoundingBox2D"](
            center=make["Pose2D"](position=centre, theta=0.0), size_x=right - left, size_y=bottom - top
        )
        result = make["ObjectHypothesisWithPose"](
            hypothesis=make["ObjectHypothesis"](class_id=kind, score=score), pose=pose
        )
        found.append(make["Detection2D"](header=header(stamp_ns), results=[result], bbox=box, id=""))
    return make["Detection2DArray"](header=header(stamp_ns), detections=found)


def write_bag(folder: Path, messages: Iterable[tuple[str, int, Any]]) -> Path:
    """A bag of (topic, time, message), written by rosbags alone."""
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for topic, time_ns, message in messages:
            kind = type(message).__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], time_ns, STORE.serialize_cdr(message, kind))
    return folder
