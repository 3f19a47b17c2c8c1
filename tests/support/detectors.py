"""Detection tasks for tests."""

from __future__ import annotations

from typing import Any

from edgekit.tasks.detection import Config, Detection

CLASSES = ("car", "person", "sign")
ANCHORS = [[[10, 13], [16, 30]], [[30, 61], [62, 45]]]
"""Two for each of two strides."""


def config(**options: Any) -> Config:
    return Config.model_validate({"kind": "detection", "output": "out", "classes": CLASSES} | options)


def task(**options: Any) -> Detection:
    return config(**options).create()
