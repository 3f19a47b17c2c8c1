"""What comes in from one camera: how often, with which stamps, and what had to be refused."""

from __future__ import annotations

from edgekit.ros2_node.health._span import Recent
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Status, values_of


class Rate:
    """The rate of arrivals, as ``diagnostic_updater``'s ``FrequencyStatus`` tells it: its keys, messages and levels.

    Other than there the window is one of time, so that asking more often changes nothing, and the rate is taken
    between the first and the last arrival in it, so that a steady camera has a steady number.
    """

    def __init__(self) -> None:
        self._arrivals: Recent[None] = Recent()
        self._count = 0
        self._began_s: float | None = None

    def begin(self, now_s: float) -> None:
        """The node listens from now on."""
        self._arrivals.clear()
        self._began_s = now_s

    def tick(self, now_s: float) -> None:
        """A frame arrived."""
        self._arrivals.add(now_s, None)
        self._count += 1

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """Of the window that ends now."""
        times = [time_s for time_s, _ in self._arrivals.within(now_s, limits.input_window_s)]
        window_s = times[-1] - times[0] if len(times) > 1 else 0.0
        hz = (len(times) - 1) / window_s if window_s > 0 else 0.0
        least = limits.input_min_hz * (1 - limits.input_tolerance)
        most = limits.input_max_hz * (1 + limits.input_tolerance)
        level, message = Level.OK, "Desired frequency met"
        last_s = times[-1] if times else self._began_s
        if last_s is None or now_s - last_s > limits.input_timeout_s:
            level, message = Level.ERROR, "No events recorded."
        elif len(times) < 3:
            message = "Waiting for frames."
        elif hz < least:
            level, message = Level.WARN, "Frequency too low."
        elif limits.input_max_hz and hz > most:
            level, message = Level.WARN, "Frequency too high."
        pairs: list[tuple[str, object]] = [
            ("Events in window", len(times)),
            ("Events since startup", self._count),
            ("Duration of window (s)", window_s),
            ("Actual frequency (Hz)", hz),
        ]
        if limits.input_min_hz and limits.input_min_hz == limits.input_max_hz:
            pairs.append(("Target frequency (Hz)", limits.input_min_hz))
        if limits.input_min_hz:
            pairs.append(("Minimum acceptable frequency (Hz)", least))
        if limits.input_max_hz:
            pairs.append(("Maximum acceptable frequency (Hz)", most))
        return Status(name, level, message, values_of(pairs))


class Stamps:
    """The stamps of frames against the clock, as ``diagnostic_updater``'s ``TimeStampStatus`` tells it.

    Its keys, with their colons, and its messages; a stamp that jumps back is told too.  Counts are of frames, where
    ``diagnostic_updater`` counts updates.
    """

    def __init__(self) -> None:
        self._delays: Recent[tuple[float, str]] = Recent()
        self._last_s: float | None = None
        self._counts = {"late": 0, "early": 0, "zero": 0, "back": 0}

    def begin(self) -> None:
        """The node listens from now on."""
        self._delays.clear()
        self._last_s = None

    def tick(self, stamp_s: float, now_s: float, limits: Limits) -> None:
        """A frame with this stamp arrived now."""
        delay_s, fault = now_s - stamp_s, ""
        if stamp_s == 0:
            fault = "zero"
        elif delay_s < -limits.stamp_future_max_s:
            fault = "early"
        elif delay_s > limits.stamp_past_max_s:
            fault = "late"
        elif self._last_s is not None and stamp_s < self._last_s:
            fault = "back"
        if fault:
            self._counts[fault] += 1
        if stamp_s != 0:
            self._last_s = stamp_s
        self._delays.add(now_s, (delay_s, fault))

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """Of the last ``hold_s`` seconds."""
        messages = {
            "zero": "Zero timestamp seen.",
            "early": "Timestamps too far in future seen.",
            "late": "Timestamps too far in past seen.",
            "back": "Timestamp jumped back.",
        }
        seen = [item for _, item in self._delays.within(now_s, max(limits.hold_s, 0.1))]
        delays = [delay_s for delay_s, fault in seen if fault != "zero"]
        faults = {fault for _, fault in seen}
        found = [message for fault, message in messages.items() if fault in faults]
        level, message = Level.OK, "Timestamps are reasonable."
        if not seen:
            level, message = Level.WARN, "No data since last update."
        elif found:
            level, message = Level.ERROR, "; ".join(found)
        pairs: list[tuple[str, object]] = [
            ("Earliest timestamp delay:", min(delays, default=0.0)),
            ("Latest timestamp delay:", max(delays, default=0.0)),
            ("Earliest acceptable timestamp delay:", -limits.stamp_future_max_s),
            ("Latest acceptable timestamp delay:", limits.stamp_past_max_s),
            ("Late diagnostic update count:", self._counts["late"]),
            ("Early diagnostic update count:", self._counts["early"]),
            ("Zero seen diagnostic update count:", self._counts["zero"]),
            ("Jumped back count:", self._counts["back"]),
        ]
        return Status(name, level, message, values_of(pairs))


class Refusals:
    """Frames that could not be read: wrong encoding or size, truncated data."""

    def __init__(self) -> None:
        self._recent: Recent[str] = Recent()
        self._in_a_row = 0
        self._total = 0
        self._reason = ""
        self._unheard = ""

    def begin(self) -> None:
        """The node listens from now on."""
        self._recent.clear()
        self._in_a_row = 0

    def unheard(self, reason: str, now_s: float) -> None:
        """There is a publisher that cannot be heard; that is told once, and stays so until a frame is read."""
        self.refuse(reason, now_s)
        self._unheard = reason

    def refuse(self, reason: str, now_s: float) -> None:
        """A frame was refused; ``reason`` names what was wrong with it."""
        self._recent.add(now_s, reason)
        self._in_a_row += 1
        self._total += 1
        self._reason = reason

    def accept(self) -> None:
        """A frame could be read, or none is waited for."""
        self._in_a_row = 0
        self._unheard = ""

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """ERROR when nothing else comes or can be heard, WARN while some are refused."""
        recent = self._recent.within(now_s, max(limits.hold_s, 0.1))
        level, message = Level.OK, "No frame refused."
        if self._unheard:
            level, message = Level.ERROR, f"No frame can be heard: {self._unheard}"
        elif recent and self._in_a_row >= limits.refused_error_frames:
            level, message = Level.ERROR, f"Every frame is refused: {self._reason}"
        elif recent:
            level, message = Level.WARN, f"Frames refused: {self._reason}"
        pairs = (
            ("Frames refused in window", len(recent)),
            ("Frames refused in a row", self._in_a_row),
            ("Frames refused since startup", self._total),
            ("Last reason", self._reason),
        )
        return Status(name, level, message, values_of(pairs))
