"""The palette: told apart in every kind of colour vision, and the same for a class everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.tensors import Array
from edgekit.tasks._drawing import _PALETTE, colours

SEEN = {  # Machado et al. 2009, severity 1.0, on linear RGB
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(linear: Array) -> Array:
    """CIELAB (D65) of linear sRGB ``(N, 3)``."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    x, y, z = (np.clip(linear, 0, 1) @ np.transpose(matrix) / [0.95047, 1, 1.08883]).T
    f = [np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z)]
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])], axis=1)


class TestColours:
    @pytest.mark.parametrize("vision", SEEN)
    def test_can_be_told_apart(self, vision: str) -> None:
        rgb = np.array([colour for colour, _ in _PALETTE] + [(0, 0, 0)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        points = lab(linear @ np.transpose(SEEN[vision]))
        distance = np.linalg.norm(points[:, None] - points[None], axis=2)
        assert distance[np.triu_indices(len(points), 1)].min() > 19

    def test_a_class_keeps_its_colour_in_every_dataset(self) -> None:
        camvid = colours(("Sky", "Road", "Car", "SignSymbol"))
        rendered = colours(("vehicle", "lane_marking", "sky", "road"))
        assert camvid[[0, 1, 2]].tolist() == rendered[[2, 3, 0]].tolist()

    def test_background_takes_no_colour_and_parts_of_the_road_have_their_own(self) -> None:
        table = colours(("background", "drivable", "alternative"))
        assert not table[0].any()
        assert len(np.unique([*table[:3], *colours(("Background", "lane"))[1:2]], axis=0)) == 4

    @pytest.mark.parametrize("count", [2, 13, 40])
    def test_classes_have_different_colours(self, count: int) -> None:
        table = colours(tuple(f"thing {i}" for i in range(count)))
        assert len(np.unique(table[: count + 1], axis=0)) == count + 1  # black for the first id that is no class
        two = colours(("car", "truck", "bus"))
        assert len(np.unique(two[:3], axis=0)) == 3
