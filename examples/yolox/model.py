"""YOLOX-nano, with the key names of the published COCO checkpoint.

Input ``float32 (N, 3, H, W)``: B, G, R planes of 0..255, letterboxed to the top left on
grey 114, neither scaled nor normalised; COCO's is 416x416.  Output ``float32 (N, cells,
5 + classes)``: for each cell of the strides 8, 16 and 32 in turn ``x, y, w, h`` (raw: offset
in cells and logarithm of the size), objectness and class scores (after sigmoid).

Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (arXiv 2107.08430);
backbone of Bochkovskiy et al., "YOLOv4" (2020), depthwise separable throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
WIDTHS = (64, 128, 256)  # 0.25 of YOLOX-l, at strides 8, 16 and 32


class BaseConv(nn.Module):
    """Convolution, batch norm, activation (SiLU as published)."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class DWConv(nn.Sequential):
    """Depthwise 3x3, then pointwise convolution."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.dconv = BaseConv(cin, cin, 3, stride, groups=cin)
        self.pconv = BaseConv(cin, cout, 1)


class Bottleneck(nn.Module):
    """Pointwise, separable 3x3; the input is added when ``shortcut``."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = BaseConv(channels, channels, 1)
        self.conv2 = DWConv(channels, channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class CSPLayer(nn.Module):
    """Cross-stage partial layer: half the channels go through ``repeats`` bottlenecks."""

    def __init__(self, cin: int, cout: int, repeats: int, shortcut: bool) -> None:
        super().__init__()
        half = cout // 2
        self.conv1 = BaseConv(cin, half, 1)
        self.conv2 = BaseConv(cin, half, 1)
        self.conv3 = BaseConv(2 * half, cout, 1)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(torch.cat((self.m(self.conv1(x)), self.conv2(x)), 1))


class Focus(nn.Module):
    """Each 2x2 block of pixels to channels (top left, bottom left, top right, bottom right), then a convolution."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = BaseConv(4 * cin, cout, 3)

    def forward(self, x: Tensor) -> Tensor:
        blocks = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return self.conv(torch.cat(blocks, 1))


class SPPBottleneck(nn.Module):
    """Spatial pyramid pooling with windows 5, 9 and 13."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        half = cin // 2
        self.conv1 = BaseConv(cin, half, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in (5, 9, 13))
        self.conv2 = BaseConv(4 * half, cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


class CSPDarknet(nn.Module):
    """Features of strides 8, 16 and 32 with the channels of :data:`WIDTHS`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Focus(3, 16)
        self.dark2 = nn.Sequential(DWConv(16, 32, 2), CSPLayer(32, 32, 1, True))
        self.dark3 = nn.Sequential(DWConv(32, 64, 2), CSPLayer(64, 64, 3, True))
        self.dark4 = nn.Sequential(DWConv(64, 128, 2), CSPLayer(128, 128, 3, True))
        self.dark5 = nn.Sequential(DWConv(128, 256, 2), SPPBottleneck(256, 256), CSPLayer(256, 256, 1, False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stride8 = self.dark3(self.dark2(self.stem(x)))
        stride16 = self.dark4(stride8)
        return stride8, stride16, self.dark5(stride16)


class PAFPN(nn.Module):
    """Path aggregation (Liu et al., 2018): top-down, then bottom-up; the same shapes as the backbone's."""

    def __init__(self) -> None:
        super().__init__()
        low, mid, high = WIDTHS
        self.backbone = CSPDarknet()
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral_conv0 = BaseConv(high, mid, 1)
        self.C3_p4 = CSPLayer(2 * mid, mid, 1, False)
        self.reduce_conv1 = BaseConv(mid, low, 1)
        self.C3_p3 = CSPLayer(2 * low, low, 1, False)
        self.bu_conv2 = DWConv(low, low, 2)
        self.C3_n3 = CSPLayer(2 * low, mid, 1, False)
        self.bu_conv1 = DWConv(mid, mid, 2)
        self.C3_n4 = CSPLayer(2 * mid, high, 1, False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stride8, stride16, stride32 = self.backbone(image)
        top = self.lateral_conv0(stride32)
        middle = self.C3_p4(torch.cat((self.upsample(top), stride16), 1))
        middle = self.reduce_conv1(middle)
        out8 = self.C3_p3(torch.cat((self.upsample(middle), stride8), 1))
        out16 = self.C3_n3(torch.cat((self.bu_conv2(out8), middle), 1))
        out32 = self.C3_n4(torch.cat((self.bu_conv1(out16), top), 1))
        return out8, out16, out32


class Head(nn.Module):
    """Decoupled head: one branch for classes, one for box and objectness, at each stride."""

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.stems = nn.ModuleList(BaseConv(cin, width, 1) for cin in WIDTHS)
        self.cls_convs = nn.ModuleList(nn.Sequential(DWConv(width, width), DWConv(width, width)) for _ in STRIDES)
        self.reg_convs = nn.ModuleList(nn.Sequential(DWConv(width, width), DWConv(width, width)) for _ in STRIDES)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in STRIDES)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 4, 1) for _ in STRIDES)
        self.obj_preds = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in STRIDES)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        rows = []
        for i, feature in enumerate(features):
            x = self.stems[i](feature)
            classes = self.cls_preds[i](self.cls_convs[i](x))
            boxes = self.reg_convs[i](x)
            scores = (self.reg_preds[i](boxes), self.obj_preds[i](boxes).sigmoid(), classes.sigmoid())
            rows.append(torch.cat(scores, 1).flatten(2))
        return torch.cat(rows, 2).transpose(1, 2)


class YOLOX(nn.Module):
    """Detector; see the module for input and output.  Height and width: multiples of 32."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = PAFPN()
        self.head = Head(classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


def build(classes: int = 80, activation: str = "SiLU") -> nn.Module:
    """The network in training mode, randomly initialised.

    Args:
        classes: 80 for the COCO checkpoint.
        activation: name of a class of ``torch.nn`` in place of SiLU.
    """
    network = YOLOX(classes)
    for module in network.modules():
        if isinstance(module, BaseConv):
            module.act = getattr(nn, activation)()
    return network
