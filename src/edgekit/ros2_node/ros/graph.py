"""What the ROS graph says of topics: who uses them, and what their publishers offer."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from edgekit.core.errors import DataError, MissingRequirement

if TYPE_CHECKING:
    from rosbags.interfaces import Qos, QosTime

Role = Literal["input", "output", "diagnostics", "other"]
DIAGNOSTICS = "/diagnostics"
NOT_RECORDED = ("/rosout", "/parameter_events", "/clock")


@dataclass(frozen=True)
class Found:
    """A topic of the graph: name, type as ``package/msg/Type``, and what it is to the node that is recorded."""

    name: str
    type: str
    role: Role


def split_name(full: str) -> tuple[str, str]:
    """Name and namespace of ``/front/edgekit``; a name without ``/`` is in the root namespace."""
    namespace, _, name = full.rpartition("/")
    return name, namespace or "/"


def of_node(node: Node, full: str) -> list[Found]:
    """The topics that another node uses, by their names after remapping; none: it is not there."""
    name, namespace = split_name(full)
    try:
        inputs = node.get_subscriber_names_and_types_by_node(name, namespace)
        outputs = node.get_publisher_names_and_types_by_node(name, namespace)
    except NodeNameNonExistentError:
        return []
    found: dict[str, Found] = {}
    for role, topics in (("input", inputs), ("output", outputs)):
        for topic, types in topics:
            if topic not in NOT_RECORDED:
                actual: Role = "diagnostics" if topic == DIAGNOSTICS else role  # type: ignore[assignment]
                found.setdefault(topic, Found(topic, types[0], actual))
    return list(found.values())


def matching(node: Node, patterns: tuple[str, ...]) -> list[Found]:
    """The topics whose names fit one of the patterns (``*`` and ``?`` as in a shell)."""
    return [
        Found(topic, types[0], "diagnostics" if topic == DIAGNOSTICS else "other")
        for topic, types in node.get_topic_names_and_types()
        if any(fnmatchcase(topic, pattern) for pattern in patterns)
    ]


def message_class(kind: str) -> Any:
    """The Python class of ``package/msg/Type``.

    Raises:
        MissingRequirement: the package is not installed.
        DataError: it has no such message.
    """
    package, _, name = kind.split("/")
    try:
        module = importlib.import_module(f"{package}.msg")
    except ModuleNotFoundError as error:
        install = f"apt install ros-$ROS_DISTRO-{package.replace('_', '-')}"
        raise MissingRequirement(f"the message package {package}", install) from error
    if not hasattr(module, name):
        raise DataError(f"{kind}: the installed package {package} has no such message; install its newer version")
    return getattr(module, name)


def offered(node: Node, topic: str) -> list[QoSProfile]:
    """What the publishers of a topic offer."""
    return [info.qos_profile for info in node.get_publishers_info_by_topic(topic)]


def request_for(profiles: list[QoSProfile], depth: int) -> QoSProfile:
    """The strictest request that all publishers meet, as rosbag2's recorder asks."""
    reliable = bool(profiles) and all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
    latched = bool(profiles) and all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def to_bag(profile: QoSProfile) -> Qos:
    """An offer as a bag keeps it."""
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability

    return Qos(
        QosHistory(int(profile.history)),
        profile.depth,
        QosReliability(int(profile.reliability)),
        QosDurability(int(profile.durability)),
        _time(profile.deadline),
        _time(profile.lifespan),
        QosLiveliness(int(profile.liveliness)),
        _time(profile.liveliness_lease_duration),
        profile.avoid_ros_namespace_conventions,
    )


def _time(duration: Any) -> QosTime:
    from rosbags.interfaces import QosTime

    return QosTime(*divmod(duration.nanoseconds, 1_000_000_000))


def from_bag(offers: tuple[Qos, ...], depth: int, reliable: bool) -> QoSProfile:
    """A publisher as the recorded ones; ``reliable``: whatever they were, nothing may be lost."""
    from rosbags.interfaces import QosDurability, QosReliability

    latched = any(offer.durability == QosDurability.TRANSIENT_LOCAL for offer in offers)
    best_effort = not reliable and any(offer.reliability == QosReliability.BEST_EFFORT for offer in offers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
