"""What a loss is given, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.predictions import Objects

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Examples of one step, on the device of the network.

    ``inputs`` maps the model's input names to tensors, batch first; ``truth`` stacks the frames' truths
    in the dtype of the dataset (segmentation: uint8 ``(N, H, W)``), None for frames without labels.  Truths
    that do not stack, such as objects, stand one after another as the examples give them.
    """

    inputs: Mapping[str, Tensor]
    truth: Tensor | tuple[Any, ...] | None


@dataclass(frozen=True)
class Placed:
    """Objects as a detector's head sees them: ``boxes`` in pixels of the model's input, whose (height, width) is
    ``size``."""

    objects: Objects
    size: tuple[int, int]


Loss = Callable[[Mapping[str, "Tensor"], Batch], "Tensor"]
"""``loss(outputs, batch) -> scalar``; the outputs are float32, by name, batch first."""

TaskLoss = Callable[[Mapping[str, "Tensor"], Any], "Tensor"]
"""``loss(outputs, truth) -> scalar``; truth as in :class:`Batch`."""

Distance = Callable[[Mapping[str, "Tensor"], Mapping[str, "Tensor"], float], Mapping[str, "Tensor"]]
"""``distance(given, wanted, temperature) -> {name: scalar}``: a student's outputs from a teacher's, those that the task
reads; every name is that of an output."""
