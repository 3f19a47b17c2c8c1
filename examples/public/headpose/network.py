"""Head pose from the camera matrix of a face model, built by the code of a checkout that the user names."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class HeadPose(nn.Module):
    """The backbone of the checkout, and the angles that its demo reads out of the parameters."""

    def __init__(self, backbone: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", mean[:12])
        self.register_buffer("std", std[:12])

    def forward(self, face: Tensor) -> Tensor:
        """Faces float32 ``(N, 3, 120, 120)`` to yaw, pitch and roll in degrees, ``(N, 3)``."""
        matrix = (self.backbone(face)[:, :12] * self.std + self.mean).reshape(-1, 3, 4)[:, :, :3]
        first, second = (row / row.norm(dim=1, keepdim=True) for row in (matrix[:, 0], matrix[:, 1]))
        third = first[:, [1, 2, 0]] * second[:, [2, 0, 1]] - first[:, [2, 0, 1]] * second[:, [1, 2, 0]]
        yaw = torch.asin(third[:, 0].clamp(-1, 1))
        pitch = torch.atan2(third[:, 1], third[:, 2])
        roll = torch.atan2(second[:, 0], first[:, 0])
        return torch.stack([yaw, pitch, roll], 1) * (180 / math.pi)


def build(checkout: str, scaling: str, checkpoint: str | None = None) -> nn.Module:
    """``checkout`` is a folder with models/mobilenet_v1.py, ``scaling`` a JSON file: mean and std of 62 numbers."""
    sys.path.insert(0, str(Path(checkout)))
    backbone = importlib.import_module("models.mobilenet_v1").mobilenet(num_classes=62, widen_factor=0.5)
    if checkpoint is not None:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        named = {name.removeprefix("module.").replace("fc_param", "fc"): value for name, value in state.items()}
        backbone.load_state_dict({name: named[name] for name in backbone.state_dict() if name in named}, strict=True)
    numbers = json.loads(Path(scaling).read_text())
    return HeadPose(backbone, torch.tensor(numbers["mean"]), torch.tensor(numbers["std"]))
