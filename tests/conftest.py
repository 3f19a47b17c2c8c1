"""Fixtures that several test modules use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The CamVid folder: ``EDGEKIT_CAMVID``, or ``shared/data/camvid`` beside the repository."""
    given = os.environ.get("EDGEKIT_CAMVID")
    root = Path(given) if given else Path(__file__).parents[1].parent / "shared" / "data" / "camvid"
    if not (root / "test.txt").is_file():
        pytest.skip(f"CamVid is not at {root}; set EDGEKIT_CAMVID to its folder")
    return root
