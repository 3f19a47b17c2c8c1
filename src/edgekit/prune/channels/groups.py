"""Channels that can only go together, and the widths that they can be given.

A group is what the dependency graph couples: the channels that a residual adds up, say, and all layers that read them
(Fang et al., "DepGraph: Towards Any Structural Pruning", 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """A layer whose output channels are cut, and all that the graph couples to them.

    Args:
        layer: name of the module.
        width: output channels.
        unit: how many go at once: one of each group of a grouped convolution, one of each attention head.
    """

    layer: str
    width: int
    unit: int = 1


@dataclass(frozen=True)
class Group:
    """Channels of one width.

    Args:
        members: the first gives name and width; further ones are narrowed by the same share (an attention's inner
            width that the code takes from the width of its input).
        layers: every layer that has these outputs, in the order of the network.
    """

    members: tuple[Member, ...]
    layers: tuple[str, ...]

    @property
    def name(self) -> str:
        """That of its first layer."""
        return self.layers[0]

    @property
    def width(self) -> int:
        """Channels of its first member."""
        return self.members[0].width

    @property
    def unit(self) -> int:
        """The smallest number of channels by which it can be narrowed, so that every member can follow."""
        needed = (
            self.width * member.unit // math.gcd(member.width, self.width * member.unit) for member in self.members
        )
        return math.lcm(*needed)

    def widths(self, width: int) -> tuple[int, ...]:
        """Channels of each member when the first has ``width``, a multiple of :attr:`unit`."""
        return tuple(member.width * width // self.width for member in self.members)

    def options(self, step: int = 1, max_ratio: float = 1.0) -> tuple[int, ...]:
        """The widths that it can have, widest first: what it has, and multiples of ``step`` below.

        Args:
            step: of the target's staircase.
            max_ratio: the largest share of channels that may go; one step always stays.
        """
        stride = math.lcm(self.unit, step)
        # A share such as 0.9 of 10 channels must not fail by the last bit of a float.
        narrowest = max(math.ceil(self.width * (1 - max_ratio) - 1e-9), 1)
        below = range((self.width - 1) // stride * stride, narrowest - 1, -stride)
        return (self.width, *below)
