"""What training minimises: the loss of a task on labelled frames, or the distance to a teacher's outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.errors import DataError, ModelError, SpecError
from edgekit.core.suggest import allowed
from edgekit.tasks import TaskConfig, segmentation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """Examples of one step, on the device of the network.

    ``inputs`` maps the model's input names to tensors, batch first; ``truth`` stacks the frames' truths
    in the dtype of the dataset (segmentation: uint8 ``(N, H, W)``), None for frames without labels.  Truths
    that do not stack, such as objects, stand one after another as the dataset gives them.
    """

    inputs: Mapping[str, Tensor]
    truth: Tensor | tuple[Any, ...] | None


Loss = Callable[[Mapping[str, "Tensor"], Batch], "Tensor"]
"""``loss(outputs, batch) -> scalar``; the outputs are float32, by name, batch first."""

TaskLoss = Callable[[Mapping[str, "Tensor"], Any], "Tensor"]
"""``loss(outputs, truth) -> scalar``; truth as in :class:`Batch`."""


def of_task(task: TaskConfig) -> TaskLoss | None:
    """The built-in loss of a task, or None for a kind that has none (the teacher's loss needs no task).

    Segmentation by a threshold has none: whether its one channel holds logits or probabilities is not known.
    """
    return _segmentation(task) if isinstance(task, segmentation.Config) and task.threshold is None else None


def supervised(loss: TaskLoss) -> Loss:
    """``loss`` on the truth of each batch."""

    def over(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        if batch.truth is None:
            raise DataError(
                "the task's loss needs frames with truth, found one without; "
                "use the loss 'teacher', or a labelled format for data.training"
            )
        return loss(outputs, batch.truth)

    return over


def teacher(
    network: nn.Module,
    inputs: Sequence[str],
    outputs: Sequence[str],
    logits: Collection[str] = (),
    temperature: float = 2.0,
) -> Loss:
    """Match the outputs of ``network``, so that frames need no labels.

    Outputs named in ``logits`` (class scores on axis 1) are matched as distributions softened by
    ``temperature`` T: T^2 KL(teacher || student), per position (Hinton, Vinyals and Dean, "Distilling
    the knowledge in a neural network", 2015, section 2).  Every other output is matched by its squared
    error over the teacher's squared norm, so that outputs of any scale weigh the same.

    Args:
        network: positional tensors in, tuple of tensors out; put in eval mode, never changed.
        inputs: names of the tensors in, in order.
        outputs: names of the tensors out, in order.
        logits: output names.
        temperature: above 0; 1 is the plain distribution.

    Raises:
        ModelError: ``logits`` names no output.
    """
    unknown = next((name for name in logits if name not in outputs), None)
    if unknown is not None:
        raise ModelError(f"logits: the model has no output {unknown!r}; {allowed(unknown, tuple(outputs))}")
    network.eval()

    def distance(given: Mapping[str, Tensor], batch: Batch) -> Tensor:
        import torch

        tensors = [batch.inputs[name] for name in inputs]
        with torch.no_grad():
            wanted = dict(zip(outputs, network.to(tensors[0].device)(*tensors), strict=True))
        parts = [
            _divergence(given[name], wanted[name].float(), temperature)
            if name in logits
            else _normalised_error(given[name], wanted[name].float())
            for name in outputs
        ]
        return torch.stack(parts).mean()

    return distance


def pick(
    name: Literal["task", "teacher"],
    *,
    task: TaskLoss | None,
    network: Callable[[], nn.Module],
    inputs: Sequence[str],
    outputs: Sequence[str],
    logits: Collection[str] = (),
) -> Loss:
    """The loss called ``name``: that of the task, or the distance to a fresh ``network()``.

    Raises:
        SpecError: ``task`` is wanted and there is none.
    """
    if name == "teacher":
        return teacher(network(), inputs, outputs, logits)
    if task is None:
        raise SpecError("loss: 'task' needs a task with a built-in loss; use loss: teacher, which needs none")
    return supervised(task)


def _segmentation(config: segmentation.Config) -> TaskLoss:
    """Mean cross-entropy over the pixels that are not ``ignore_index``.

    Scores ``(N, C, h, w)`` are brought to the size of the masks ``(N, H, W)`` as the task's decoder does
    (bilinear, pixel centres aligned), so a mask covers the same area as the model's input.
    """
    count, ignored = len(config.classes), config.ignore_index

    def loss(outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
        from torch.nn import functional

        scores = outputs[config.output]
        masks = _stacked(truth, scores.shape[0])
        labels = masks.long()
        kept = labels >= 0 if ignored is None else labels != ignored
        highest = int(labels[kept].max()) if kept.any() else 0
        if highest >= count:
            raise DataError(
                f"truth has the class id {highest}; allowed: 0..{count - 1} and task.ignore_index ({ignored}); "
                "correct the mask, task.classes or task.ignore_index"
            )
        if scores.shape[-2:] != labels.shape[-2:]:
            scores = functional.interpolate(scores, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        total = functional.cross_entropy(scores, labels.masked_fill(~kept, -100), reduction="sum")
        return total / kept.sum().clamp(min=1)  # a batch that is void everywhere teaches nothing, but is no NaN

    return loss


def _stacked(truth: Any, count: int) -> Tensor:
    """The masks of a batch, if they are such."""
    if isinstance(truth, tuple):
        found = {str(list(one.shape)) if hasattr(one, "shape") else type(one).__name__ for one in truth}
        raise DataError(
            f"the truths of a batch are {' and '.join(sorted(found))}; expected masks of one size: "
            "make them so, or set training.batch to 1"
        )
    masks: Tensor = truth
    if masks.ndim != 3 or masks.shape[0] != count:
        raise DataError(f"truth has shape {list(masks.shape)}; expected masks [{count}, H, W]")
    return masks


def _divergence(given: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    from torch.nn import functional

    positions = wanted.numel() / wanted.shape[1]
    total = functional.kl_div(
        functional.log_softmax(given / temperature, 1),
        functional.log_softmax(wanted / temperature, 1),
        reduction="sum",
        log_target=True,
    )
    return total * (math.pow(temperature, 2) / positions)


def _normalised_error(given: Tensor, wanted: Tensor) -> Tensor:
    return (given - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)
