"""Every limit of the diagnostics, declared once as a parameter of the node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import SpecError
from edgekit.ros2_node.parameters import check, declared


def _limit(default: float, unit: str, span: tuple[float, float], description: str) -> Any:
    return declared(default, description, unit, *span, when="live")


@dataclass(frozen=True)
class Limits:
    """What is normal; all may be changed while the node runs.

    Raises:
        SpecError: a value of another type or out of its range, or a pair that contradicts itself.
    """

    input_min_hz: float = _limit(0.0, "Hz", (0, 1000), "slowest input rate that is normal; 0: any")
    input_max_hz: float = _limit(0.0, "Hz", (0, 1000), "fastest input rate that is normal; 0: any")
    input_tolerance: float = _limit(0.1, "", (0, 1), "share by which the rate may miss its bounds")
    input_window_s: float = _limit(2.0, "s", (0.1, 60), "how long the rate is taken over")
    input_timeout_s: float = _limit(1.0, "s", (0.05, 60), "without a frame for so long: ERROR")
    stamp_future_max_s: float = _limit(0.1, "s", (0, 60), "how far in the future a stamp may lie")
    stamp_past_max_s: float = _limit(1.0, "s", (0, 3600), "how far in the past a stamp may lie")
    refused_error_frames: int = _limit(3, "frames", (1, 10000), "so many refused frames in a row: ERROR, fewer: WARN")
    hold_s: float = _limit(1.0, "s", (0, 60), "how long a single bad frame stays visible; flapping ends here too")

    frozen_s: float = _limit(1.0, "s", (0.05, 60), "the same picture repeated for so long: ERROR")
    covered_contrast: float = _limit(
        10.0, "grey levels", (0, 255), "98 % of the picture within so few of 255 levels: the lens is covered"
    )
    dark_level: float = _limit(12.0, "grey levels", (0, 255), "99 % of the picture below this level of 255: dark")
    saturated_level: float = _limit(250.0, "grey levels", (1, 255), "a pixel at or above this level is saturated")
    saturated_share: float = _limit(0.5, "", (0.01, 1), "share of saturated pixels that is too much")
    defocus_ratio: float = _limit(
        0.17,
        "",
        (0, 1),
        "steepest edges over a 640th of the width as a share of those over eight, 0.125 of a ramp: below it, defocus",
    )
    exposure_factor: float = _limit(1.8, "", (1.05, 100), "mean brightness that changes by this factor at once: a jump")
    camera_raise_s: float = _limit(0.5, "s", (0, 60), "how long a picture must be bad before the level rises")
    camera_clear_s: float = _limit(1.0, "s", (0, 60), "how long it must be good before the level falls")

    max_allowed_processing_time_ms: float = _limit(
        200.0, "ms", (0.01, 60000), "preprocess, inference and decoding of a frame; above it: WARN"
    )
    max_acceptable_consecutive_delay_ms: float = _limit(
        1000.0, "ms", (0, 600000), "every frame above the limit for so long: ERROR"
    )
    deadline_window_s: float = _limit(0.8, "s", (0.05, 60), "how long a missed deadline counts")
    deadline_error_share: float = _limit(0.5, "", (0.01, 1), "share of missed frames in that time: ERROR, less: WARN")
    drops_window_s: float = _limit(0.8, "s", (0.05, 60), "how long a dropped frame counts")
    drops_share: float = _limit(0.05, "", (0, 1), "share of dropped frames that is normal")
    drops_raise_s: float = _limit(1.0, "s", (0, 60), "how long more must be dropped before it is WARN")

    empty_s: float = _limit(60.0, "s", (0, 86400), "no object found for so long: WARN; 0: any time")
    saturated_s: float = _limit(20.0, "s", (0.1, 86400), "every score at its end for so long: WARN")
    saturated_score: float = _limit(0.9999, "", (0.5, 1), "a score at or above it is at its end")
    one_class_share: float = _limit(0.995, "", (0.5, 1), "share of a mask that is one class and means nothing was seen")
    output_frozen_s: float = _limit(1.0, "s", (0.05, 3600), "the same outputs for a changing input for so long: ERROR")

    temperature_warn_c: float = _limit(85.0, "Celsius", (0, 150), "hottest sensor above it: WARN")
    temperature_error_c: float = _limit(95.0, "Celsius", (0, 150), "hottest sensor above it: ERROR")
    memory_warn_share: float = _limit(0.9, "", (0.1, 1), "share of the machine's memory in use: above it WARN")

    drift_period_s: float = _limit(0.33, "s", (0.05, 60), "how often a frame is taken for input drift")
    drift_window_s: float = _limit(5.0, "s", (0.5, 3600), "how long the input must be unusual")
    drift_share: float = _limit(0.6, "", (0.5, 1), "share of that window beyond the reference: WARN; the KS distance")
    drift_margin: float = _limit(
        1.0, "", (0, 100), "factor of how far each feature may lie outside the reference's range; less: more sensitive"
    )

    def __post_init__(self) -> None:
        check(self)
        for low, high in (("input_min_hz", "input_max_hz"), ("temperature_warn_c", "temperature_error_c")):
            least, most = getattr(self, low), getattr(self, high)
            if most and least > most:
                raise SpecError(f"parameter {low}: {least:g} is above {high} {most:g}; exchange them")
