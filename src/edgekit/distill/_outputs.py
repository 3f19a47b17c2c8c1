"""How far a student's outputs are from a teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgekit.core.errors import ModelError
from edgekit.core.suggest import allowed
from edgekit.distill._config import BesideOutputs
from edgekit.technique import Job
from edgekit.training.losses import divergence, normalised_error

if TYPE_CHECKING:
    from torch import Tensor


def lined_up(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The teacher's outputs in the shapes of the student's: dense ones of another resolution are resized (bilinear).

    Raises:
        ModelError: an output has other dimensions than its namesake.
    """
    from torch.nn import functional

    found = {}
    for name, tensor in given.items():
        other = wanted[name]
        if tensor.shape != other.shape:
            if tensor.ndim != 4 or other.ndim != 4 or tensor.shape[:2] != other.shape[:2]:
                raise ModelError(
                    f"output {name!r} is {list(tensor.shape)} of the student and {list(other.shape)} of the teacher; "
                    "expected one shape, or (N, C, h, w) with the same C: take a teacher of the same classes and head"
                )
            other = functional.interpolate(other, size=tensor.shape[-2:], mode="bilinear", align_corners=False)
        found[name] = other
    return found


def check_names(what: str, names: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    """Raise :class:`ModelError` for a name that is no output."""
    unknown = next((name for name in names if name not in outputs), None)
    if unknown is not None:
        raise ModelError(f"distill.{what}: the model has no output {unknown!r}; {allowed(unknown, outputs)}")


def mean_distance(
    job: Job, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], logits: tuple[str, ...] | None, softness: float
) -> Tensor:
    """The mean over the outputs: of class scores the divergence at a temperature, of others what the task knows of
    them, else their squared error over the teacher's squared norm.

    Args:
        job: of the step.
        given: the student's outputs.
        wanted: the teacher's, of the same shapes.
        logits: outputs that hold class scores on axis 1; None: those that the task says do.
        softness: the temperature.
    """
    import torch

    parts: dict[str, Tensor] = {}
    if logits is None and job.distance is not None:
        parts |= job.distance(given, wanted, softness)
    parts |= {name: divergence(given[name], wanted[name], softness) for name in logits or ()}
    parts |= {name: normalised_error(given[name], wanted[name]) for name in given if name not in parts}
    return torch.stack([parts[name] for name in sorted(parts)]).mean()


def weighed(job: Job, config: BesideOutputs, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """The distance of the outputs with its weight; 0 without: they need not line up then.

    Raises:
        ModelError: as :func:`lined_up`.
    """
    if not config.outputs:
        return next(iter(given.values())).new_zeros(())
    same = lined_up(given, wanted)
    return config.outputs * mean_distance(job, given, same, config.logits, config.temperature)
