"""Bags: what a node saw and said, on the disk; written, replayed and judged.  Nothing here knows ROS."""

from __future__ import annotations

from edgekit.core.errors import MissingRequirement


def require_ros(command: str) -> None:
    """Raise :class:`MissingRequirement` where rclpy cannot be imported.

    Raises:
        MissingRequirement: it cannot; says how it gets there.
    """
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        way = "source the setup file of a ROS 2 distribution (source /opt/ros/$ROS_DISTRO/setup.bash) and try again"
        raise MissingRequirement(f"rclpy, which {command} needs,", note=f"{way}; in a checkout: make ros") from error
