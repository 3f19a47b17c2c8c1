"""Anti-spoofing: cross-entropy of live against everything else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgekit.tasks.antispoofing import Config, presentation
from edgekit.training.losses._batch import Distance, TaskLoss
from edgekit.training.losses._scores import kullback_leibler, log_probabilities, texts

if TYPE_CHECKING:
    from torch import Tensor


def loss(task: Config) -> TaskLoss:
    """Mean negative log-likelihood of live or not live, of each output that is averaged.

    A truth is a text, ``bona_fide`` or a species of attacks.  Classes that are not the live one count as one: which of
    them a species is, the task does not say.
    """
    return partial(_two_classes, task)


def class_scores(task: Config) -> tuple[str, ...]:
    """The outputs, where they hold logits."""
    return task.output if task.activation == "softmax" else ()


def distance(task: Config) -> Distance:
    """The divergence of the classes' distributions, softened where scores are logits."""
    return partial(_divergences, task)


def _two_classes(task: Config, outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    import torch

    count = len(outputs[task.output[0]])
    kinds = texts(truth, count, "texts that name the kind of presentation")
    live = torch.tensor([presentation(kind, task, "of training") == task.bona_fide for kind in kinds])
    parts = []
    for name in task.output:
        found = log_probabilities(outputs[name], task.activation)
        is_live = live.to(found.device)
        others = [i for i in range(found.shape[1]) if i != task.live_class]
        rest = found[:, others].logsumexp(1)
        parts.append(-torch.where(is_live, found[:, task.live_class], rest).mean())
    return torch.stack(parts).mean()


def _divergences(
    task: Config, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], temperature: float
) -> dict[str, Tensor]:
    return {name: kullback_leibler(given[name], wanted[name], task.activation, temperature) for name in task.output}
