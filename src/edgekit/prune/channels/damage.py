"""What it costs to narrow one group alone: how much the loss rises on a few frames."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgekit.core.progress import Progress
from edgekit.prune.channels.choice import Options
from edgekit.prune.channels.frames import Batches
from edgekit.prune.channels.graph import Graph
from edgekit.prune.channels.groups import Group
from edgekit.prune.channels.search import Cost
from edgekit.prune.channels.statistics import retake
from edgekit.runtime.memory import kept
from edgekit.technique import Job
from edgekit.training.losses import Batch, Loss, supervised, teacher

if TYPE_CHECKING:
    from torch import Tensor, nn

_FRAMES = 16
_DEPTHS = (0.5, 1.0)
"""How far, as a share of what the group may lose, a group is narrowed to see what that costs."""


def costs(
    job: Job,
    network: nn.Module,
    inputs: Sequence[Tensor],
    groups: Sequence[Group],
    options: Options,
    scores: Mapping[str, Sequence[Tensor]],
    progress: Progress,
) -> dict[str, Cost]:
    """The cost of every group, at two of its options.

    The loss is the task's where there are training frames with labels and the task has one, else the distance of the
    outputs from those of ``network``, relative to their norm.  Batch norms get new statistics first, as after pruning.

    Args:
        job: whose frames judge.
        network: as it is, in eval mode; not changed.
        inputs: a frame.
        groups: of the network.
        options: widths of each group, widest first.
        scores: importance of the channels.
        progress: counts groups.
    """
    batches = Batches(job, _FRAMES)
    loss = _loss(job, network, batches)
    start = _mean(job, network, batches, loss)
    found = {}
    with kept(), progress.track("prune: what each group costs", len(groups)) as advance:
        for group in groups:
            narrower = options[group.name][1:]
            measured = {}
            depths = _DEPTHS if narrower else ()  # a group of one step stays as it is
            for width in dict.fromkeys(narrower[round((len(narrower) - 1) * depth)] for depth in depths):
                tried = copy.deepcopy(network)
                Graph(tried, inputs).cut([group], {group.name: width}, scores)
                retake(tried, batches)
                measured[width] = _mean(job, tried, batches, loss) - start
            found[group.name] = Cost(group.width, measured)
            advance()
    return found


def _loss(job: Job, network: nn.Module, batches: Batches) -> Loss:
    labelled = job.loss is not None and job.examples is not None and job.examples[0][1] is not None
    if labelled and job.loss is not None:
        return supervised(job.loss)
    return teacher(copy.deepcopy(network), job.inputs, job.outputs)


def _mean(job: Job, network: nn.Module, batches: Batches, loss: Loss) -> float:
    import torch

    total, count = 0.0, 0
    with torch.no_grad():
        for tensors, truth in batches:
            made = {name: one.float() for name, one in zip(job.outputs, network(*tensors), strict=True)}
            given = Batch(dict(zip(job.inputs, tensors, strict=True)), truth)
            total += float(loss(made, given)) * len(tensors[0])
            count += len(tensors[0])
    return total / max(count, 1)
