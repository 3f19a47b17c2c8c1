"""``python -m edgekit.ros2_node``: the node as a process; ``--ros-args`` as for every ROS 2 node.

Exit codes: 0 it was asked to stop; 2 a parameter it was started with is wrong; 3 there is no ROS 2 here.
"""

from __future__ import annotations

import os
import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; see the module."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # until there is something to release
    try:
        import rclpy  # noqa: F401  # asked for, not used
    except ImportError as error:
        print(
            f"edgekit: rclpy cannot be imported ({error}): source the setup file of a ROS 2 distribution "
            "(source /opt/ros/jazzy/setup.bash), or run it in an environment that has ROS 2 (see docs/ros2.md)",
            file=sys.stderr,
        )
        return 3
    from edgekit.ros2_node.ros.process import run

    return run(sys.argv if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
