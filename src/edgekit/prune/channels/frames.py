"""Frames as a network takes them: a few, evenly spread, in small batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Arrays
from edgekit.technique import Job
from edgekit.training.losses import stacked as joined

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 8


@dataclass(frozen=True)
class Batches:
    """The job's training frames, or its calibration frames where there are none: at most ``count``.

    Iterated: the network's inputs in order, and the truths (training frames with labels) or None.
    """

    job: Job
    count: int

    @property
    def labelled(self) -> bool:
        """Whether there is truth."""
        return self.job.examples is not None

    def __iter__(self) -> Iterator[tuple[list[Tensor], Any]]:
        frames = self._frames()
        while batch := list(itertools.islice(frames, _BATCH)):
            tensors = stacked(self.job, [feeds for feeds, _ in batch])
            truths = [truth for _, truth in batch]
            yield tensors, joined(truths, tensors[0].device)

    def _frames(self) -> Iterator[tuple[Arrays, Any]]:
        examples = self.job.examples
        if examples is None:
            taken = min(self.count, len(self.job.frames))
            yield from ((feeds, None) for feeds in itertools.islice(iter(self.job.frames), taken))
            return
        taken = min(self.count, len(examples))
        yield from (examples[index * len(examples) // taken] for index in range(taken))


def first(job: Job) -> list[Tensor]:
    """The first calibration frame, as the network takes it.

    Raises:
        DataError: there is none.
    """
    feeds = next(iter(job.frames), None)
    if feeds is None:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return stacked(job, [feeds])


def stacked(job: Job, feeds: list[Arrays]) -> list[Tensor]:
    """Frames of one size as a batch."""
    import torch

    names = job.inputs or tuple(feeds[0])
    return [torch.from_numpy(np.concatenate([np.asarray(one[name]) for one in feeds])) for name in names]
