"""Detection heads as tensors: rows of candidates, and their boxes with gradients.

The arithmetic of the boxes is that of :mod:`edgekit.tasks.detection.families`, which reads engines without PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.core.errors import DataError
from edgekit.tasks.detection import Config
from edgekit.tasks.detection.families import BoxCoding, Family, points

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Candidates of a batch, as the head codes them.

    ``boxes`` ``(N, M, K)``, ``scores`` ``(N, M, C)`` with the background's column, ``objectness`` ``(N, M)`` or None.
    """

    boxes: Tensor
    scores: Tensor
    objectness: Tensor | None


def rows(task: Config, outputs: Mapping[str, Tensor]) -> Rows:
    """The candidates in the outputs, in the order of the reference points."""
    import torch

    family, count = task.resolved(), len(task.classes)
    widths = {"boxes": family.box_columns, "scores": family.score_columns(count), "objectness": 1}
    parts = {}
    for part, names in task.parts.items():
        width = widths.get(part, family.columns(count))
        parts[part] = torch.cat([_flat(outputs[name], family, width) for name in names], 1)
    if "head" not in parts:
        objectness = parts["objectness"][..., 0] if "objectness" in parts else None
        return Rows(parts["boxes"], parts["scores"], objectness)
    head, width = parts["head"], family.box_columns
    if not family.objectness:
        return Rows(head[..., :width], head[..., width:], None)
    before = family.column_order == "objectness-first"
    boxes, column = (head[..., 1 : width + 1], 0) if before else (head[..., :width], width)
    return Rows(boxes, head[..., width + 1 :], head[..., column])


def _flat(value: Tensor, family: Family, width: int) -> Tensor:
    """One output as ``(N, M, width)``."""
    if family.layout == "rows":
        return value
    if family.layout == "columns":
        return value.transpose(1, 2)
    if value.ndim == 5:
        return value.flatten(1, 3)
    count, _, height, columns = value.shape
    return value.reshape(count, -1, width, height * columns).transpose(2, 3).flatten(1, 2)


def reference(family: Family, size: tuple[int, int], count: int, like: Tensor) -> Tensor:
    """Reference points ``(M, 5)``; see :func:`edgekit.tasks.detection.families.points`.

    Raises:
        DataError: the head has another number of candidates.
    """
    import torch

    found = torch.from_numpy(points(size, family)).to(like.device)
    if len(found) != count:
        raise DataError(
            f"the head has {count} candidates, but strides {list(family.strides)} on an input of {size[0]}x{size[1]} "
            f"make {len(found)}; correct task.strides or task.anchors, or the size under preprocess"
        )
    return found


def _corners(centres: Tensor, sizes: Tensor) -> Tensor:
    import torch

    return torch.cat([centres - sizes / 2, centres + sizes / 2], -1)


def _grid_exp(raw: Tensor, at: Tensor, family: Family) -> Tensor:
    stride = at[:, 2:3]
    # A network that starts from nothing may give any logarithm; e^10 cells are larger than every frame.
    return _corners(at[:, :2] + (raw[..., :2] - 0.5) * stride, raw[..., 2:].clamp(max=10).exp() * stride)


def _grid_tanh(raw: Tensor, at: Tensor, family: Family) -> Tensor:
    centres = at[:, :2] + (raw[..., :2].tanh() - 0.5) * at[:, 2:3]
    return _corners(centres, raw[..., 2:].sigmoid() * at[:, 3:])


def _sides(raw: Tensor, at: Tensor, family: Family) -> Tensor:
    import torch

    reach = raw * at[:, 2:3]
    return torch.cat([at[:, :2] - reach[..., :2], at[:, :2] + reach[..., 2:]], -1)


def _distribution(raw: Tensor, at: Tensor, family: Family) -> Tensor:
    import torch

    shares = raw.reshape(*raw.shape[:-1], 4, family.bins).softmax(-1)
    return _sides((shares * torch.arange(family.bins, device=raw.device)).sum(-1), at, family)


def _anchor_exp(raw: Tensor, at: Tensor, family: Family) -> Tensor:
    centres = at[:, :2] + (raw[..., :2].sigmoid() - 0.5) * at[:, 2:3]
    return _corners(centres, raw[..., 2:].clamp(max=10).exp() * at[:, 3:])


def _anchor_sigmoid(raw: Tensor, at: Tensor, family: Family) -> Tensor:
    share = raw.sigmoid()
    return _corners(at[:, :2] + (2 * share[..., :2] - 1) * at[:, 2:3], (2 * share[..., 2:]) ** 2 * at[:, 3:])


_Decode = Callable[["Tensor", "Tensor", Family], "Tensor"]
GRIDS: Mapping[BoxCoding, _Decode] = {
    "grid-exp": _grid_exp,
    "grid-tanh": _grid_tanh,
    "sides": _sides,
    "distribution": _distribution,
    "anchor-exp": _anchor_exp,
    "anchor-sigmoid": _anchor_sigmoid,
}
"""Left, top, right, bottom in pixels of the input ``(..., M, 4)``, of codings that have reference points."""

DIRECT: Mapping[BoxCoding, Callable[[Tensor], Tensor]] = {
    "cxcywh": lambda raw: _corners(raw[..., :2], raw[..., 2:]),
    "cxcywh-sigmoid": lambda raw: _corners(raw[..., :2].sigmoid(), raw[..., 2:].sigmoid()),
    "xyxy": lambda raw: raw,
    "yxyx": lambda raw: raw[..., [1, 0, 3, 2]],
}
"""The same in the unit of the head, of codings that need nothing else."""


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes that broadcast, ``(...)``.

    Rezatofighi et al., "Generalized intersection over union", CVPR 2019.
    """
    area, other_area = (_extent(boxes[..., 2:] - boxes[..., :2]) for boxes in (one, other))
    shared = _extent(one[..., 2:].minimum(other[..., 2:]) - one[..., :2].maximum(other[..., :2]))
    around = _extent(one[..., 2:].maximum(other[..., 2:]) - one[..., :2].minimum(other[..., :2]))
    union = (area + other_area - shared).clamp(min=1e-7)
    iou = shared / union
    return iou, iou - (around - union) / around.clamp(min=1e-7)


def _extent(sides: Tensor) -> Tensor:
    return sides.clamp(min=0).prod(-1)
