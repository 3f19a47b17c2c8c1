"""Boxes on pictures: where they belong, in colours and letters that can be read."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.tensors import Array
from edgekit.tasks._drawing import _PALETTE, boxed, colours

IMAGE = np.full((120, 200, 3), 100, np.uint8)


def drawn(boxes: list[list[float]], labels: list[int], texts: list[str], scale: float = 0.5) -> Array:
    table = colours(("car", "person", "sign"))[labels]
    return boxed(IMAGE, np.array(boxes, np.float32).reshape(-1, 4), table, texts, scale)


def contrast(first: Array, second: Array) -> float:
    """WCAG 2.2, of two sRGB colours."""
    luminances = []
    for colour in (first, second):
        share = np.asarray(colour) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        luminances.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(luminances) / min(luminances)


class TestBoxed:
    def test_lines_stand_on_the_box(self) -> None:
        picture = drawn([[40, 50, 90, 100]], [0], ["car 0.90"])
        blue = colours(("car",))[0]
        for y, x in ((99, 60), (75, 40), (75, 89), (50, 85)):
            assert (picture[y, x] == blue).all(), (y, x)
        assert (picture[70:80, 50:80] == 100).all()  # clear inside
        assert (picture[103:, :] == 100).all()
        assert (picture[:, 120:] == 100).all()
        assert (IMAGE == 100).all()

    def test_the_last_box_is_on_top(self) -> None:
        boxes = [[40, 50, 90, 100], [40, 50, 90, 100]]
        red = colours(("car", "person"))[1]
        assert (drawn(boxes, [0, 1], ["", ""])[99, 60] == red).all()

    @pytest.mark.parametrize("box", [[0, 0, 200, 120], [180, 0, 199, 20], [0, 110, 30, 119], [190, 100, 200, 120]])
    def test_texts_stay_in_the_picture(self, box: list[float]) -> None:
        """As many letter pixels as in the middle of the picture."""
        picture, middle = (drawn([b], [2], ["car 0.77"], 0.9) for b in (box, [60, 60, 100, 100]))
        ink = [int((p.astype(int).sum(axis=2) < 60).sum()) for p in (picture, middle)]
        assert ink[1] > 60
        assert ink[0] == ink[1]

    @pytest.mark.parametrize("colour", [rgb for rgb, _ in _PALETTE] + [(0, 0, 0), (255, 255, 255), (128, 128, 128)])
    def test_letters_can_be_read_on_any_colour(self, colour: tuple[int, int, int]) -> None:
        table = np.array([colour], np.uint8)
        picture = boxed(IMAGE, np.array([[20, 60, 180, 110]], np.float32), table, ["HHHHHH"], 1.0)
        label = picture[40:58, 24:80].reshape(-1, 3)
        far = np.abs(label.astype(int) - colour).sum(axis=1)
        assert contrast(label[far.argmax()], np.array(colour)) >= 4.5  # WCAG's level AA

    def test_nothing_to_draw(self) -> None:
        np.testing.assert_array_equal(drawn([], [], []), IMAGE)

    def test_boxes_of_no_and_of_infinite_size(self) -> None:
        picture = drawn([[50, 50, 50, 50], [-1, -1, 201, 121]], [0, 1], ["a", "b"])
        assert picture.shape == IMAGE.shape
