"""Several teachers as one, and teachers that look at mirrored frames too."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.errors import SpecError
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Arrays
from edgekit.distill._teacher import Teacher, teacher
from edgekit.technique import Examples, Job
from edgekit.training import Draw, Vary

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Panel:
    """Teachers whose outputs are averaged.

    Class scores are averaged as probabilities (Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive
    uncertainty estimation using deep ensembles", NeurIPS 2017) and given as their logarithms, other outputs as they
    are.  With ``flip`` every teacher sees each frame mirrored too.

    Args:
        members: at least one.
        scores: outputs that hold class scores on axis 1.
        flip: left for right.
    """

    members: tuple[Teacher, ...]
    scores: frozenset[str]
    flip: bool = False

    @property
    def name(self) -> str:
        """In messages and records."""
        return " and ".join(member.name for member in self.members)

    @property
    def examples(self) -> Examples | None:
        """The frames as they go into the members, each input under ``<member>/<name>``; None: as into the student."""
        found = {k: member.examples for k, member in enumerate(self.members) if member.examples is not None}
        return Gathered(found) if found else None

    def __call__(self, inputs: Mapping[str, Tensor], beside: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs, float32 by name, from the student's inputs and from what :attr:`examples` gave."""
        given: list[dict[str, Tensor]] = []
        for k, member in enumerate(self.members):
            feeds = {n: inputs[n] if member.examples is None else beside[f"{k}/{n}"] for n in member.inputs}
            given.append(member(feeds))
            if self.flip:
                axes = _axes(member)
                turned = member({name: x.flip(axes[name]) if name in axes else x for name, x in feeds.items()})
                given.append({name: x.flip(-1) if x.ndim == 4 else x for name, x in turned.items()})
        if len(given) == 1:
            return given[0]
        return {name: self._mean(name, [one[name] for one in given]) for name in given[0]}

    def _mean(self, name: str, outputs: Sequence[Tensor]) -> Tensor:
        import torch
        from torch.nn import functional

        size = outputs[0].shape[2:]
        alike = [
            functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
            if x.ndim == 4 and x.shape[2:] != size
            else x
            for x in outputs
        ]
        if name not in self.scores:
            return torch.stack(alike).mean(0)
        return torch.stack([x.softmax(1) for x in alike]).mean(0).clamp(min=1e-12).log()


@dataclass(frozen=True)
class Gathered:
    """Frames as several networks see them."""

    parts: Mapping[int, Examples]

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __getitem__(self, index: int) -> tuple[Arrays, Any]:
        return self._of(Draw(index))

    def varied(self, index: int, vary: Vary) -> tuple[Arrays, Any]:
        """All of them see the frame after the same change."""
        return self._of(Draw(index, vary))

    def _of(self, draw: Draw) -> tuple[Arrays, Any]:
        return {f"{k}/{name}": x for k, part in self.parts.items() for name, x in draw.of(part)[0].items()}, None


def panel(
    job: Job, specs: Sequence[Path], sections: Mapping[str, Any], scores: Collection[str], flip: bool = False
) -> Panel:
    """The teachers of a step.

    Raises:
        SpecError: a teacher lacks an output of the student, or ``flip`` and an output whose mirror image is not known.
        SpecError, ModelError: as :func:`~edgekit.distill._teacher.teacher`.
    """
    members = tuple(teacher(job, spec, sections) for spec in specs) or (teacher(job, None, sections),)
    for member in members:
        missing = next((name for name in job.outputs if name not in member.outputs), None)
        if missing is not None:
            hint = allowed(missing, member.outputs)
            raise SpecError(f"distill: {member.name} has no output {missing!r}, which the student has; {hint}")
    other = next((name for name in job.outputs if name not in scores), None)
    if flip and other is not None:
        raise SpecError(
            f"distill.flip: output {other!r} holds no class scores, so what it is of a mirrored frame is not known; "
            "leave flip out, or name it in logits"
        )
    return Panel(members, frozenset(scores), flip)


def _axes(member: Teacher) -> dict[str, int]:
    """The axis from left to right of each input that is an image."""
    images = {n: s for n, s in member.sections.items() if s.get("kind", "image") == "image"}
    return {name: -1 if section.get("layout", "nchw") == "nchw" else -2 for name, section in images.items()}


def first(examples: Examples) -> dict[str, Tensor]:
    """What the first frame gives, as tensors."""
    import torch

    return {name: torch.from_numpy(np.array(x)) for name, x in examples[0][0].items()}
