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
    decoded prediction with the truth.  The first ``frames`` seeds are enough to measure everything,
    with outputs that are right or those of the seeds from 99 on, which are wrong; ``best`` are the
    metrics of the right ones.  ``foreign`` are truths of other tasks; ``sized`` says whether a
    prediction belongs to an image of one size, ``shaped`` whether outputs have a shape that the task
    knows; ``pairs`` that metrics are of pairs of frames, where a frame that is repeated is not compared
    with itself.
    """

    section: dict[str, Any]
    outputs: tuple[TensorSpec, ...]
    frame: Callable[[int], tuple[Any, dict[str, np.ndarray]]]
    same: Callable[[Any, Any], bool]
    best: dict[str, float]
    frames: int = 3
    foreign: tuple[Any, ...] = (None, "a text", np.zeros((3, 3, 3), np.float32))
    sized: bool = True
    shaped: bool = True
    pairs: bool = False


def example_of(task: str, plugin: ModuleType) -> Example | None:
    """The example of a task: a dictionary beside the plugin when it comes from elsewhere, else in this package."""
    given: dict[str, Any] | None = getattr(plugin, "EXAMPLE", None)
    if given is not None:
        return Example(**given)
    if importlib.util.find_spec(f"{__name__}.{task}") is None:
        return None
    found: Example = importlib.import_module(f"{__name__}.{task}").EXAMPLE
    return found
