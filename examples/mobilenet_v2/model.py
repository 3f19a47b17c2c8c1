"""MobileNetV2, the ImageNet classifier, with torchvision's key names.

Input ``float32 (N, 3, 224, 224)``: R, G, B planes, 0..1, less the ImageNet mean,
by the ImageNet deviation.  Output ``float32 (N, 1000)``: logits; or ``float32 (N, 1280)``:
the features that they are made of, for ``output="features"`` (height and width then:
any multiples of 32).

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks"
(CVPR 2018).  ``benchmarks/peers/networks/fetch.py`` gets the weights.
"""

from __future__ import annotations

from torch import Tensor, nn

# (expansion, output channels, repeats, stride), Table 2 of the paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_bn_relu(cin: int, cout: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; the input is added when shapes allow."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = cin * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [conv_bn_relu(cin, hidden, 1)]
        layers += [
            conv_bn_relu(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
        ]
        self.conv = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Logits ``(N, num_classes)`` of images ``(N, 3, H, W)``, or their features ``(N, 1280)``."""

    def __init__(self, num_classes: int = 1000, features_only: bool = False) -> None:
        super().__init__()
        self.features_only = features_only
        layers: list[nn.Module] = [conv_bn_relu(3, 32, stride=2)]
        channels = 32
        for expansion, cout, repeats, stride in STAGES:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, cout, stride if i == 0 else 1, expansion))
                channels = cout
        self.features = nn.Sequential(*layers, conv_bn_relu(channels, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))

    def forward(self, image: Tensor) -> Tensor:
        features = self.features(image).mean((2, 3))
        return features if self.features_only else self.classifier(features)


def build(output: str = "logits") -> nn.Module:
    """The network in training mode, randomly initialised.

    Args:
        output: ``logits``, or ``features``; the parameters and their names are the same.
    """
    if output not in ("logits", "features"):
        raise ValueError(f"output {output!r} is unknown; allowed: logits, features")
    return MobileNetV2(features_only=output == "features")
