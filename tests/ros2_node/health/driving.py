"""A node's monitor, driven at a camera's rate on a clock of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.ros2_node.health import Level, Limits, Monitor, Processed, Status


def picture(number: int = 0, light: float = 1.0) -> Array:
    """A street of stripes and blocks that moves with ``number``."""
    y, x = np.mgrid[:120, :200]
    waves = np.where(((x + 7 * number) // 10 + y // 12) % 2, 190, 60) + (x * 3 + y * 5 + number) % 7
    return np.clip(np.stack([waves, waves * 0.9, waves * 0.8], -1) * light, 0, 255).astype(np.uint8)


def blurred(image: Array) -> Array:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), 4))


class Node:
    """Drives a monitor at a camera's rate on a clock of its own."""

    def __init__(self, limits: Limits | None = None, **more: Any) -> None:
        self.monitor = Monitor(limits or Limits(), [""], **more)
        self.now_s, self.number = 100.0, 0
        self.monitor.active(True, self.now_s)

    def step(self, period_s: float = 1 / 30) -> None:
        self.now_s += period_s
        self.number += 1

    def run(self, seconds: float, rate_hz: float = 30, process: bool = True, **changes: Any) -> None:
        for _ in range(round(seconds * rate_hz)):
            self.step(1 / rate_hz)
            stamp_s = changes.get("stamp_s", self.now_s - 0.01)
            self.monitor.received("", stamp_s, self.now_s)
            if process:
                self.process(**{"stamp_s": stamp_s, **changes})

    def process(self, **changes: Any) -> None:
        made = {name: change() if callable(change) else change for name, change in changes.items()}
        image = made.pop("image", None)
        self.monitor.processed(
            Processed(
                "",
                made.pop("stamp_s", self.now_s - 0.01),
                self.now_s,
                picture(self.number) if image is None else image,
                **({"pre_ms": 2.0, "infer_ms": 5.0, "post_ms": 1.0, "age_at_start_ms": 1.0, "age_ms": 9.0} | made),
            )
        )

    def status(self, name: str) -> Status:
        return next(each for each in self.monitor.statuses(self.now_s) if each.name == name)

    def level(self, name: str) -> Level:
        return self.status(name).level
