"""Input drift: whether a camera's frames lie where those of calibration lay."""

from __future__ import annotations

from edgekit.core.tensors import Array
from edgekit.evaluation.input_statistics import InputStatistics
from edgekit.ros2_node.health._span import Recent
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Status, values_of


class Drift:
    """Of one camera, against the reference of its bundle."""

    def __init__(self, reference: InputStatistics | None) -> None:
        self._reference = reference
        self._rows: Recent[Array] = Recent(1024)

    def begin(self) -> None:
        """No frame yet."""
        self._rows.clear()

    def see(self, row: Array, now_s: float) -> None:
        """The features of a frame, of :func:`edgekit.evaluation.input_statistics.measure`."""
        self._rows.add(now_s, row)

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """Of the window that ends now."""
        if self._reference is None:
            return Status(name, Level.OK, "no reference: the bundle holds no input_statistics.json; build it again")
        rows = self._rows.within(now_s, limits.drift_window_s)
        return Status(name, Level.OK, "The input is as at calibration.", values_of([("Frames in window", len(rows))]))
