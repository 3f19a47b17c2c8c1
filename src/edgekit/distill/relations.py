"""Distillation of relations, for dense outputs: what matters is where, and what is alike, not the values themselves.

``channels``: each channel is a distribution over the places of the frame, softened by a temperature (Shu et al.,
"Channel-wise knowledge distillation for dense prediction", ICCV 2021, equations 4 and 5).  ``pairs``: how alike two
places are, by the cosine of their features, over a coarse grid (Liu et al., "Structured knowledge distillation for
semantic segmentation", CVPR 2019, equation 2); widths may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekit.core.errors import ModelError, SpecError
from edgekit.distill import _outputs
from edgekit.distill._config import BesideOutputs, Layers
from edgekit.distill._work import Inside, Work, rebuild
from edgekit.technique import Changed, Job

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Config", "apply", "channels_apart", "pairs_apart", "rebuild"]


class Config(BesideOutputs):
    """Match relations within the dense outputs, or within layers, and the outputs beside them."""

    method: Literal["relations"] = "relations"
    relation: Literal["channels", "pairs"] = Field(
        "channels", description="what is matched, see the papers named there"
    )
    layers: Layers = Field(
        default_factory=dict, description="as in method features; none: the outputs that are (N, C, h, w)"
    )
    weight: float = Field(1.0, gt=0, description="of the mean distance of the relations")
    softness: float = Field(4.0, gt=0, description="temperature of the distributions over places (channels)")
    grid: int = Field(8, ge=2, description="places along each side that are compared (pairs)")


def apply(job: Job, config: Config) -> Changed:
    """Train the student towards the relations that the teacher sees, resuming from ``job.scratch``.

    Raises:
        SpecError: no output is dense, a pattern matches no layer, no training frames, or no network to train or to
            learn from.
        ModelError: what is compared does not line up, or training diverges.
    """
    import torch

    _outputs.check_names("logits", config.logits or (), job.outputs)
    work = Work.of(job, config)
    inside = work.inside(config.layers, projects=config.relation == "channels") if config.layers else None

    def apart(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        parts = [_apart(config, ours, theirs) for ours, theirs in _compared(inside, given, wanted)]
        value = config.weight * torch.stack(parts).mean()
        return value + _outputs.weighed(job, config, given, wanted)

    work.check(apart)
    title = "distill relations"
    trained = work.fit(apart, title) if inside is None else work.fit_inside(inside, apart, title)
    names = [] if inside is None else [str(pair) for pair in inside.pairs]
    return work.changed(trained, {"relation": config.relation, "layers": names})


def _compared(
    inside: Inside | None, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """What is dense of student and teacher."""
    if inside is None:
        dense = {name: tensor for name, tensor in given.items() if tensor.ndim == 4}
        if not dense:
            raise SpecError(
                "distill: relations are those of places, and no output is (N, C, h, w); name layers that are"
            )
        same = _outputs.lined_up(dense, wanted)
        yield from ((tensor, same[name]) for name, tensor in dense.items())
        return
    for pair, ours, theirs in inside.features():
        if ours.ndim != 4:
            raise ModelError(f"distill.layers: {pair.student!r} gives {list(ours.shape)}; relations need (N, C, h, w)")
        yield ours, theirs


def _apart(config: Config, given: Tensor, wanted: Tensor) -> Tensor:
    if config.relation == "channels":
        return channels_apart(given, wanted, config.softness)
    return pairs_apart(given, wanted, config.grid)


def channels_apart(given: Tensor, wanted: Tensor, softness: float) -> Tensor:
    """T^2 / C times the divergence of each channel's distribution over places ``(N, C, h, w)``, mean over frames."""
    ours, theirs = ((features.flatten(2) / softness).log_softmax(2) for features in (given, wanted))
    return (theirs.exp() * (theirs - ours)).sum() * (softness**2 / (given.shape[0] * given.shape[1]))


def pairs_apart(given: Tensor, wanted: Tensor, grid: int) -> Tensor:
    """Mean squared difference of the cosines of all pairs of places, of features ``(N, C, h, w)`` of any width.

    Features are averaged over a grid of at most ``grid`` by ``grid`` places first.
    """
    from torch.nn import functional

    size = (min(grid, given.shape[2]), min(grid, given.shape[3]))
    alike = []
    for features in (given, wanted):
        places = functional.normalize(functional.adaptive_avg_pool2d(features, size).flatten(2), dim=1)
        alike.append(places.transpose(1, 2) @ places)
    return (alike[0] - alike[1]).square().mean()
