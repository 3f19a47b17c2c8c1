"""The frames of a step, read and stacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.training._randomness import order
from edgekit.training.draws import Draw, Examples
from edgekit.training.losses import Batch, stacked
from edgekit.training.settings import TrainingConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def draws(config: TrainingConfig, step: int, count: int) -> list[Draw]:
    """The frames of a step, out of ``count``."""
    indices = order(config.seed, step, config.frames, count)
    augment = config.augment
    if augment is None:
        return [Draw(index) for index in indices]
    return [Draw(index, augment.drawn(config.seed, step, place)) for place, index in enumerate(indices)]


def batches(
    examples: Examples, config: TrainingConfig, step: int, inputs: Sequence[str], device: torch.device
) -> Iterator[Batch]:
    """The batches of a step, as many as it accumulates, each read when it is asked for.

    Raises:
        DataError: a frame lacks an input, or frames differ in size.
    """
    drawn = draws(config, step, len(examples))
    for first in range(0, len(drawn), config.batch):
        yield _batch(examples, drawn[first : first + config.batch], config, inputs, device)


def _batch(
    examples: Examples, drawn: Sequence[Draw], config: TrainingConfig, inputs: Sequence[str], device: torch.device
) -> Batch:
    import torch

    read = [draw.of(examples) for draw in drawn]
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    feeds: dict[str, Tensor] = {}
    for name in inputs:
        missing = next((feed for feed, _ in read if name not in feed), None)
        if missing is not None:
            raise DataError(f"a training frame has no input {name!r}; it has {', '.join(missing) or 'none'}")
        tensor = torch.from_numpy(_joined(f"input {name!r}", [feed[name] for feed, _ in read]))
        feeds[name] = tensor.to(device, memory_format=layout if tensor.dim() == 4 else torch.preserve_format)
    return Batch(feeds, stacked([truth for _, truth in read], device), tuple(drawn))


def _joined(what: str, arrays: Sequence[Array]) -> Array:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise DataError(
            f"{what} is {list(first)} in one training frame and {list(second)} in another; "
            "make them one size or set training.batch to 1"
        )
    return np.concatenate(arrays)
