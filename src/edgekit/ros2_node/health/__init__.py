"""What the node sees of its frames, results and machine, as diagnostics; nothing here knows ROS.

:class:`Monitor` is told of every frame and gives :class:`Status` objects, whose names, keys and levels are those that
ROS users know: of ``diagnostic_updater`` (``FrequencyStatus``, ``TimeStampStatus``) and of Autoware's processing time.
"""

from __future__ import annotations

from edgekit.ros2_node.health.hardware import Hardware as Hardware
from edgekit.ros2_node.health.limits import Limits as Limits
from edgekit.ros2_node.health.monitor import Monitor as Monitor
from edgekit.ros2_node.health.statuses import Level as Level
from edgekit.ros2_node.health.statuses import Processed as Processed
from edgekit.ros2_node.health.statuses import Status as Status
