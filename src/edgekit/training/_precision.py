"""The precision of a network that runs in a training step."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]


def lowered(precision: Precision, device: str) -> AbstractContextManager[None]:
    """Networks compute in ``precision`` inside, where PyTorch's autocast holds it to be safe; weights stay as they are.

    Args:
        precision: fp32 changes nothing.
        device: type of the device, such as ``cpu``.
    """
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device, dtype=dtype, enabled=precision != "fp32")
