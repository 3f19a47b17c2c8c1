"""Which candidate of a head answers for which object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.training.losses._heads import overlap

if TYPE_CHECKING:
    from torch import Tensor

_NEAR = 1.5  # strides around the centre of an object
_MOST = 10  # candidates whose overlap says how many an object gets
_BOX, _OUTSIDE = 3.0, 1e5  # of the cost


@dataclass(frozen=True)
class Matched:
    """``candidates`` ``(P,)``, rows of the head, and the ``objects`` ``(P,)`` that each answers for."""

    candidates: Tensor
    objects: Tensor


def match(boxes: Tensor, chances: Tensor, at: Tensor, wanted: Tensor, labels: Tensor) -> Matched:
    """Dynamic assignment of one frame (SimOTA: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", section 2.2).

    Candidates in an object, or near its centre, cost what their class and box are wrong by; an object gets its
    cheapest ones, as many as the overlaps of its best ten add up to, at least one; a candidate that several want
    answers for the one where it costs least.

    Args:
        boxes: of the candidates, left, top, right, bottom in pixels ``(M, 4)``.
        chances: probability of each class ``(M, C)``.
        at: reference points ``(M, 5)``.
        wanted: boxes of the objects ``(G, 4)``, G at least 1.
        labels: class ids ``(G,)``.
    """
    import torch
    from torch.nn import functional

    with torch.no_grad():
        centres, strides = at[:, None, :2], at[:, None, 2]
        inside = ((centres > wanted[:, :2]) & (centres < wanted[:, 2:])).all(2)
        middles = (wanted[:, :2] + wanted[:, 2:]) / 2
        near = ((centres - middles).abs() < _NEAR * strides[..., None]).all(2)
        rows = (inside | near).any(1).nonzero()[:, 0]
        if not len(rows):  # a head whose grid leaves an object out
            return Matched(rows, rows)
        iou, _ = overlap(boxes[rows, None], wanted)
        classes = functional.one_hot(labels, chances.shape[1]).float()
        shares = chances[rows, None].clamp(1e-6, 1 - 1e-6).expand(-1, len(wanted), -1)
        wrong = functional.binary_cross_entropy(shares, classes.expand_as(shares), reduction="none").sum(2)
        cost = wrong - _BOX * (iou + 1e-8).log() + _OUTSIDE * ~(inside & near)[rows]
        counts = iou.topk(min(_MOST, len(rows)), 0).values.sum(0).int().clamp(min=1)
        taken = torch.zeros_like(cost, dtype=torch.bool)
        for place, count in enumerate(counts.tolist()):
            taken[cost[:, place].topk(count, largest=False).indices, place] = True
        chosen = taken.any(1)
        objects = cost.masked_fill(~taken, torch.inf).argmin(1)
        return Matched(rows[chosen], objects[chosen])
