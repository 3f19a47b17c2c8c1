"""What is published of each thing that is watched: a level, a sentence and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from edgekit.core.tensors import Array

Values = tuple[tuple[str, str], ...]


class Level(IntEnum):
    """The levels of ``diagnostic_msgs/msg/DiagnosticStatus``."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True)
class Status:
    """One ``diagnostic_msgs/msg/DiagnosticStatus``; the publisher puts the node's name before ``name``."""

    name: str
    level: Level
    message: str
    values: Values = ()
    hardware_id: str = ""


@dataclass(frozen=True)
class Processed:
    """A frame that went through the chain, and what came out.

    Attributes:
        camera: one of the monitor's cameras.
        stamp_s: of the frame's header, seconds of ROS time.
        now_s: when the result was there, seconds of ROS time.
        image: RGB ``(H, W, 3)``, uint8 or uint16; it is read before ``processed`` returns, and not kept.
        outputs: of the network by name, as the engine gave them; empty: they are not looked at.
        prediction: what the task made of them.
        pre_ms, infer_ms, post_ms: how long each stage took.
        age_at_start_ms: from the stamp to the start of the preprocessing.
        age_ms: from the stamp to the result.
    """

    camera: str
    stamp_s: float
    now_s: float
    image: Array
    outputs: Mapping[str, Array] = field(default_factory=dict)
    prediction: Any = None
    pre_ms: float = 0.0
    infer_ms: float = 0.0
    post_ms: float = 0.0
    age_at_start_ms: float = 0.0
    age_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """What the node spent on the frame: preprocess, inference and decoding."""
        return self.pre_ms + self.infer_ms + self.post_ms


def values_of(pairs: Iterable[tuple[str, object]]) -> Values:
    """Keys and values as text, as ``diagnostic_updater`` writes them: six decimals, ``True`` and ``False``."""
    return tuple((key, f"{value:f}" if isinstance(value, float) else str(value)) for key, value in pairs)
