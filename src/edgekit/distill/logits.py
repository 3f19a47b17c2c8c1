"""Distillation of outputs: class scores as softened distributions, other outputs by their error.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekit.distill import _outputs
from edgekit.distill._config import DistillConfig
from edgekit.distill._work import Work, rebuild
from edgekit.technique import Changed, Job

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Config", "apply", "rebuild"]


class Config(DistillConfig):
    """Match the teacher's outputs."""

    method: Literal["logits"] = "logits"
    temperature: float = Field(2.0, gt=0, description="softens the distributions over the classes; 1 leaves them")
    logits: tuple[str, ...] | None = Field(
        None, description="outputs with class scores on axis 1; default: those that the task knows"
    )


def apply(job: Job, config: Config) -> Changed:
    """Train the student towards the teacher's outputs, resuming from ``job.scratch``.

    Raises:
        SpecError: no training frames, or no network to train or to learn from.
        ModelError: outputs of the two do not line up, or training diverges.
    """
    _outputs.check_names("logits", config.logits or (), job.outputs)

    def apart(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        same = _outputs.lined_up(given, wanted)
        return _outputs.mean_distance(job, given, same, config.logits, config.temperature)

    work = Work.of(job, config)
    work.check(apart)
    trained = work.fit(apart, "distill logits")
    return work.changed(trained, {})
