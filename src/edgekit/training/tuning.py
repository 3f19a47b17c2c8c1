"""Training within a compress step: on the job's frames, held against the accuracy of the target's engine."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import SpecError
from edgekit.core.reports import TRACE
from edgekit.technique import Job
from edgekit.training.loop import Trained, train
from edgekit.training.losses import Loss
from edgekit.training.settings import TrainingConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


def fit(
    job: Job,
    network: nn.Module,
    loss: Loss,
    config: TrainingConfig,
    title: str,
    frozen: Collection[str] = (),
    model: Callable[[nn.Module], bytes] | None = None,
    sections: Mapping[str, Any] | None = None,
) -> Trained:
    """Train ``network`` in place on ``job.examples``, resuming from ``job.scratch``.

    With a bench, the weights kept are those whose engine has the best task metric on the validation frames.

    Args:
        job: of the step; its network's inputs and outputs are those of ``network``.
        network: as :func:`edgekit.training.train` takes it; it ends with the weights of the result.
        loss: see :mod:`edgekit.training.losses`.
        config: how to train.
        title: shown as progress, and the name of the checkpoint: one per training of a step.
        frozen: names of modules that stay in eval mode.
        model: ONNX bytes of the network as its engine is built; default: exported as it is, in FP32.
        sections: of the network's inputs (JSON), where they are not those of the job.

    Raises:
        SpecError: there are no training frames.
        ModelError: there is no PyTorch network; and as :func:`edgekit.training.train`.
        DataError, MissingRequirement: as :func:`edgekit.training.train`.
    """
    if job.examples is None:
        raise SpecError(f"{title} trains, and there are no training frames; give data.training")
    made = job.need_network(title)[1] if model is None else model
    bench, scratch = job.bench, job.scratch
    judged = (
        None if bench is None else bench.accuracy if sections is None else partial(bench.accuracy, sections=sections)
    )
    return train(
        network,
        job.examples,
        loss,
        config,
        inputs=job.inputs,
        outputs=job.outputs,
        validate=None if judged is None else lambda now: judged(made(now)),
        higher=True if bench is None else bench.metric.higher,
        checkpoint=None if scratch is None else scratch / f"{title.replace(' ', '-')}.checkpoint",
        frozen=frozen,
        title=title,
        metric=None if bench is None else bench.metric.name,
        trace=None if scratch is None else scratch / TRACE,
        progress=job.progress,
    )


def packed(state: Mapping[str, Tensor]) -> bytes:
    """Tensors by name as the bytes of a file that ``torch.load(..., weights_only=True)`` reads."""
    import torch

    file = io.BytesIO()
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, file)
    return file.getvalue()


def unpacked(content: bytes) -> dict[str, Tensor]:
    """What :func:`packed` was given."""
    import torch

    state: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state
