"""How long the node takes, and what it could not keep up with."""

from __future__ import annotations

from edgekit.ros2_node.health._span import Lasting, Recent
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Processed, Status, values_of


class ProcessingTime:
    """The processing time of the last frame, with the keys and levels of Autoware's perception nodes.

    WARN when it is above the limit, ERROR once every frame has been above it for long.  Source of names and levels:
    ``diagnose_processing_time`` of Autoware's ``lidar_centerpoint`` and ``camera_streampetr``.
    """

    def __init__(self) -> None:
        self._last: Processed | None = None
        self._in_time_s: float | None = None

    def begin(self) -> None:
        """No frame yet."""
        self._last = self._in_time_s = None

    def see(self, result: Processed, limits: Limits) -> None:
        """A frame was processed."""
        delayed = result.total_ms > limits.max_allowed_processing_time_ms
        if not delayed or self._in_time_s is None or result.now_s < self._in_time_s:
            self._in_time_s = result.now_s
        self._last = result

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """Of the last frame."""
        last, limit = self._last, limits.max_allowed_processing_time_ms
        if last is None or self._in_time_s is None:
            return Status(name, Level.OK, "Waiting for the node to perform inference.", _times(None, False, 0.0, True))
        delayed = last.total_ms > limit
        delay_ms = max(0.0, 1e3 * (now_s - self._in_time_s)) if delayed else 0.0
        too_long = delay_ms > limits.max_acceptable_consecutive_delay_ms
        level, message = Level.OK, "OK"
        if delayed:
            over = last.total_ms - limit
            level, message = (
                Level.WARN,
                f"Processing time exceeds the acceptable limit of {limit:g} ms by {over:.3g} ms.",
            )
        if too_long:
            level = Level.ERROR
            message += (
                f" It has for {delay_ms:.0f} ms, acceptable are {limits.max_acceptable_consecutive_delay_ms:g} ms."
            )
        return Status(name, level, message, _times(last, delayed, delay_ms, not too_long))


def _times(last: Processed | None, delayed: bool, delay_ms: float, in_range: bool) -> tuple[tuple[str, str], ...]:
    took = (
        ("processing_time_ms", "total_ms"),
        ("preprocess_time_ms", "pre_ms"),
        ("inference_time_ms", "infer_ms"),
        ("postprocess_time_ms", "post_ms"),
        ("age_at_start_ms", "age_at_start_ms"),
        ("age_ms", "age_ms"),
    )
    shown = [(key, "n/a" if last is None else float(getattr(last, attribute))) for key, attribute in took]
    return values_of(
        [
            ("is_processing_time_ms_in_expected_range", not delayed),
            *shown,
            ("is_consecutive_processing_delay_in_range", in_range),
            ("consecutive_processing_delay_ms", float(delay_ms)),
        ]
    )


class Deadline:
    """Frames whose result came too late, or was not made because it would have."""

    def __init__(self) -> None:
        self._recent: Recent[bool] = Recent()
        self._missed = 0
        self._age_ms = 0.0

    def begin(self) -> None:
        """No frame yet."""
        self._recent.clear()

    def met(self, now_s: float) -> None:
        """A frame was processed; that it was late comes in a call of its own."""
        self._recent.add(now_s, False)

    def miss(self, age_ms: float, now_s: float) -> None:
        """A frame of this age missed its deadline."""
        self._recent.add(now_s, True)
        self._missed += 1
        self._age_ms = age_ms

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """Of the last ``deadline_window_s`` seconds."""
        recent = [missed for _, missed in self._recent.within(now_s, limits.deadline_window_s)]
        missed = sum(recent)
        share = missed / max(len(recent) - missed, missed, 1)
        level, message = Level.OK, "Every deadline met"
        if missed:
            level = Level.ERROR if share > limits.deadline_error_share else Level.WARN
            in_s, age = f"{limits.deadline_window_s:g} s", f"{self._age_ms:.0f} ms old"
            message = f"{missed} deadlines missed in {in_s}; the last frame was {age}."
        pairs = (
            ("Deadlines missed in window", missed),
            ("Deadlines missed since startup", self._missed),
            ("Age of the last late frame (ms)", float(self._age_ms)),
        )
        return Status(name, level, message, values_of(pairs))


class Drops:
    """Frames that a newer one replaced before they were processed: overload, once it lasts."""

    def __init__(self) -> None:
        self._recent: Recent[bool] = Recent()
        self._lasting = Lasting()
        self._total = 0
        self._reason = ""

    def begin(self) -> None:
        """No frame yet."""
        self._recent.clear()
        self._lasting.clear()

    def keep(self, now_s: float) -> None:
        """A frame was processed."""
        self._recent.add(now_s, False)

    def drop(self, reason: str, now_s: float) -> None:
        """A frame was dropped."""
        self._recent.add(now_s, True)
        self._total += 1
        self._reason = reason

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """WARN while more than the normal share is dropped, for longer than ``drops_raise_s``."""
        recent = [dropped for _, dropped in self._recent.within(now_s, limits.drops_window_s)]
        dropped = sum(recent)
        share = dropped / len(recent) if recent else 0.0
        lasts = self._lasting.see(share > limits.drops_share, now_s, limits.drops_raise_s, 0.0)
        level, message = Level.OK, "No lasting drops"
        if lasts:
            level, message = Level.WARN, f"{100 * share:.0f} % of the frames are dropped: {self._reason}"
        pairs = (
            ("Frames dropped in window", dropped),
            ("Share dropped in window", share),
            ("Frames dropped since startup", self._total),
            ("Last reason", self._reason),
        )
        return Status(name, level, message, values_of(pairs))
