"""A face detector of one megabyte, built by the code of a checkout that the user names."""

from __future__ import annotations

import importlib
import sys

from torch import nn


def build(checkout: str) -> nn.Module:
    """``checkout`` is a folder with vision/ssd; the network applies softmax and prior boxes itself."""
    sys.path.insert(0, checkout)
    importlib.import_module("vision.ssd.config.fd_config").define_img_size(320)  # first: it makes the prior boxes
    detector: nn.Module = importlib.import_module("vision.ssd.mb_tiny_fd").create_mb_tiny_fd(2, True, "cpu")
    return detector
