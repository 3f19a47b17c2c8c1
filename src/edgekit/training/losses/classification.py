"""Classification: cross-entropy of the frame's class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError
from edgekit.tasks.classification import Config
from edgekit.training.losses._batch import Distance, TaskLoss
from edgekit.training.losses._scores import kullback_leibler, log_probabilities

if TYPE_CHECKING:
    from torch import Tensor


def loss(task: Config) -> TaskLoss:
    """Mean negative log-likelihood of the true class, whatever the activation of the scores ``(N, C)``.

    The truth of a batch are class ids ``(N,)``.
    """
    return partial(_cross_entropy, task)


def class_scores(task: Config) -> tuple[str, ...]:
    """The output, where it holds logits."""
    return (task.output,) if task.activation == "softmax" else ()


def distance(task: Config) -> Distance:
    """The divergence of the classes' distributions, softened where scores are logits."""
    return partial(_divergence, task)


def _cross_entropy(task: Config, outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    found = log_probabilities(outputs[task.output], task.activation)
    if isinstance(truth, tuple) or truth.ndim != 1 or len(truth) != len(found):
        shape = "of several forms" if isinstance(truth, tuple) else list(truth.shape)
        raise DataError(f"truth is {shape}; expected one class id for each of {len(found)} frames")
    labels = truth.long()
    wrong = labels[(labels < 0) | (labels >= found.shape[1])]
    if len(wrong):
        raise DataError(
            f"truth is the class id {int(wrong[0])}; allowed: 0..{found.shape[1] - 1}; "
            "correct the dataset or task.classes"
        )
    return -found.gather(1, labels[:, None]).mean()


def _divergence(
    task: Config, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], temperature: float
) -> dict[str, Tensor]:
    name = task.output
    return {name: kullback_leibler(given[name], wanted[name], task.activation, temperature)}
