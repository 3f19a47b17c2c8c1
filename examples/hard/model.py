"""A segmentation network made of what INT8 tools find hard.

Per-channel PReLU, dilated convolutions, transposed convolutions and spatial
attention behind every block.  Input ``float32 (N, 3, 180, 240)``, or any multiple
of 4; output logits ``float32 (N, 11, H, W)``.

Sources: He et al., "Delving Deep into Rectifiers" (ICCV 2015), the PReLU; Yu and
Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions" (ICLR 2016); Woo et
al., "CBAM: Convolutional Block Attention Module" (ECCV 2018), its spatial half;
Romera et al., "ERFNet" (T-ITS 2018), the shape of the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 11
DILATIONS = (1, 2, 4, 8, 16, 1, 2, 4, 8, 16)  # of the blocks at stride 4


class ConvPReLU(nn.Sequential):
    """Convolution, batch norm, PReLU with a slope a channel."""

    def __init__(self, cin: int, cout: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(cin, cout, 3, stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(cout),
            nn.PReLU(cout),
        )


class UpPReLU(nn.Sequential):
    """Transposed convolution to twice the size, batch norm, PReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(cin, cout, 4, 2, 1, bias=False),
            nn.BatchNorm2d(cout),
            nn.PReLU(cout),
        )


class SpatialAttention(nn.Module):
    """Mean and maximum over channels, 7x7 convolution, sigmoid; the input is multiplied by it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        summary = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * self.conv(summary).sigmoid()


class Block(nn.Module):
    """Two convolutions, the second dilated, attention, the input added, PReLU."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = ConvPReLU(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.attention = SpatialAttention()
        self.act = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.attention(self.norm(self.second(self.first(x)))))


class HardNet(nn.Module):
    """Logits ``(N, 11, H, W)`` of images ``(N, 3, H, W)``."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        half = width // 2
        self.stem2 = ConvPReLU(3, half, 2)
        self.stem4 = ConvPReLU(half, width, 2)
        self.body = nn.Sequential(*(Block(width, dilation) for dilation in DILATIONS))
        self.up2 = UpPReLU(width, half)
        self.fine2 = Block(half, 1)
        self.up1 = UpPReLU(half, half)
        self.classifier = nn.Conv2d(half, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        stride2 = self.stem2(image)
        stride4 = self.body(self.stem4(stride2))
        return self.classifier(self.up1(self.fine2(self.up2(stride4) + stride2)))


def build(width: int = 32) -> nn.Module:
    """The network in training mode, randomly initialised."""
    return HardNet(width)
