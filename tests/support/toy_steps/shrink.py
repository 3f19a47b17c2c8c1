"""A compress step that changes the input size: frames go in at a smaller size.

``tests/stages/test_steps.py`` makes a package of it: all that a technique in another package needs is in this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from edgekit.core.errors import SpecError
from edgekit.core.variant import Changes
from edgekit.technique import Change, Changed, Job, TechniqueConfig

if TYPE_CHECKING:
    from torch import nn


class Config(TechniqueConfig):
    method: Literal["shrink"]
    changes: ClassVar[Changes] = "function"
    size: tuple[int, int]


def apply(job: Job, config: Config) -> Changed:
    if job.network is None or job.export is None:
        raise SpecError("shrink exports a PyTorch network again; give model.factory")
    (name,) = job.preprocess
    shapes = {name: (1, 3, *config.size)}
    model = job.export(job.network(), shapes)
    section = dict(job.preprocess[name]) | {"resize": list(config.size)}
    return Changed(model, Change({"size": list(config.size)}), shapes, {name: section})


def rebuild(network: nn.Module, change: Change) -> nn.Module:
    return network
