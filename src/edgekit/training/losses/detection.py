"""Detection: boxes, objectness and classes of the candidates that answer for an object."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError, SpecError
from edgekit.core.predictions import Geometry, Objects
from edgekit.tasks.detection import Config
from edgekit.tasks.detection.families import Family
from edgekit.training.losses._assign import match
from edgekit.training.losses._batch import Distance, Placed, TaskLoss
from edgekit.training.losses._heads import DIRECT, GRIDS, Rows, overlap, reference, rows
from edgekit.training.losses._scores import LEAST

if TYPE_CHECKING:
    from torch import Tensor

_BOX_WEIGHT = 5.0  # of YOLOX


def loss(task: Config) -> TaskLoss:
    """The loss of YOLOX with its assignment (Ge et al., "YOLOX: Exceeding YOLO Series in 2021"), over the objects.

    Boxes: 1 - GIoU, times 5.  With an objectness: its cross-entropy, and that of the classes of the candidates that
    answer for an object, which should be as sure as their boxes are right.  Without one: quality focal loss of all
    candidates (Li et al., "Generalized focal loss", NeurIPS 2020).  In regions of many objects (crowd) a candidate is
    neither right nor wrong.  A truth is :class:`Placed`.

    Raises:
        SpecError: the head has no reference points, suppresses inside, or has a softmax over its classes: SSD, DETR
            and heads that decode inside.
    """
    family = task.resolved()
    fits = family.layout != "final" and family.box_coding in GRIDS and task.priors is None
    if not fits or family.score_coding == "softmax" or family.background != "none":
        raise SpecError(
            f"task.family {task.family}: its loss needs boxes coded as {', '.join(GRIDS)}, before they are decoded, "
            f"and independent classes; found {family.box_coding} with {family.score_coding} scores: export the raw "
            "head, or train towards a teacher, which needs no loss of the task"
        )
    return partial(_loss, task, family)


def distance(task: Config) -> Distance | None:
    """Scores by their cross-entropy with the teacher's, boxes where it sees an object, weighed by how sure it is.

    Mehta and Ozturk, "Object detection at 200 frames per second", ECCV Workshops 2018, equations 3 to 5.

    None for heads that suppress inside: their rows have no fixed meaning.
    """
    return None if task.resolved().layout == "final" else partial(_distance, task)


def placed(task: Config, truth: Any, geometry: Geometry) -> Any:
    """Objects in pixels of the model's input."""
    if not isinstance(truth, Objects):
        return truth
    top, left, rows_, columns = geometry.content
    x, y = columns / geometry.original[1], rows_ / geometry.original[0]
    boxes = truth.boxes * [x, y, x, y] + [left, top, left, top]
    made = Objects(boxes.astype("float32"), truth.labels, truth.crowd, truth.areas * (x * y))
    return Placed(made, geometry.tensor)


