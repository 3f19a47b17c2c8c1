"""What each layer computes, as a function of the widths of the groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.prune.channels.graph import Graph
from edgekit.prune.channels.groups import Group

if TYPE_CHECKING:
    from torch import Tensor

Kind = str
"""``pointwise``, ``depthwise``, ``spatial`` or ``linear``: layers of one kind run in one kernel."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer.

    Args:
        name: of the module.
        kind: its kernel.
        inputs: channels read, before pruning.
        outputs: channels made, before pruning.
        positions: results for each output channel, over all calls.
        kernel: multiplications for each result and input channel of its part.
        parts: groups of a grouped convolution; a depthwise one counts one input channel.
        reads: how many of its input channels belong to each group.
        makes: how many of its output channels do.
    """

    name: str
    kind: Kind
    inputs: int
    outputs: int
    positions: int
    kernel: int
    parts: int
    reads: Mapping[str, int]
    makes: Mapping[str, int]


class Work:
    """Multiplications and results of every layer, for many choices of widths at once.

    Channels count in whole steps of the target's staircase: a block of which a part is empty takes as long.

    Args:
        layers: of the network.
        groups: whose widths are chosen; their order is that of the columns of choices.
        step: of the staircase.
    """

    def __init__(self, layers: Sequence[Layer], groups: Sequence[Group], step: int) -> None:
        self.layers, self.step = tuple(layers), step
        self.names = tuple(group.name for group in groups)
        self.widths = np.array([group.width for group in groups], float)
        self._reads, self._makes = (
            np.array([[counted.get(name, 0) for counted in which] for name in self.names], float)
            for which in ([one.reads for one in layers], [one.makes for one in layers])
        )
        self._inputs, self._outputs = (np.array([getattr(one, key) for one in layers], float) for key in _ENDS)
        self._positions = np.array([one.positions for one in layers], float)
        self._each = np.array([one.positions * one.kernel / one.parts for one in layers])
        self._depthwise = np.array([one.kind == "depthwise" for one in layers])

    def of(self, choices: Numbers) -> tuple[Numbers, Numbers]:
        """Multiplications, and results, ``(choices, layers)``, of widths ``(choices, groups)``."""
        gone = 1 - choices / self.widths
        read, made = (self._stairs(ends - gone @ held) for ends, held in (
            (self._inputs, self._reads), (self._outputs, self._makes)))  # fmt: skip
        return self._each * np.where(self._depthwise, 1, read) * made, self._positions * made

    def row(self, widths: Mapping[str, int]) -> Numbers:
        """Widths by name of a group as one choice."""
        return np.array([[widths[name] for name in self.names]], float)

    def _stairs(self, channels: Numbers) -> Numbers:
        found: Numbers = np.ceil(np.round(channels, 6) / self.step) * self.step
        return found


_ENDS = ("inputs", "outputs")


def layers(graph: Graph, groups: Sequence[Group], inputs: Sequence[Tensor]) -> list[Layer]:
    """Every convolution and linear layer that runs, in the order of the network."""
    import torch
    from torch import nn

    reads: dict[Any, dict[str, int]] = {}
    makes: dict[Any, dict[str, int]] = {}
    for group in groups:
        for member in group.members:
            for item in graph.coupled(member):
                outer = graph.dg.is_out_channel_pruning_fn(item.dep.handler)
                held = (makes if outer else reads).setdefault(item.dep.target.module, {})
                held[group.name] = held.get(group.name, 0) + len(item.idxs)
    positions: dict[nn.Module, int] = {}

    def seen(module: nn.Module, given: Any, made: Tensor) -> None:
        channels: Any = module.out_features if isinstance(module, nn.Linear) else module.out_channels
        positions[module] = positions.get(module, 0) + made.numel() // channels

    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    hooks = [one.register_forward_hook(seen) for one in graph.network.modules() if isinstance(one, kinds)]
    try:
        with torch.no_grad():
            graph.network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [
        _layer(graph, module, positions[module], reads.get(module, {}), makes.get(module, {}))
        for module in graph.network.modules()
        if module in positions
    ]


def _layer(graph: Graph, module: Any, positions: int, reads: Mapping[str, int], makes: Mapping[str, int]) -> Layer:
    from torch import nn

    name = graph.name(module)
    if isinstance(module, nn.Linear):
        return Layer(name, "linear", module.in_features, module.out_features, positions, 1, 1, reads, makes)
    kernel = int(np.prod(module.kernel_size))
    depthwise = module.groups == module.in_channels == module.out_channels != 1
    kind = "depthwise" if depthwise else "pointwise" if kernel == 1 else "spatial"
    parts = 1 if depthwise else module.groups
    return Layer(name, kind, module.in_channels, module.out_channels, positions, kernel, parts, reads, makes)
