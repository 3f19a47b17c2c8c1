"""The worst frames as pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.bundle import open_bundle
from edgekit.core.errors import DataError
from edgekit.reporting import draw_frames
from edgekit.reporting.frames import encode_jpeg
from tests.support.report_content import jpeg


def test_frames_are_drawn_in_the_order_asked_for(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    drawn = []
    with bundle.engine() as engine:
        parts = (bundle.chain(engine), bundle.dataset())
        pictures = draw_frames(["f5", "f1"], *parts, lambda: drawn.append(1))
        assert draw_frames([], *parts) == ()
        with pytest.raises(DataError, match=r"frame 'elsewhere' of the evaluation is not in this dataset"):
            draw_frames(["f1", "elsewhere"], *parts)
    assert [picture.id for picture in pictures] == ["f5", "f1"]
    assert len(drawn) == 2
    first, second = (cv2.imdecode(np.frombuffer(p.jpeg, np.uint8), cv2.IMREAD_COLOR) for p in pictures)
    assert first is not None
    assert second is not None
    assert first.shape[1] == 2 * 48 + 4  # truth is beside it
    assert {len(picture.legend) > 0 for picture in pictures} == {True}
    key = cv2.imdecode(np.frombuffer(pictures[0].legend, np.uint8), cv2.IMREAD_COLOR)
    assert key is not None
    assert key.shape[0] >= 30  # text that can be read
    assert (first != second).any()


def test_wide_pictures_are_made_smaller() -> None:
    wide = cv2.imdecode(
        np.frombuffer(encode_jpeg(np.full((500, 4000, 3), (200, 30, 30), np.uint8)), np.uint8), cv2.IMREAD_COLOR
    )
    assert wide is not None
    assert wide.shape == (160, 1280, 3)
    assert np.abs(wide[80, 640].astype(int)[::-1] - (200, 30, 30)).max() < 8
    assert jpeg(0)[:3] == b"\xff\xd8\xff"
