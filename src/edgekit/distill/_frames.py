"""Training frames as two networks see them: in one batch, the student's inputs beside the teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.tensors import Arrays
from edgekit.technique import Examples
from edgekit.training import Batch, Draw, Vary
from edgekit.training.losses import stacked

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Beside:
    """A frame's truth, and arrays that belong to the frame: what a teacher takes, or what it gave."""

    truth: Any
    arrays: Arrays


@dataclass(frozen=True)
class Pairs:
    """The student's frames, each with the inputs of the teacher."""

    student: Examples
    teacher: Examples

    def __len__(self) -> int:
        return len(self.student)

    def __getitem__(self, index: int) -> tuple[Arrays, Any]:
        feeds, truth = self.student[index]
        return feeds, Beside(truth, self.teacher[index][0])

    def varied(self, index: int, vary: Vary) -> tuple[Arrays, Any]:
        """Both networks see the frame after the same change."""
        draw = Draw(index, vary)
        feeds, truth = draw.of(self.student)
        return feeds, Beside(truth, draw.of(self.teacher)[0])


def apart(batch: Batch) -> tuple[Batch, Mapping[str, Tensor]]:
    """The batch as if nothing stood beside its truths, and what did, stacked by name.

    Empty: nothing did.
    """
    import torch

    truths = batch.truth
    if not isinstance(truths, tuple) or not all(isinstance(one, Beside) for one in truths):
        return batch, {}
    device = next(iter(batch.inputs.values())).device
    arrays = {
        name: torch.from_numpy(np.concatenate([one.arrays[name] for one in truths])).to(device)
        for name in truths[0].arrays
    }
    return replace(batch, truth=stacked([one.truth for one in truths], device)), arrays
