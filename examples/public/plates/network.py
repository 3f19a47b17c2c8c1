"""A spatial transformer and the plate reader behind it, built by the code of a checkout that the user names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

CLASSES = 68  # characters of the published checkpoint, the last one is the blank of CTC


class PlateReader(nn.Module):
    """What the checkout's test script does in two steps: straighten the plate, then read it."""

    def __init__(self, transformer: nn.Module, reader: nn.Module) -> None:
        super().__init__()
        self.transformer, self.reader = transformer, reader

    def forward(self, plate: Tensor) -> Tensor:
        """Plates float32 ``(N, 3, 24, 94)`` to scores of characters by place, ``(N, 68, 18)``."""
        return self.reader(self.transformer(plate))


def build(checkout: str, transformer: str | None = None, reader: str | None = None) -> nn.Module:
    """``checkout`` is a folder with LPRNet/model; the others are checkpoints, random weights without them."""
    sys.path.insert(0, str(Path(checkout) / "LPRNet"))
    stn, lpr = importlib.import_module("model.STN"), importlib.import_module("model.LPRNET")
    made = PlateReader(stn.STNet(), lpr.LPRNet(class_num=CLASSES, dropout_rate=0))
    for part, file in ((made.transformer, transformer), (made.reader, reader)):
        if file is not None:
            part.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return made
