"""MiniFASNet, the pair that tells live faces from prints and screens, with the key names of the published checkpoints.

Input ``float32 (N, 3, 80, 160)``: B, G, R planes of 0..255, not scaled; the left half is the face's
surroundings at 2.7 times the size of its box, the right half at 4.0 times.  Outputs ``near`` and ``far``
``float32 (N, 3)``: logits of each network; class 1 is a live face, 0 and 2 are attacks.

Source: https://github.com/minivision-ai/Silent-Face-Anti-Spoofing (Apache-2.0): MobileFaceNet (Chen et al.,
2018) with pruned widths; one of the two has squeeze-and-excitation (Hu et al., CVPR 2018).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

SIDE = 80
# Hidden channels of the residual blocks at strides 4, 8 and 16.
NEAR = ((13, 13, 13, 13), (231, 52, 26, 77, 26, 26), (26, 26))  # MiniFASNetV2
FAR = ((13, 26, 13, 52), (154, 52, 26, 52, 26, 26), (26, 26))  # MiniFASNetV1SE
REDUCTION = 4


class ConvBlock(nn.Module):
    """Convolution and batch norm; PReLU with a slope a channel unless ``linear``."""

    def __init__(
        self, cin: int, cout: int, kernel: int = 1, stride: int = 1, depthwise: bool = False, linear: bool = False
    ) -> None:
        super().__init__()
        padding, groups = kernel // 2 if kernel == 3 else 0, cin if depthwise else 1
        self.conv = nn.Conv2d(cin, cout, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        if not linear:
            self.prelu = nn.PReLU(cout)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.linear else self.prelu(x)


class SqueezeExcitation(nn.Module):
    """Channels weighted by a function of their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels // REDUCTION)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.bn1(self.fc1(x.mean((2, 3), keepdim=True))).relu()
        return x * self.bn2(self.fc2(weights)).sigmoid()


class DepthWise(nn.Module):
    """Expand, depthwise 3x3, project; at stride 1 the input is added."""

    def __init__(self, cin: int, hidden: int, cout: int, stride: int = 1, attention: bool = False) -> None:
        super().__init__()
        self.conv = ConvBlock(cin, hidden)
        self.conv_dw = ConvBlock(hidden, hidden, 3, stride, depthwise=True)
        self.project = ConvBlock(hidden, cout, linear=True)
        if attention:
            self.se_module = SqueezeExcitation(cout)
        self.attention, self.residual = attention, stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.conv_dw(self.conv(x)))
        if self.attention:
            y = self.se_module(y)
        return x + y if self.residual else y


class Residual(nn.Module):
    """Blocks of one size; with ``attention`` the last one has squeeze-and-excitation."""

    def __init__(self, channels: int, hidden: tuple[int, ...], attention: bool) -> None:
        super().__init__()
        last = len(hidden) - 1
        blocks = (DepthWise(channels, h, channels, 1, attention and i == last) for i, h in enumerate(hidden))
        self.model = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class MiniFASNet(nn.Module):
    """Logits ``(N, 3)`` of faces ``(N, 3, 80, 80)``."""

    def __init__(self, hidden: tuple[tuple[int, ...], ...], attention: bool = False) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 32, 3, 2)
        self.conv2_dw = ConvBlock(32, 32, 3, depthwise=True)
        self.conv_23 = DepthWise(32, 103, 64, 2)
        self.conv_3 = Residual(64, hidden[0], attention)
        self.conv_34 = DepthWise(64, 231, 128, 2)
        self.conv_4 = Residual(128, hidden[1], attention)
        self.conv_45 = DepthWise(128, 308, 128, 2)
        self.conv_5 = Residual(128, hidden[2], attention)
        self.conv_6_sep = ConvBlock(128, 512)
        self.conv_6_dw = ConvBlock(512, 512, SIDE // 16, depthwise=True, linear=True)
        self.linear = nn.Linear(512, 128, bias=False)
        self.bn = nn.BatchNorm1d(128)
        self.prob = nn.Linear(128, 3, bias=False)

    def forward(self, face: Tensor) -> Tensor:
        x = self.conv_23(self.conv2_dw(self.conv1(face)))
        x = self.conv_4(self.conv_34(self.conv_3(x)))
        x = self.conv_5(self.conv_45(x))
        x = self.conv_6_dw(self.conv_6_sep(x))
        return self.prob(self.bn(self.linear(x.flatten(1))))


class Pair(nn.Module):
    """Both networks on the two halves of one picture."""

    def __init__(self) -> None:
        super().__init__()
        self.near = MiniFASNet(NEAR)
        self.far = MiniFASNet(FAR, attention=True)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        return self.near(faces[..., :SIDE]), self.far(faces[..., SIDE:])


def build() -> nn.Module:
    """The pair in training mode, randomly initialised."""
    return Pair()


def load(near: Path, far: Path) -> nn.Module:
    """The trained pair from the two published files, whose keys start with ``module.``, in evaluation mode."""
    network = Pair()
    for part, path in ((network.near, near), (network.far, far)):
        state = torch.load(path, map_location="cpu", weights_only=True)
        part.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    return network.eval()
