"""How wide each group of channels gets, and which of its channels stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgekit.core.errors import SpecError
from edgekit.prune.channels.groups import Group, Member

if TYPE_CHECKING:
    from torch import Tensor

Widths = dict[str, int]
"""Channels by name of a group."""


Options = Mapping[str, Sequence[int]]
"""The widths that each group can have, widest first."""


def by_layer(groups: Sequence[Group], options: Options, ratio: float) -> Widths:
    """Every group loses about the same share of its channels."""
    return {group.name: _nearest(options[group.name], group.width * (1 - ratio)) for group in groups}


def over_all(groups: Sequence[Group], options: Options, ratio: float, scores: Mapping[str, Sequence[Tensor]]) -> Widths:
    """The least important channels of the whole network go, wherever they are.

    Args:
        groups: as they were at first: ``ratio`` is a share of their channels.
        options: of each group.
        ratio: share of all channels.
        scores: importance of every channel that is there now, for each member of a group, of mean 1 in every group.
    """
    import torch

    pooled = torch.cat([scores[group.name][0] for group in groups]).sort(descending=True).values
    stays = round(sum(group.width for group in groups) * (1 - ratio))
    threshold = float(pooled[min(stays, len(pooled)) - 1]) if stays else float("inf")
    return {
        group.name: _nearest(options[group.name], int((scores[group.name][0] >= threshold).sum())) for group in groups
    }


def towards(groups: Sequence[Group], options: Options, goals: Widths, share: float) -> Widths:
    """``share`` of the way from the first widths to ``goals``, which are options too."""
    return {
        group.name: _nearest(options[group.name], group.width + (goals[group.name] - group.width) * share)
        for group in groups
    }


def removed(member: Member, scores: Tensor, width: int) -> list[int]:
    """The channels that go so that ``width`` of ``member`` stay: the least important, the same in each of its parts."""
    import torch

    size = member.width // member.unit
    each = scores.reshape(member.unit, size).mean(0)
    # A stable sort: which of equal channels goes is the same everywhere.
    gone = torch.argsort(each, stable=True)[: size - width // member.unit].sort().values
    return [int(channel) + part * size for part in range(member.unit) for channel in gone]


def require_change(groups: Sequence[Group], widths: Mapping[str, int], asked: str, step: int) -> None:
    """Raise :class:`SpecError` when nothing would be pruned."""
    if all(widths[group.name] == group.width for group in groups):
        widest = max(groups, key=lambda group: group.width)
        raise SpecError(
            f"prune: {asked} in steps of {step} channels changes nothing: the widest group, {widest.name}, has "
            f"{widest.width} channels; ask for more, or give a smaller round_to"
        )


def _nearest(options: Sequence[int], wanted: float) -> int:
    """The option nearest to ``wanted``; of two the wider, which comes first."""
    return min(options, key=lambda option: abs(option - wanted))
