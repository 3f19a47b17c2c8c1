"""MobileNetV2 encoder with a top-down decoder for 11-class road-scene segmentation.

The encoder keeps torchvision's key names (``features.N...``), so ImageNet
weights published for it load as they are.  The decoder is made of plain
convolutions: on CPUs with integer dot products they gain the most from INT8.

Sources: Sandler et al., "MobileNetV2" (CVPR 2018); Lin et al., "Feature
Pyramid Networks" (CVPR 2017).
"""

from __future__ import annotations

from torch import Tensor, nn

# (expansion, output channels, repeats, stride), Table 2 of the MobileNetV2 paper.
INVERTED_RESIDUALS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# Encoder stages whose outputs the decoder reads: strides 4, 8, 16 and 32.
TAPS = {3: 24, 6: 32, 13: 96, 17: 320}


class ConvBNAct(nn.Sequential):
    """Convolution, batch norm and ReLU6, keys ``0`` and ``1`` as in torchvision."""

    def __init__(self, cin: int, cout: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; the input is added when shapes allow."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = cin * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [ConvBNAct(cin, hidden, 1)]
        layers += [
            ConvBNAct(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
        ]
        self.conv = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class CamVidNet(nn.Module):
    """Logits ``(N, num_classes, H, W)`` float32 for images ``(N, 3, H, W)``.

    H must be a multiple of 8 and W of 32 (360x480 is).
    """

    def __init__(self, num_classes: int = 11, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvBNAct(3, 32, 3, 2)]
        channels = 32
        for expansion, cout, repeats, stride in INVERTED_RESIDUALS:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, cout, stride if i == 0 else 1, expansion))
                channels = cout
        self.features = nn.Sequential(*layers)
        wide = 2 * width
        self.context = ConvBNAct(TAPS[17], wide, 1)
        self.lateral16 = ConvBNAct(TAPS[13], wide, 1)
        self.smooth16 = ConvBNAct(wide, wide, 3)
        self.reduce8 = ConvBNAct(wide, width, 1)
        self.lateral8 = ConvBNAct(TAPS[6], width, 1)
        self.smooth8 = ConvBNAct(width, width, 3)
        self.lateral4 = ConvBNAct(TAPS[3], width, 1)
        self.smooth4 = nn.Sequential(ConvBNAct(width, width, 3), ConvBNAct(width, width, 3))
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        taps = {}
        x = image
        for index, stage in enumerate(self.features):
            x = stage(x)
            if index in TAPS:
                taps[index] = x
        x = _up_to(self.context(taps[17]), taps[13]) + self.lateral16(taps[13])
        x = self.smooth16(x)
        x = _up_to(self.reduce8(x), taps[6]) + self.lateral8(taps[6])
        x = self.smooth8(x)
        x = _up_to(x, taps[3]) + self.lateral4(taps[3])
        x = self.classifier(self.dropout(self.smooth4(x)))
        return nn.functional.interpolate(x, scale_factor=4.0, mode="bilinear", align_corners=False)


def _up_to(x: Tensor, like: Tensor) -> Tensor:
    return nn.functional.interpolate(x, size=like.shape[-2:], mode="nearest")


def build(num_classes: int = 11, width: int = 64) -> nn.Module:
    """The network in training mode, randomly initialised."""
    return CamVidNet(num_classes, width)
