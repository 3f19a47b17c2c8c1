"""Overlays of segmentation."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.core.predictions import LabelMap
from edgekit.tasks._drawing import colours
from edgekit.tasks.segmentation import Config, Segmentation

CLASSES = ("road", "car", "sky")


def painter(classes: tuple[str, ...] = CLASSES, ignore_index: int | None = None) -> Segmentation:
    return Config(output="logits", classes=classes, ignore_index=ignore_index).create()


class TestDraw:
    image = np.full((60, 400, 3), 100, np.uint8)

    def test_half_colour_over_the_image(self) -> None:
        labels = np.zeros((60, 400), np.uint8)
        labels[:, 200:] = 2
        picture = painter().draw(self.image, LabelMap(labels))
        table = colours(CLASSES).astype(float)
        assert picture.dtype == np.uint8
        assert picture.shape == (80, 400, 3)
        assert np.abs(picture[:60, :200] - (50 + table[0] / 2)).max() <= 0.5
        assert np.abs(picture[:60, 200:] - (50 + table[2] / 2)).max() <= 0.5
        assert (self.image == 100).all()

    def test_background_stays_clear(self) -> None:
        labels = np.zeros((60, 400), np.uint8)
        labels[:, 200:] = 1
        picture = painter(("background", "car", "sky")).draw(self.image, LabelMap(labels))
        assert (picture[:60, :200] == 100).all()
        assert (picture[:60, 200:] != 100).any(axis=2).all()
        swatches = {tuple(pixel) for pixel in picture[60:].reshape(-1, 3).tolist()}
        assert {tuple(colour) for colour in colours(("background", "car", "sky"))[1:3].tolist()} <= swatches

    def test_legend_has_every_class(self) -> None:
        names = tuple(f"a rather long class name {i}" for i in range(9))
        picture = painter(names).draw(self.image, LabelMap(np.zeros((60, 400), np.uint8)))
        legend = picture[60:].reshape(-1, 3)
        assert len(legend) / 400 >= 60  # several lines
        for colour in colours(names)[:9]:
            assert (legend == colour).all(axis=1).sum() > 100

    def test_truth_stands_on_the_right(self) -> None:
        prediction, truth = np.zeros((60, 400), np.uint8), np.full((60, 400), 1, np.uint8)
        truth[:30] = 255
        picture = painter(ignore_index=255).draw(self.image, LabelMap(prediction), truth)
        table = colours(CLASSES).astype(float)
        assert picture.shape == (100, 804, 3)
        assert np.abs(picture[20:80, :400] - (50 + table[0] / 2)).max() <= 0.5
        assert (picture[20:50, 404:] == 50).all()  # void is dark
        assert np.abs(picture[50:80, 404:] - (50 + table[1] / 2)).max() <= 0.5
        for title in (picture[:20, :400], picture[:20, 404:]):
            assert title.max() > 150  # text on the dark strip

    def test_sizes_must_agree(self) -> None:
        with pytest.raises(DataError, match=r"prediction is \[2, 2\]; expected the image's size \[60, 400\]"):
            painter().draw(self.image, LabelMap(np.zeros((2, 2), np.uint8)))
        with pytest.raises(DataError, match=r"truth is \[2, 2\]; expected"):
            painter().draw(self.image, LabelMap(np.zeros((60, 400), np.uint8)), np.zeros((2, 2), np.uint8))
