"""Truth follows the image, whatever is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.data import Sample
from edgekit.training import Augmentation

HEIGHT, WIDTH = 60, 80
seeds = st.integers(0, 10_000)


def frame(box: tuple[int, int, int, int] = (20, 10, 50, 40), truth: Any = None, dtype: Any = np.uint8) -> Sample:
    """A white box on black."""
    image = np.zeros((HEIGHT, WIDTH, 3), dtype)
    image[box[1] : box[3], box[0] : box[2]] = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    return Sample("f", {"image": image}, truth)


def objects(*boxes: tuple[float, ...], keypoints: Any = None) -> Objects:
    given = np.array(boxes, np.float32).reshape(-1, 4)
    areas = (given[:, 2] - given[:, 0]) * (given[:, 3] - given[:, 1])
    return Objects(given, np.arange(len(given)), np.zeros(len(given), bool), areas, keypoints)


def bounds(image: np.ndarray) -> tuple[int, ...]:
    """Left, top, right and bottom of what is brighter than half."""
    rows, columns = np.nonzero(image.reshape(HEIGHT, WIDTH, -1)[:, :, 0] > image.max() / 2)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


boxes = st.tuples(
    st.integers(0, WIDTH - 12), st.integers(0, HEIGHT - 12), st.integers(8, WIDTH), st.integers(8, HEIGHT)
).map(lambda b: (b[0], b[1], min(b[0] + b[2], WIDTH), min(b[1] + b[3], HEIGHT)))


@given(boxes, seeds, st.sampled_from([{"flip": 1.0}, {"crop": 0.4}, {"flip": 0.5, "crop": 0.6}]))
def test_a_box_in_the_picture_moves_as_the_box_in_the_truth(box: Any, seed: int, settings: Any) -> None:
    moved = Augmentation(**settings).drawn(seed, 0, 0)(frame(box, objects(box)))
    if len(moved.truth) == 0:
        assert moved.images["image"].max() <= 255 * 0.5  # at most the blurred rim of a box that went
        return
    found, wanted = np.array(bounds(moved.images["image"])), moved.truth.boxes[0]
    assert np.abs(found - wanted).max() <= (1 if "crop" in settings else 0)


@given(boxes, seeds)
def test_a_mask_moves_with_the_picture(box: Any, seed: int) -> None:
    """Where no pixel of the image is a mixture, mask and image say the same."""
    mask = (frame(box).images["image"][:, :, 0] > 0).astype(np.uint8) * 7
    moved = Augmentation(flip=0.5, crop=0.5).drawn(seed, 3, 1)(frame(box, mask))
    image = moved.images["image"][:, :, 0]
    assert set(np.unique(moved.truth)) <= {0, 7}
    pure = (image == 0) | (image == 255)
    assert ((image == 255) == (moved.truth == 7))[pure].all()
    assert np.mean(pure) > 0.8
    assert (moved.truth.shape, moved.truth.dtype) == ((HEIGHT, WIDTH), np.uint8)


@given(seeds)
def test_an_edge_is_at_the_same_place_in_both(seed: int) -> None:
    """A mask takes the nearest pixel where the image mixes two: the border is where both weigh the same."""
    edge = frame((35, 0, WIDTH, HEIGHT)).images["image"]
    mask = (edge[:, :, 0] > 0).astype(np.uint8)
    moved = Augmentation(flip=0.5, crop=0.5).drawn(seed, 0, 0)(Sample("f", {"image": edge}, mask))
    image = moved.images["image"][:, :, 0].astype(int)
    tie = abs(image - 127.5) < 4
    assert ((image > 127) == (moved.truth == 1))[~tie].all()


@given(seeds, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=4))
def test_a_mirror_twice_changes_nothing(seed: int, corners: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(seed)
    given = [(x / 4, y / 4, x / 4 + 9, y / 4 + 5) for x, y in corners]
    points = np.array([[[x / 4, y / 4, 2], [x / 4 + 1, y / 4, 1], [0, 0, 0]] for x, y in corners], np.float32)
    truth = {
        "mask": rng.integers(0, 5, (HEIGHT, WIDTH)).astype(np.uint8),
        "depth": rng.random((HEIGHT, WIDTH)).astype(np.float32),
        "boxes": objects(*given, keypoints=points.reshape(-1, 3, 3)),
        "scene": 3,
    }
    sample = Sample("f", {"image": rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)}, truth)
    mirror, names = Augmentation(flip=1.0).drawn(seed, 0, 0), ("left_eye", "right_eye", "nose")
    once = mirror(sample, names)
    twice = mirror(once, names)
    assert not np.array_equal(once.images["image"], sample.images["image"])
    assert np.array_equal(twice.images["image"], sample.images["image"])
    assert np.array_equal(twice.truth["mask"], truth["mask"])
    assert np.array_equal(twice.truth["depth"], truth["depth"])
    assert twice.truth["scene"] == 3
    for name in ("boxes", "labels", "crowd", "areas", "keypoints"):
        assert np.array_equal(getattr(twice.truth["boxes"], name), getattr(truth["boxes"], name)), name


class TestKeypoints:
    POINTS = np.array([[[10, 5, 2], [30, 6, 1], [0, 0, 0]]], np.float32)

    def test_left_and_right_change_places_in_a_mirror(self) -> None:
        sample = frame(truth=objects((0, 0, 40, 30), keypoints=self.POINTS))
        mirror = Augmentation(flip=1.0).drawn(0, 0, 0)
        moved = mirror(sample, ("left_eye", "right_eye", "nose")).truth.keypoints
        assert moved.tolist() == [[[WIDTH - 30, 6, 1], [WIDTH - 10, 5, 2], [0, 0, 0]]]
        other = Augmentation(flip=1.0, swap=(("l", "n"),)).drawn(0, 0, 0)(sample, ("l", "r", "n")).truth.keypoints
        assert other.tolist() == [[[0, 0, 0], [WIDTH - 30, 6, 1], [WIDTH - 10, 5, 2]]]

    def test_names_are_needed_for_a_mirror_alone(self) -> None:
        sample = frame(truth=objects((0, 0, 40, 30), keypoints=self.POINTS))
        with pytest.raises(DataError, match=r"3 keypoints without names.* leave augment.flip out"):
            Augmentation(flip=1.0).drawn(0, 0, 0)(sample)
        Augmentation(crop=0.9).drawn(0, 0, 0)(sample)
        with pytest.raises(DataError, match=r"augment.swap: there is no keypoint 'lefteye'; did you mean 'left_eye'"):
            Augmentation(flip=1.0, swap=(("lefteye", "nose"),)).drawn(0, 0, 0)(
                sample, ("left_eye", "right_eye", "nose")
            )

    @given(seeds)
    def test_a_point_stays_on_its_spot_of_the_picture(self, seed: int) -> None:
        box = (30, 20, 50, 40)
        centre = np.array([[[40, 30, 2]]], np.float32)
        moved = Augmentation(crop=0.5).drawn(seed, 0, 0)(frame(box, objects(box, keypoints=centre)), ("nose",))
        if len(moved.truth) == 0 or moved.truth.keypoints[0, 0, 2] == 0:
            return
        x, y = moved.truth.keypoints[0, 0, :2]
        assert moved.images["image"][min(int(y), HEIGHT - 1), min(int(x), WIDTH - 1), 0] > 127


def test_what_little_is_left_of_an_object_counts_nowhere() -> None:
    """The truth holds a large object in the middle, and one in every corner."""
    corners = [(0, 0, 12, 12), (68, 0, 80, 12), (0, 48, 12, 60), (68, 48, 80, 60)]
    crowds = gone = 0
    for seed in range(60):
        moved = Augmentation(crop=0.6).drawn(seed, 0, 0)(frame(truth=objects((20, 10, 60, 50), *corners)))
        assert 0 in moved.truth.labels
        assert (moved.truth.boxes >= 0).all()
        assert (moved.truth.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
        crowds, gone = crowds + int(moved.truth.crowd.sum()), gone + 5 - len(moved.truth)
    assert crowds > 0
    assert gone > 0


@given(seeds)
def test_the_area_of_an_object_grows_with_the_zoom(seed: int) -> None:
    box = (20, 10, 60, 50)
    moved = Augmentation(crop=0.7).drawn(seed, 0, 0)(frame(box, objects(box))).truth
    width, height = moved.boxes[0, 2] - moved.boxes[0, 0], moved.boxes[0, 3] - moved.boxes[0, 1]
    assert moved.areas[0] == pytest.approx(width * height, rel=1e-4)


class TestColours:
    def test_nothing_moves(self) -> None:
        truth = objects((20, 10, 50, 40))
        change = Augmentation(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5, blur=2, noise=0.1).drawn(1, 2, 3)
        moved = change(frame(truth=truth))
        assert moved.truth is truth
        assert moved.images["image"].dtype == np.uint8
        assert not np.array_equal(moved.images["image"], frame().images["image"])

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_brightness_is_a_factor(self, dtype: Any) -> None:
        image = np.full((4, 4, 3), 100, dtype)
        for seed in range(5):
            found = Augmentation(brightness=0.3).drawn(seed, 0, 0)(Sample("f", {"image": image})).images["image"]
            assert found.dtype == dtype
            assert np.unique(found).size == 1
            assert 70 <= found[0, 0, 0] <= 130

    def test_grey_stays_grey_and_keeps_its_mean(self) -> None:
        """Hue and saturation act on colours only; contrast leaves the mean."""
        image = np.repeat(np.arange(60, 180, dtype=np.float32).reshape(10, 12, 1), 3, axis=2)
        grey = Augmentation(hue=0.5, saturation=0.9).drawn(4, 0, 0)(Sample("f", {"i": image})).images["i"]
        assert np.allclose(grey, image, atol=1e-3)
        flat = Augmentation(contrast=0.9).drawn(4, 0, 0)(Sample("f", {"i": image})).images["i"]
        assert flat.mean() == pytest.approx(image.mean(), rel=1e-4)
        assert flat.std() != pytest.approx(image.std(), rel=1e-2)

    def test_noise_needs_to_know_white(self) -> None:
        with pytest.raises(DataError, match=r"frame 'f': 'image': noise .* float32; leave augment.noise out"):
            Augmentation(noise=0.1).drawn(0, 0, 0)(frame(dtype=np.float32))


class TestDrawn:
    def test_the_same_place_of_the_same_step_gives_the_same_picture(self) -> None:
        augment = Augmentation(flip=0.5, crop=0.5, noise=0.2, hue=0.2, blur=1)
        sample = Sample("f", {"i": np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)})
        first = augment.drawn(1, 2, 3)(sample).images["i"]
        assert np.array_equal(augment.drawn(1, 2, 3)(sample).images["i"], first)
        for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
            assert not np.array_equal(augment.drawn(*other)(sample).images["i"], first)

    def test_one_part_more_leaves_the_others_as_they_were(self) -> None:
        few, many = Augmentation(flip=0.5, crop=0.7), Augmentation(flip=0.5, crop=0.7, noise=0.1, hue=0.1)
        for place in range(20):
            assert few.drawn(5, 0, place).window == many.drawn(5, 0, place).window

    def test_about_as_many_are_mirrored_as_was_asked_for(self) -> None:
        mirrored = sum(Augmentation(flip=0.25).drawn(0, step, 0).window.mirrored for step in range(2000))
        assert 400 < mirrored < 600


class TestRefused:
    @pytest.mark.parametrize(
        ("truth", "what"),
        [
            ({"yaw": 0.3}, r"numbers \(yaw\)"),
            (np.zeros((30, 40), np.uint8), r"uint8\[30, 40\]"),
            (object(), "object"),
            ({"lanes": object()}, "the truth 'lanes' is object"),
        ],
    )
    def test_a_truth_of_which_it_is_not_known_how_it_follows(self, truth: Any, what: str) -> None:
        with pytest.raises(DataError, match=rf"frame 'f': .*{what}.*leave augment.flip and augment.crop out"):
            Augmentation(flip=1.0).drawn(0, 0, 0)(frame(truth=truth))
        assert Augmentation(hue=0.1).drawn(0, 0, 0)(frame(truth=truth)).truth is truth

    def test_a_frame_with_something_that_is_no_image(self) -> None:
        sample = Sample("f", {"points": np.zeros((100, 4), np.float32)})
        with pytest.raises(DataError, match=r"'points' is float32\[100, 4\], no image"):
            Augmentation(crop=0.5).drawn(0, 0, 0)(sample)
        assert Augmentation(hue=0.1).drawn(0, 0, 0)(sample).images["points"] is sample.images["points"]

    def test_keys(self) -> None:
        with pytest.raises(ValidationError, match="augment changes nothing"):
            Augmentation()
        with pytest.raises(ValidationError, match="Extra inputs"):
            Augmentation.model_validate({"flip": 0.5, "rotate": 10})
        with pytest.raises(ValidationError, match="greater than 0"):
            Augmentation(crop=0.0)
