"""One backbone, three tasks: objects, the drivable area, and the class of every pixel.

Plain convolutions, additions, nearest upsampling and ReLU, so that INT8 finds nothing to stumble over.

Input ``float32 (N, 3, H, W)``: R, G, B planes of 0..1; H and W multiples of 32, 288x480 in the spec.
Outputs, in the order of :data:`OUTPUTS`: for each of the strides 8, 16 and 32 ``reach`` ``(N, 4, h, w)``, the
distances from a cell's centre to the left, top, right and bottom of its object, in cells; then for each
of them ``kind`` ``(N, objects, h, w)``, a logit a class; ``area`` ``(N, 2, H/4, W/4)`` and ``scene``
``(N, classes, H/4, W/4)``, logits.

Sources: Lin et al., "Feature Pyramid Networks" (CVPR 2017), the neck; Tian et al., "FCOS" (ICCV 2019), the
head without centre-ness; Teichmann et al., "MultiNet" (IV 2018), detection and road area on one encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
OUTPUTS = (*(f"reach{s}" for s in STRIDES), *(f"kind{s}" for s in STRIDES), "area", "scene")
WIDTH = 64  # channels of the neck and of the object heads
FINE = 32  # channels at stride 4
RARE = -4.6  # logit of 0.01: at first nearly every cell is empty (Lin et al., "Focal Loss", ICCV 2017, 4.1)


def conv(cin: int, cout: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    plain = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(plain, nn.BatchNorm2d(cout), nn.ReLU())


class Block(nn.Module):
    """Adds to its input what two convolutions find in it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv(width, width), *conv(width, width)[:2])

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + x).relu()


class ObjectHead(nn.Module):
    """``reach`` and ``kind`` of one stride."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.where, self.what = conv(WIDTH, WIDTH), conv(WIDTH, WIDTH)
        self.reach, self.kind = nn.Conv2d(WIDTH, 4, 1), nn.Conv2d(WIDTH, classes, 1)
        nn.init.ones_(self.reach.bias)
        nn.init.constant_(self.kind.bias, RARE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.reach(self.where(x)), self.kind(self.what(x))


class MultiTaskNet(nn.Module):
    """See the module; ``objects`` and ``classes`` are the numbers of classes."""

    def __init__(self, objects: int, classes: int) -> None:
        super().__init__()
        self.to4 = nn.Sequential(conv(3, 16, 3, 2), conv(16, FINE, 3, 2), conv(FINE, FINE))
        self.to8 = nn.Sequential(conv(FINE, 64, 3, 2), Block(64))
        self.to16 = nn.Sequential(conv(64, 96, 3, 2), Block(96), Block(96))
        self.to32 = nn.Sequential(conv(96, 128, 3, 2), Block(128), conv(128, WIDTH, 1))
        self.side16, self.side8, self.side4 = conv(96, WIDTH, 1), conv(64, WIDTH, 1), conv(FINE, FINE, 1)
        self.mix16, self.mix8, self.mix4 = conv(WIDTH, WIDTH), conv(WIDTH, WIDTH), conv(FINE, FINE)
        self.narrow = conv(WIDTH, FINE, 1)
        self.heads = nn.ModuleList(ObjectHead(objects) for _ in STRIDES)
        self.area, self.scene = nn.Conv2d(FINE, 2, 1), nn.Conv2d(FINE, classes, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x4 = self.to4(image)
        x8 = self.to8(x4)
        x16 = self.to16(x8)
        p32 = self.to32(x16)
        p16 = self.mix16(self.side16(x16) + twice(p32))
        p8 = self.mix8(self.side8(x8) + twice(p16))
        p4 = self.mix4(self.side4(x4) + twice(self.narrow(p8)))
        reach, kind = zip(*(head(p) for head, p in zip(self.heads, (p8, p16, p32), strict=True)), strict=True)
        return *reach, *kind, self.area(p4), self.scene(p4)


def twice(x: Tensor) -> Tensor:
    """Nearest upsampling to twice the size."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def build(objects: int = 5, classes: int = 9) -> nn.Module:
    """The network in training mode, randomly initialised."""
    return MultiTaskNet(objects, classes)


def centres(size: tuple[int, int]) -> Tensor:
    """Centre x, y and stride of every cell of an input ``(H, W)``, in pixels: ``(cells, 3)`` in the outputs' order."""
    blocks = []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(size[0] // stride), torch.arange(size[1] // stride), indexing="ij")
        cells = torch.stack([x.flatten() + 0.5, y.flatten() + 0.5], 1) * stride
        blocks.append(torch.cat([cells, torch.full((len(cells), 1), float(stride))], 1))
    return torch.cat(blocks)
