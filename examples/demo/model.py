"""A small segmentation network made to be quantized: plain convolutions, ReLU, few shapes.

Encoder: stride-2 stem and residual stages at strides 4, 8, 16 and 32.  Decoder: nearest
upsampling, a 1x1 lateral convolution and an addition at each level (Lin et al., "Feature
Pyramid Networks", CVPR 2017).  About 1.1 GMAC at 384x640 and 0.65 million parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

STAGES = (32, 64, 96, 128)  # channels at strides 4, 8, 16 and 32


class ConvBNAct(nn.Sequential):
    """Convolution, batch norm and ReLU."""

    def __init__(self, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions; the input is added before the last ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBNAct(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.second(self.first(x)))


class DemoNet(nn.Module):
    """Logits ``(N, num_classes, H, W)`` float32 for images ``(N, 3, H, W)``; H and W are multiples of 32."""

    def __init__(self, num_classes: int, width: int = 48) -> None:
        super().__init__()
        c4, c8, c16, c32 = STAGES
        self.stem = ConvBNAct(3, 16, 3, 2)
        self.stage4 = nn.Sequential(ConvBNAct(16, c4, 3, 2), ConvBNAct(c4, c4))
        self.stage8 = nn.Sequential(ConvBNAct(c4, c8, 3, 2), Residual(c8))
        self.stage16 = nn.Sequential(ConvBNAct(c8, c16, 3, 2), Residual(c16))
        self.stage32 = nn.Sequential(ConvBNAct(c16, c32, 3, 2), ConvBNAct(c32, c32))
        self.context = ConvBNAct(c32, width, 1)
        self.lateral16 = ConvBNAct(c16, width, 1)
        self.smooth16 = ConvBNAct(width, width)
        self.lateral8 = ConvBNAct(c8, width, 1)
        self.smooth8 = ConvBNAct(width, width)
        self.reduce8 = ConvBNAct(width, c4, 1)
        self.lateral4 = ConvBNAct(c4, c4, 1)
        self.smooth4 = ConvBNAct(c4, c4)
        self.classifier = nn.Conv2d(c4, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        x4 = self.stage4(self.stem(image))
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x = self.context(self.stage32(x16))
        x = self.smooth16(_twice(x) + self.lateral16(x16))
        x = self.smooth8(_twice(x) + self.lateral8(x8))
        x = self.smooth4(_twice(self.reduce8(x)) + self.lateral4(x4))
        return nn.functional.interpolate(self.classifier(x), scale_factor=4.0, mode="bilinear", align_corners=False)


def _twice(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def build(num_classes: int = 9) -> nn.Module:
    """The network in training mode, randomly initialised."""
    return DemoNet(num_classes)
