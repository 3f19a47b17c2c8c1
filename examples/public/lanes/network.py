"""Lanes and drivable area from one small network, built by the code of a checkout that the user names."""

from __future__ import annotations

import importlib
import sys

from torch import nn


def build(checkout: str) -> nn.Module:
    """``checkout`` is a folder with model/TwinLite.py."""
    sys.path.insert(0, checkout)
    network: nn.Module = importlib.import_module("model.TwinLite").TwinLiteNet()
    return network
