"""What stands in for operators that are slow in INT8: cheaper activations, enlargements and normalizations.

Each is a module whose weights, where it has some, training goes on from.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind = Literal["silu", "gelu", "mish", "layernorm", "upsample"]
FORMS: Mapping[Kind, tuple[str, ...]] = {
    "silu": ("hardswish", "relu"),
    "gelu": ("hardswish", "relu"),
    "mish": ("hardswish", "relu"),
    "layernorm": ("affine",),
    "upsample": ("exact", "half", "conv", "nearest"),
}
"""Kinds of operators, and what may stand in, what computes most nearly the same first."""


def made(form: str, channels: int, scale: tuple[int, int]) -> nn.Module:
    """A fresh stand-in.

    ``hardswish`` (Howard et al., "Searching for MobileNetV3", 2019, section 5.2) and ``relu`` need no more than their
    name.  Of an enlargement ``(N, C, H, W)`` by whole factors:

    * ``exact``: to the nearest pixel, then a depthwise filter of fixed size that makes it bilinear, to rounding;
    * ``half``: bilinear to half the size, then each pixel twice;
    * ``conv``: a convolution 3x3 that training shapes, which changes nothing at first, then to the nearest pixel;
    * ``nearest``: to the nearest pixel.

    Args:
        form: one of :data:`FORMS`.
        channels: C, or the width that a normalization has.
        scale: factors of height and width; (1, 1) where nothing is enlarged.
    """
    import torch

    modules = _modules()
    if form in ("hardswish", "relu"):
        return torch.nn.Hardswish() if form == "hardswish" else torch.nn.ReLU()
    if form == "affine":
        found: nn.Module = modules["Affine"](channels)
        return found
    enlarge: nn.Module = modules["Enlarge"](form, channels, scale)
    return enlarge


@functools.cache
def _modules() -> dict[str, Any]:
    """The classes; PyTorch is imported when they are asked for."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Affine(nn.Module):
        """``x * weight + bias`` over the last axis: a normalization whose statistics are constants."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight + self.bias

    class Enlarge(nn.Module):
        """See :func:`made`."""

        def __init__(self, form: str, channels: int, scale: tuple[int, int]) -> None:
            super().__init__()
            self.form, self.scale = form, scale
            self.conv: nn.Conv2d | None = None
            if form == "conv":
                self.conv = nn.Conv2d(channels, channels, 3, padding=1)
                weight, bias = self.conv.parameters()
                with torch.no_grad():
                    nn.init.dirac_(weight)
                    nn.init.zeros_(bias)
            if form == "exact":
                rows, columns = (_tent(factor) for factor in scale)
                self.conv = nn.Conv2d(channels, channels, (len(rows), len(columns)), groups=channels, bias=False)
                with torch.no_grad():
                    self.conv.weight.copy_((rows[:, None] * columns).expand_as(self.conv.weight))

        def forward(self, x: Tensor) -> Tensor:
            factors = [float(factor) for factor in self.scale]
            if self.form == "half":
                halves = [factor / 2 if factor % 2 == 0 else factor for factor in factors]
                twice = [factor / half for factor, half in zip(factors, halves, strict=True)]
                if halves != [1.0, 1.0]:
                    # The operator itself: a call of interpolate() would be one more that could be exchanged.
                    x = torch.ops.aten.upsample_bilinear2d.vec(x, None, False, halves)
                return functional.interpolate(x, scale_factor=twice, mode="nearest")
            if self.form == "conv":
                assert self.conv is not None
                x = self.conv(x)
            x = functional.interpolate(x, scale_factor=factors, mode="nearest")
            if self.form == "exact":
                assert self.conv is not None
                below, right = (size // 2 for size in self.conv.kernel_size)
                x = self.conv(functional.pad(x, (right, right, below, below), mode="replicate"))
            return x

    return {"Affine": Affine, "Enlarge": Enlarge}


def _tent(factor: int) -> Tensor:
    """The filter that makes pixels that are repeated ``factor`` times those of a linear interpolation.

    An even factor has its samples half a pixel beside those of the box: the mean of both neighbours.
    """
    import torch

    if factor % 2:
        return torch.full((factor,), 1 / factor)
    taps = torch.full((factor + 1,), 1 / factor)
    taps[0] = taps[-1] = 0.5 / factor
    return taps
