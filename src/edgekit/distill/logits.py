"""Distillation of outputs: class scores as softened distributions, other outputs by their error.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from edgekit.core.spec import SpecPath
from edgekit.distill import _outputs
from edgekit.distill._config import DistillConfig
from edgekit.distill._neighbours import Neighbours, described
from edgekit.distill._panel import Panel
from edgekit.distill._stored import How, stored
from edgekit.distill._work import Apart, Work, rebuild
from edgekit.technique import Changed, Job

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Config", "Neighbours", "Offline", "apply", "described", "rebuild"]


class Offline(BaseModel):
    """The teacher is run once over the training frames, and the student learns from what was kept of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: SpecPath | None = Field(
        None, description="where soft labels stay for other students; default: they go when the step is done"
    )
    stride: int = Field(1, ge=1, description="places along each side that become one, of dense class scores")
    top: int | None = Field(None, ge=1, description="classes that are kept, the best ones; default: all")
    neighbours: bool = Field(
        False, description="average the teacher over the frames before and after too, moved along the optical flow"
    )


class Config(DistillConfig):
    """Match the teacher's outputs."""

    method: Literal["logits"] = "logits"
    temperature: float = Field(2.0, gt=0, description="softens the distributions over the classes; 1 leaves them")
    logits: tuple[str, ...] | None = Field(
        None, description="outputs with class scores on axis 1; default: those that the task knows"
    )
    flip: bool = Field(False, description="average each teacher over the frame and its mirror image; class scores only")
    offline: Offline | None = Field(None, description="run the teacher once, and keep what it gave in few bytes")

    @model_validator(mode="after")
    def _labels_stay(self) -> Self:
        augment = self.training.augment
        if self.offline is not None and augment is not None and augment.moves:
            raise ValueError(
                "training.augment: flip and crop move what the soft labels are of; leave both out, or leave out offline"
            )
        return self


def apply(job: Job, config: Config) -> Changed:
    """Train the student towards the teacher's outputs, resuming from ``job.scratch``.

    Raises:
        SpecError: no training frames, no network to train or to learn from, or outputs that ``flip`` or ``neighbours``
            cannot be of.
        ModelError: outputs of the two do not line up, or training diverges.
        DataError: the folder of soft labels holds those of another teacher, data set or preprocessing, or
            ``neighbours`` and frames of which it is not known which follow each other.
    """
    _outputs.check_names("logits", config.logits or (), job.outputs)

    def apart(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        same = _outputs.lined_up(given, wanted)
        return _outputs.mean_distance(job, given, same, config.logits, config.temperature)

    scores = job.class_scores if config.logits is None else config.logits
    work = Work.of(job, config, scores, config.flip)
    work.check(apart)
    if config.offline is None:
        return work.changed(work.fit(apart, "distill logits"), {})
    with tempfile.TemporaryDirectory() as folder:
        return _from_labels(work, config.offline, apart, job.scratch or Path(folder))


def _from_labels(work: Work, offline: Offline, apart: Apart, scratch: Path) -> Changed:
    import torch

    assert isinstance(work.teacher, Panel)
    asked = work.config.training.device
    device = torch.device("cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu")
    folder = offline.folder or scratch / "soft-labels"
    how = How(offline.stride, offline.top, offline.neighbours)
    labels, found = stored(work.job, work.teacher, work.student.examples, folder, how, device)
    record: dict[str, Any] = {"offline": found}
    work = dataclasses.replace(work, teacher=labels)
    return work.changed(work.fit(apart, "distill logits"), record)