def _loss(task: Config, family: Family, outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    found = rows(task, outputs)
    frames = _placed(truth, len(found.boxes), len(task.classes))
    at = reference(family, frames[0].size, found.boxes.shape[1], found.boxes)
    boxes = GRIDS[family.box_coding](found.boxes, at, family)
    quality, objects, crowd = _targets(family, found, boxes, at, frames)
    import torch

    mask = quality.sum(2) > 0
    count = max(1, int(mask.sum()))
    total = boxes.new_zeros(())
    if mask.any():
        total = total + _BOX_WEIGHT * (1 - overlap(boxes[mask], objects[mask])[1]).sum()
    counted = ~(crowd & ~mask)
    if found.objectness is not None:
        sure = _entropy(found.objectness, mask.float(), family)
        total = total + sure[counted].sum() + _entropy(found.scores[mask], quality[mask], family).sum()
    else:
        each = _entropy(found.scores, quality, family)
        gap = (_chance(found.scores, family).detach() - quality).abs().square()
        total = total + (each * gap * counted[..., None]).sum()
    return torch.as_tensor(total / count)


def _targets(
    family: Family, found: Rows, boxes: Tensor, at: Tensor, frames: tuple[Placed, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """What each candidate should give: how sure of each class ``(N, M, C)`` and which box ``(N, M, 4)``; and whether it
    lies in a crowd ``(N, M)``."""
    import torch

    chances = _chance(found.scores, family).detach()
    if found.objectness is not None:
        chances = (chances * _chance(found.objectness, family).detach()[..., None]).sqrt()
    quality, wanted = torch.zeros_like(chances), torch.zeros_like(boxes.detach())
    crowds = torch.zeros(chances.shape[:2], dtype=torch.bool, device=boxes.device)
    for i, frame in enumerate(frames):
        each = torch.from_numpy(frame.objects.boxes).to(boxes.device)
        labels = torch.from_numpy(frame.objects.labels).to(boxes.device)
        crowd = torch.from_numpy(frame.objects.crowd).to(boxes.device)
        centres = at[:, None, :2]
        crowds[i] = ((centres > each[crowd, :2]) & (centres < each[crowd, 2:])).all(2).any(1)
        each, labels = each[~crowd], labels[~crowd]
        if not len(each):
            continue
        matched = match(boxes[i].detach(), chances[i], at, each, labels)
        right = overlap(boxes[i].detach()[matched.candidates], each[matched.objects])[0]
        quality[i, matched.candidates, labels[matched.objects]] = right.clamp(min=LEAST)
        wanted[i, matched.candidates] = each[matched.objects]
    return quality, wanted, crowds


def _distance(
    task: Config, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], temperature: float
) -> dict[str, Tensor]:
    import torch
    from torch.nn import functional

    family = task.resolved()
    ours, theirs = rows(task, given), rows(task, wanted)
    sure = _sure(theirs, family)
    total = _divergence(ours.scores, theirs.scores, family).sum(2)
    if ours.objectness is not None and theirs.objectness is not None:
        total = total * _chance(theirs.objectness, family)  # classes of what is no object mean nothing
        total = total + _divergence(ours.objectness, theirs.objectness, family)
    if family.box_coding in DIRECT:
        decode = DIRECT[family.box_coding]
        boxes = 1 - overlap(decode(ours.boxes), decode(theirs.boxes))[1]
    else:
        boxes = functional.smooth_l1_loss(ours.boxes, theirs.boxes, reduction="none").sum(2)
    found = (total + sure * boxes).sum() / sure.sum().clamp(min=1)
    names = [name for part in task.parts.values() for name in part]
    return dict.fromkeys(names, torch.as_tensor(found))


def _sure(found: Rows, family: Family) -> Tensor:
    """How sure a head is that a candidate shows an object, ``(N, M)``."""
    shares = _chance(found.scores, family)
    if family.background != "none":
        shares = shares[..., 1:] if family.background == "first" else shares[..., :-1]
    best = shares.max(2).values
    return best if found.objectness is None else best * _chance(found.objectness, family)


def _chance(scores: Tensor, family: Family) -> Tensor:
    if family.score_coding == "probability":
        return scores.clamp(0, 1)
    return scores.sigmoid() if family.score_coding == "sigmoid" else scores.softmax(-1)


def _entropy(scores: Tensor, wanted: Tensor, family: Family) -> Tensor:
    """Binary cross-entropy, element by element."""
    from torch.nn import functional

    if family.score_coding == "sigmoid":
        return functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    return functional.binary_cross_entropy(scores.clamp(LEAST, 1 - LEAST), wanted, reduction="none")


def _divergence(ours: Tensor, theirs: Tensor, family: Family) -> Tensor:
    """Cross-entropy above that of the teacher with itself: 0 for the teacher's own scores."""
    if family.score_coding == "softmax":
        log_ours, log_theirs = (scores.log_softmax(-1) for scores in (ours, theirs))
        return log_theirs.exp() * (log_theirs - log_ours)
    wanted = _chance(theirs, family)
    return _entropy(ours, wanted, family) - _entropy(theirs, wanted, family)


def _placed(truth: Any, count: int, classes: int) -> tuple[Placed, ...]:
    if not isinstance(truth, tuple) or len(truth) != count or not all(isinstance(one, Placed) for one in truth):
        kinds = {type(one).__name__ for one in truth} if isinstance(truth, tuple) else {type(truth).__name__}
        raise DataError(
            f"the truth of a batch of {count} is {' and '.join(sorted(kinds))}; expected objects: "
            "use a dataset with boxes"
        )
    highest = max((int(one.objects.labels.max()) for one in truth if len(one.objects)), default=0)
    if highest >= classes:
        raise DataError(f"truth has the class id {highest}; allowed: 0..{classes - 1}; correct task.classes")
    return truth
