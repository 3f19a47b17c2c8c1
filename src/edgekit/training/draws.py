"""Training frames, and which of them a step takes, in which variation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from edgekit.core.errors import DataError
from edgekit.core.tensors import Arrays
from edgekit.data import Sample

Vary = Callable[[Sample, "Sequence[str] | None"], Sample]
"""``vary(sample, names of keypoints)`` changes a frame and its truth, as :class:`edgekit.training.Variation` does."""


class Examples(Protocol):
    """Training frames by index: model inputs, each batch first with one frame, and the truth of any form or None."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[Arrays, Any]: ...


@runtime_checkable
class Augmentable(Protocol):
    """Examples whose frames can be changed before they become model inputs."""

    def varied(self, index: int, vary: Vary, /) -> tuple[Arrays, Any]:
        """As ``examples[index]``, of the frame after ``vary``."""


@dataclass(frozen=True)
class Draw:
    """One frame of a step.

    Examples that show the same frames in another size, such as those of a teacher, give the very same picture for it.
    """

    index: int
    vary: Vary | None = None

    def of(self, examples: Examples) -> tuple[Arrays, Any]:
        """Model inputs and truth.

        Raises:
            DataError: the frame is to be changed, and these examples are no frames that could be.
        """
        if self.vary is None:
            return examples[self.index]
        if not isinstance(examples, Augmentable):
            raise DataError("training.augment: these training frames are model inputs already; leave it out")
        return examples.varied(self.index, self.vary)
