"""What a loss is given, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.predictions import Objects
from edgekit.training.draws import Draw

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Examples of one step, on the device of the network.

    ``inputs`` maps the model's input names to tensors, batch first; ``truth`` stacks the frames' truths
    in the dtype of the dataset (segmentation: uint8 ``(N, H, W)``), None for frames without labels.  Truths
    that do not stack, such as objects, stand one after another as the examples give them.  ``draws`` says which
    frames these are: ``draw.of(examples)`` reads the same frame, changed in the same way, as other model inputs.
    """

    inputs: Mapping[str, Tensor]
    truth: Tensor | tuple[Any, ...] | None
    draws: tuple[Draw, ...] = ()


def stacked(truths: Sequence[Any], device: torch.device) -> Tensor | tuple[Any, ...] | None:
    """The truths of some frames as :class:`Batch` holds them."""
    import torch

    if any(truth is None for truth in truths):
        return None
    arrays = [np.asarray(truth) for truth in truths if isinstance(truth, np.ndarray | np.generic | int | float)]
    if len(arrays) < len(truths) or len({array.shape for array in arrays}) > 1:
        return tuple(truths)  # the teacher's loss never looks at them
    return torch.from_numpy(np.stack(arrays)).to(device)


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
