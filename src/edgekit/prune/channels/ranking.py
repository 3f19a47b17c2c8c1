"""Which channels matter least: by their weights, by the loss, or by what they carry on calibration frames.

Every importance gives a tensor over the channels of a coupled group, of mean 1, so that groups compare.

* ``l1``, ``l2``: norms of the weights (Li et al., "Pruning Filters for Efficient ConvNets", 2017), over the group
  (Fang et al., "DepGraph", 2023).
* ``bn_scale``: scales of the batch norms (Liu et al., "Learning Efficient Convolutional Networks through Network
  Slimming", 2017).
* ``taylor``: weight times gradient of the task's loss (Molchanov et al., "Importance Estimation for Neural Network
  Pruning", 2019).
* ``activation``: what each channel adds to the layers that read it, norm of the weights times root mean square of the
  input (Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", 2024, by channel).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.errors import ModelError, SpecError
from edgekit.prune.channels.frames import Batches
from edgekit.training.losses import Batch, TaskLoss, supervised

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind = Literal["l1", "l2", "taylor", "bn_scale", "activation"]
Importance = Callable[[str, Any], "Tensor"]
"""Takes a layer's name and the channels that torch-pruning couples to its outputs."""


def importance(
    kind: Kind, network: nn.Module, batches: Batches, outputs: Sequence[str], loss: TaskLoss | None
) -> Importance:
    """The importance of this kind, of mean 1 over the channels of a group; ``taylor`` leaves gradients in ``network``.

    Raises:
        SpecError: ``taylor`` without labelled training frames, or for a task that has no loss.
        ModelError: later, for a group that cannot be ranked so.
    """
    from torch_pruning.pruner import importance as known

    rank: Callable[[Any], Tensor | None]
    if kind == "taylor":
        _differentiate(network, batches, outputs, loss)
        rank = _of_the_root(known.GroupTaylorImportance)()
    elif kind == "activation":
        rank = _Carried(_spread(network, batches))
    elif kind == "bn_scale":
        rank = _of_the_root(known.BNScaleImportance)()
    else:
        rank = _of_the_root(known.GroupMagnitudeImportance)(p=int(kind[1]))
    return lambda name, channels: _ranked(rank(channels), name, kind)


def _of_the_root(kind: Any) -> Any:
    """The importance, over the channels of the group's first layer.

    torch-pruning takes the length of what it ranks first, which after a concatenation has more channels.
    """
    import torch

    class OfTheRoot(kind):  # type: ignore[misc]
        def _reduce(self, scores: list[Tensor], channels: list[list[int]]) -> Any:
            width = 1 + max(max(each) for each in channels)
            return super()._reduce([torch.zeros(width), *scores], [list(range(width)), *channels])

    return OfTheRoot


def _ranked(scores: Tensor | None, group: str, kind: Kind) -> Tensor:
    """The scores, if there are such."""
    import torch

    if scores is None or len(scores) == 0:
        what = "has no batch norm" if kind == "bn_scale" else "has no weights that can be ranked"
        raise ModelError(f"importance {kind}: {group} {what}; use importance l2, or keep: [{group}]")
    if not bool(torch.isfinite(scores).all()):
        raise ModelError(f"importance {kind} of {group} is not finite; look at its weights, or keep: [{group}]")
    return scores


def _differentiate(network: nn.Module, batches: Batches, outputs: Sequence[str], loss: TaskLoss | None) -> None:
    """Leave the gradient of the task's loss over all batches in the parameters."""
    import torch

    if loss is None or not batches.labelled:
        raise SpecError(
            "importance: taylor needs labelled training frames and a task with a loss; "
            "give data.training, or use importance activation, which needs calibration frames only"
        )
    over = supervised(loss)
    network.eval().zero_grad()
    for tensors, truth in batches:
        made = dict(zip(outputs, network(*tensors), strict=True))
        over(made, Batch({}, truth)).backward()  # type: ignore[no-untyped-call]
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def _spread(network: nn.Module, batches: Batches) -> dict[nn.Module, Tensor]:
    """Root mean square of every input channel of the convolutions and linear layers."""
    import torch
    from torch import nn

    sums: dict[nn.Module, Tensor] = {}
    counts: dict[nn.Module, int] = {}

    def seen(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kernel = module.kernel_size if isinstance(module, nn.modules.conv._ConvNd) else ()
        channel = inputs[0].ndim - len(kernel) - 1
        values = inputs[0].detach().double().square().movedim(channel, 0).flatten(1)
        sums[module] = sums.get(module, torch.zeros(())) + values.sum(1)
        counts[module] = counts.get(module, 0) + values.shape[1]

    layers = [one for one in network.modules() if isinstance(one, nn.Linear | nn.modules.conv._ConvNd)]
    hooks = [one.register_forward_pre_hook(seen) for one in layers]
    try:
        with torch.no_grad():
            for tensors, _ in batches:
                network(*tensors)
    finally:
        for hook in hooks:
            hook.remove()
    return {module: (total / counts[module]).sqrt().float() for module, total in sums.items()}


class _Carried:
    """Norm of the weights that read a channel, times the channel's root mean square."""

    def __init__(self, spread: dict[nn.Module, Tensor]) -> None:
        self.spread = spread

    def __call__(self, group: Any) -> Tensor | None:
        import torch
        from torch_pruning.pruner import function

        readers = (function.prune_conv_in_channels, function.prune_linear_in_channels)
        scores, found = torch.zeros(len(group[0].idxs)), False
        for item in group:
            layer = item.dep.layer
            if item.dep.handler not in readers or layer not in self.spread:
                continue
            weight = layer.weight.detach()
            weight = weight if getattr(layer, "transposed", False) else weight.transpose(0, 1)
            norms = weight.flatten(1).norm(dim=1)
            norms = norms.repeat(len(self.spread[layer]) // len(norms))  # a grouped convolution holds one part
            carried = (norms * self.spread[layer])[item.idxs]
            scores.scatter_add_(0, torch.tensor(item.root_idxs), carried)
            found = True
        return scores / scores.mean().clamp(min=1e-30) if found else None
