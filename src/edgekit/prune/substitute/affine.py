"""A LayerNorm as an affine map of each channel, fitted on frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.tensors import Arrays
from edgekit.prune.substitute.sites import Site

if TYPE_CHECKING:
    from torch import Tensor, nn


def fitted(
    network: nn.Module, found: Sequence[Site], frames: Iterable[Arrays], inputs: Sequence[str]
) -> dict[Site, dict[str, Tensor]]:
    """Weight and bias for each LayerNorm among the sites: per channel the least squares of its outputs on its inputs.

    Nothing is run where there is none.
    """
    import torch

    norms = [site for site in found if site.kind == "layernorm"]
    if not norms:
        return {}
    sums = {site.module: _Sums() for site in norms}
    hooks = [network.get_submodule(name).register_forward_hook(one.add) for name, one in sums.items()]
    with torch.no_grad():
        for feeds in frames:
            network(*(torch.from_numpy(np.array(feeds[name])) for name in inputs or tuple(feeds)))
    for hook in hooks:
        hook.remove()
    return {site: sums[site.module].line() for site in norms}


class _Sums:
    """What a line through points ``(x, y)`` of each channel follows from, in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: Any = None

    def add(self, module: nn.Module, args: tuple[Any, ...], result: Tensor) -> None:
        import torch

        x, y = (one.detach().reshape(-1, one.shape[-1]).double() for one in (args[0], result))
        now = torch.stack([x.sum(0), y.sum(0), (x * x).sum(0), (x * y).sum(0)])
        self.sums = now if self.sums is None else self.sums + now
        self.count += len(x)

    def line(self) -> dict[str, Tensor]:
        """``weight`` and ``bias``; a channel that is always the same keeps its mean output."""
        x, y, xx, xy = self.sums / self.count
        spread = xx - x * x
        weight = (xy - x * y) / spread.clamp(min=1e-12)
        weight[spread <= 1e-12] = 0
        return {"weight": weight.float(), "bias": (y - weight * x).float()}
