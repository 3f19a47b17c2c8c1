"""Distillation of features: what chosen layers of the student give is brought near to what layers of the teacher do.

Romero et al., "FitNets: Hints for thin deep nets", ICLR 2015: where the widths differ, a 1x1 convolution that is
trained along and dropped afterwards leads from one to the other.  The distance of each pair is the squared error over
the squared norm of the teacher's features, so that layers of any scale weigh the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekit.distill import _outputs
from edgekit.distill._config import BesideOutputs, Layers
from edgekit.distill._work import Work, rebuild
from edgekit.technique import Changed, Job
from edgekit.training.losses import normalised_error

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Config", "apply", "rebuild"]


class Config(BesideOutputs):
    """Match layers of the teacher, and its outputs beside them."""

    method: Literal["features"] = "features"
    layers: Layers = Field(
        min_length=1, description="layer of the student: layer of the teacher, * in names; a list where both are alike"
    )
    weight: float = Field(1.0, gt=0, description="of the mean distance of the layers")


def apply(job: Job, config: Config) -> Changed:
    """Train the student towards the teacher's layers and outputs, resuming from ``job.scratch``.

    Raises:
        SpecError: a pattern that matches no layer (the nearest name is given), no training frames, or no network to
            train or to learn from.
        ModelError: features or outputs of the two do not line up, or training diverges.
    """
    import torch

    _outputs.check_names("logits", config.logits or (), job.outputs)
    work = Work.of(job, config)
    inside = work.inside(config.layers)

    def apart(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        parts = [normalised_error(ours, theirs) for _, ours, theirs in inside.features()]
        value = config.weight * torch.stack(parts).mean()
        return value + _outputs.weighed(job, config, given, wanted)

    work.check(apart)
    trained = work.fit_inside(inside, apart, "distill features")
    made = list(zip(map(str, inside.pairs), inside.projections, strict=True))
    projected = [name for name, module in made if not isinstance(module, torch.nn.Identity)]
    return work.changed(trained, {"layers": [name for name, _ in made], "projected": projected})
