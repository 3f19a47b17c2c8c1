"""One module per task, of the task's name, with ``EXAMPLE``: what the contract tests show it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from edgekit.core.tensors import TensorSpec

HEIGHT, WIDTH = 24, 40
"""Size of the examples' frames in pixels."""


@dataclass(frozen=True)
class Example:
    """A section of a spec, the outputs that fit it, and frames whose right answer is known.

    ``frame(seed)`` gives a truth and the outputs of a perfect model; ``same`` compares the
    decoded prediction with the truth.
    """

    section: dict[str, Any]
    outputs: tuple[TensorSpec, ...]
    frame: Callable[[int], tuple[Any, dict[str, np.ndarray]]]
    same: Callable[[Any, Any], bool]
    best: dict[str, float]


def example_of(task: str, plugin: ModuleType) -> Example | None:
    """The example of a task: beside the plugin itself when it comes from elsewhere, else in this package."""
    given: Example | None = getattr(plugin, "EXAMPLE", None)
    if given is not None or importlib.util.find_spec(f"{__name__}.{task}") is None:
        return given
    found: Example = importlib.import_module(f"{__name__}.{task}").EXAMPLE
    return found
