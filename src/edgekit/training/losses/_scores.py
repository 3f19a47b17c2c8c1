"""Class scores of a whole frame, in the three forms that tasks know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-6
"""The smallest probability that a loss sees: a network that ends in a sigmoid may give 0."""

Activation = Literal["softmax", "sigmoid", "none"]


def log_probabilities(scores: Tensor, activation: Activation) -> Tensor:
    """Logarithms ``(N, C)`` of the probabilities; a sigmoid ``(N, 1)`` is that of the second of two classes."""
    import torch
    from torch.nn import functional

    if activation == "softmax":
        return functional.log_softmax(scores, 1)
    if activation == "sigmoid":
        return torch.cat([functional.logsigmoid(-scores), functional.logsigmoid(scores)], 1)
    return scores.clamp(min=LEAST).log()


def kullback_leibler(given: Tensor, wanted: Tensor, activation: Activation, temperature: float) -> Tensor:
    """T^2 KL(wanted || given), mean over the frames; probabilities of no known scores stay as they are, T is 1."""
    softness = 1.0 if activation == "none" else temperature
    ours, theirs = (log_probabilities(scores / softness, activation) for scores in (given, wanted))
    return (theirs.exp() * (theirs - ours)).sum() * (softness**2 / len(given))


def texts(truth: Any, count: int, what: str) -> Sequence[str]:
    """The truths of a batch, if they are texts.

    Raises:
        DataError: they are not.
    """
    if isinstance(truth, tuple) and len(truth) == count and all(isinstance(one, str) for one in truth):
        return truth
    kinds = {type(one).__name__ for one in truth} if isinstance(truth, tuple) else {type(truth).__name__}
    raise DataError(f"the truth of a batch of {count} is {' and '.join(sorted(kinds))}; expected {what}")
