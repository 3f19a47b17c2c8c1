"""Embedding: frames of one subject together, those of others apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError
from edgekit.tasks.embedding import Config
from edgekit.training.losses._batch import Distance, TaskLoss
from edgekit.training.losses._scores import texts

if TYPE_CHECKING:
    from torch import Tensor

_TEMPERATURE = 0.1  # of the paper


def loss(task: Config) -> TaskLoss:
    """Supervised contrastive loss (Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2).

    Vectors ``(N, D)`` are brought to length one; a truth is a text that names the subject.  It has no weights of its
    own, as a classifier of the subjects would (ArcFace), so it trains networks whose subjects nobody listed.  A frame
    whose subject is not in the batch twice teaches nothing about itself: draw batches of many frames.
    """
    return partial(_contrastive, task)


def distance(task: Config) -> Distance:
    """One minus the cosine to the teacher's vector: all that the task looks at."""
    return partial(_cosine, task)


def _contrastive(task: Config, outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    import torch
    from torch.nn import functional

    vectors = functional.normalize(outputs[task.output].flatten(1), dim=1)
    count = len(vectors)
    subjects = texts(truth, count, "texts that name the subjects")
    if count < 2:
        raise DataError("the truth of one frame says nothing about an embedding; set training.batch to 8 or more")
    ids = torch.tensor([subjects.index(one) for one in subjects], device=vectors.device)
    itself = torch.eye(count, dtype=torch.bool, device=vectors.device)
    similar = (vectors @ vectors.T / _TEMPERATURE).masked_fill(itself, -torch.inf)
    shares = functional.log_softmax(similar, 1).masked_fill(itself, 0.0)
    partners = (ids[:, None] == ids) & ~itself
    each = -(shares * partners).sum(1) / partners.sum(1).clamp(min=1)
    return each.sum() / partners.any(1).sum().clamp(min=1)


def _cosine(
    task: Config, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], temperature: float
) -> dict[str, Tensor]:
    from torch.nn import functional

    ours, theirs = (outputs[task.output].flatten(1) for outputs in (given, wanted))
    return {task.output: (1 - functional.cosine_similarity(ours, theirs, dim=1)).mean()}
