"""Subscriptions and publishers: which topics there are, with which quality of service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from edgekit.ros2_node.frame import Result
from edgekit.ros2_node.ros.messages import image_message, label_info, message_of, message_type, parts_of, vision_info

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

SENSOR = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=5,  # more than one: the callback is short, and what it does not take is lost unseen
    reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)
RESULT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def overridable() -> QoSOverridingOptions:
    """Every policy of a topic is a parameter ``qos_overrides.<topic>.<subscription or publisher>.<policy>``."""
    return QoSOverridingOptions(
        (
            QoSPolicyKind.HISTORY,
            QoSPolicyKind.DEPTH,
            QoSPolicyKind.RELIABILITY,
            QoSPolicyKind.DURABILITY,
            QoSPolicyKind.DEADLINE,
            QoSPolicyKind.LIFESPAN,
            QoSPolicyKind.LIVELINESS,
            QoSPolicyKind.LIVELINESS_LEASE_DURATION,
        )
    )


def _copy(profile: QoSProfile) -> QoSProfile:
    """Overrides are written into a profile."""
    return QoSProfile(
        history=profile.history,
        depth=profile.depth,
        reliability=profile.reliability,
        durability=profile.durability,
        lifespan=Duration(),
        deadline=Duration(),
        liveliness_lease_duration=Duration(),
    )


def topic(camera: str, rest: str) -> str:
    """``~/input/image``, or ``~/front/input/image`` of a camera with a name."""
    return f"~/{camera}/{rest}" if camera else f"~/{rest}"


class Inputs:
    """The subscriptions of a node's cameras, until :meth:`close`.

    Args:
        node: they belong to it.
        cameras: their names.
        compressed: whether ``<image>/compressed`` is subscribed to, as image_transport names it.
        calibrated: whether camera_info is subscribed to.
        image: is called with each message and its camera.
        camera_info: likewise.
        incompatible: is called with a camera and a policy's name when a publisher offers less than is asked for.
    """

    def __init__(
        self,
        node: Node,
        cameras: Sequence[str],
        compressed: bool,
        calibrated: bool,
        image: Callable[[Any, str], None],
        camera_info: Callable[[Any, str], None],
        incompatible: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._subscriptions = []
        for camera in cameras:
            told = _told(camera, incompatible)
            events = SubscriptionEventCallbacks(incompatible_qos=told, use_default_callbacks=False)
            kind, name = (CompressedImage, "input/image/compressed") if compressed else (Image, "input/image")
            wanted = [(kind, name, image)] + ([(CameraInfo, "input/camera_info", camera_info)] if calibrated else [])
            for message, rest, callback in wanted:
                self._subscriptions.append(
                    node.create_subscription(
                        message,
                        topic(camera, rest),
                        _with(callback, camera),
                        _copy(SENSOR),
                        event_callbacks=events,
                        qos_overriding_options=overridable(),
                    )
                )

    def close(self) -> None:
        """Unsubscribe."""
        for one in self._subscriptions:
            self._node.destroy_subscription(one)
        self._subscriptions = []


def _with(callback: Callable[[Any, str], None], camera: str) -> Callable[[Any], None]:
    return lambda message: callback(message, camera)


def _told(camera: str, incompatible: Callable[[str, str], None]) -> Callable[[Any], None]:
    return lambda event: incompatible(camera, QoSPolicyKind(event.last_policy_kind).name.lower())


class Outputs:
    """The publishers of a node's results; one is made when its first result comes.

    Args:
        node: they belong to it.
        cameras: their names.
        classes: names of the class ids, by the topic's part before the kind (several tasks), else ``""``.
        overlay: draws a result over its frame; None: no overlay is published.
        incompatible: is called with a topic and a policy's name when a subscriber asks for more than is offered.
    """

    def __init__(
        self,
        node: Node,
        cameras: Sequence[str],
        classes: dict[str, tuple[str, ...]],
        overlay: Callable[[Result], Any] | None,
        incompatible: Callable[[str, str], None],
    ) -> None:
        self._node, self._cameras, self._classes, self._overlay = node, tuple(cameras), classes, overlay
        self._incompatible = incompatible
        self._publishers: dict[str, Any] = {}

    def prepare(self, prediction: Any) -> None:
        """Make the publishers of such predictions, so that subscribers find them before the first frame."""
        for camera in self._cameras:
            for name, part in parts_of(prediction):
                self._publisher(topic(camera, f"output/{name}"), message_type(part))
            if self._overlay is not None:
                self._publisher(topic(camera, "output/overlay"), Image)

    def describe(self, method: str, location: str, least: float) -> None:
        """Say which network speaks, and what its class ids mean, to whoever asks later, too."""
        for camera in self._cameras:
            info = vision_info(method, location, Header())
            self._publisher(topic(camera, "output/vision_info"), type(info), LATCHED).publish(info)
            for prefix, classes in self._classes.items():
                labels = label_info(classes, least, Header())
                self._publisher(topic(camera, f"output/{prefix}label_info"), type(labels), LATCHED).publish(labels)

    def publish(self, result: Result, least: float) -> None:
        """Publish a result under its frame's header; from any thread."""
        leader = result.query.leader
        for name, part in parts_of(result.prediction):
            classes = self._classes.get(name.rpartition("/")[0] + "/" if "/" in name else "", ())
            message = message_of(part, leader.header, classes, least)
            self._publisher(topic(leader.camera, f"output/{name}"), type(message)).publish(message)
        if self._overlay is not None:
            picture = image_message(self._overlay(result), "rgb8", leader.header)
            self._publisher(topic(leader.camera, "output/overlay"), Image).publish(picture)

    def close(self) -> None:
        """Stop publishing."""
        for one in self._publishers.values():
            self._node.destroy_publisher(one)
        self._publishers = {}

    def _publisher(self, name: str, kind: type, profile: QoSProfile = RESULT) -> Any:
        if name not in self._publishers:
            told = _told(name, self._incompatible)
            events = PublisherEventCallbacks(incompatible_qos=told, use_default_callbacks=False)
            self._publishers[name] = self._node.create_publisher(
                kind, name, _copy(profile), event_callbacks=events, qos_overriding_options=overridable()
            )
        return self._publishers[name]
