"""The distance to the outputs of another network."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from edgekit.core.errors import ModelError
from edgekit.core.suggest import allowed
from edgekit.training.losses._batch import Batch, Loss

if TYPE_CHECKING:
    from torch import Tensor, nn


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
            divergence(given[name], wanted[name].float(), temperature)
            if name in logits
            else normalised_error(given[name], wanted[name].float())
            for name in outputs
        ]
        return torch.stack(parts).mean()

    return distance


def divergences(
    names: Collection[str], given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], temperature: float
) -> dict[str, Tensor]:
    """:func:`divergence` of the outputs ``names``."""
    return {name: divergence(given[name], wanted[name], temperature) for name in names}


def divergence(given: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 KL(wanted || given) of class scores ``(N, C, ...)`` softened by the temperature T, mean over positions.

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, section 2.
    """
    from torch.nn import functional

    positions = wanted.numel() / wanted.shape[1]
    total = functional.kl_div(
        functional.log_softmax(given / temperature, 1),
        functional.log_softmax(wanted / temperature, 1),
        reduction="sum",
        log_target=True,
    )
    return total * (math.pow(temperature, 2) / positions)


def normalised_error(given: Tensor, wanted: Tensor) -> Tensor:
    """Squared error over the squared norm of what is wanted, so that values of any scale weigh the same."""
    return (given - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)
