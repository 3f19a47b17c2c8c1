"""Frames of bags: ids, labels of other formats, recorded truth, encodings, mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data.mcap import Config, Mcap
from edgekit.ros2_node.bags.convert import Conversion, convert
from tests.support.bags import detections, raw_image, write_bag
from tests.support.projects import write_frames

TOPIC = "/front/image"
COUNT = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, masks, and a bag of the images."""
    root = tmp_path_factory.mktemp("mcap")
    write_frames(root, COUNT)
    convert(root / "images", root / "bag", Conversion())
    return root


def opened(**keys: Any) -> Mcap:
    return Config.model_validate({"format": "mcap", **keys}).open()


def pixels(index: int, shape: tuple[int, ...] = (6, 4, 3)) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, shape, np.uint8)


def bag(folder: Path, stamps: list[int], extra: list[Any] | None = None, encoding: str = "rgb8") -> Path:
    """A frame a second, recorded a moment after its stamp."""
    images = [(TOPIC, 10**9 * (i + 1), raw_image(stamp, pixels(i), encoding)) for i, stamp in enumerate(stamps)]
    return write_bag(folder, [*images, *(extra or [])])


class TestFrames:
    def test_ids_are_the_names_of_the_files(self, folder: Path) -> None:
        dataset = opened(root=folder / "bag")
        assert [sample.id for sample in dataset] == [f"f{i}" for i in range(COUNT)]
        for sample in dataset:
            assert np.array_equal(
                sample.images["image"][..., ::-1], cv2.imread(str(folder / f"images/{sample.id}.png"))
            )
            assert sample.metadata == {"sequence": "bag"}

    def test_ids_are_stamps_where_nobody_named_them(self, tmp_path: Path) -> None:
        dataset = opened(root=bag(tmp_path / "bag", [7, 8, 8, 1_700_000_000_123_456_789]))
        assert [sample.id for sample in dataset] == ["7", "8", "8-1", "1700000000123456789"]
        for index in (3, 1, 2, 0, 1):
            assert np.array_equal(dataset[index].images["image"], pixels(index))

    def test_two_messages_of_one_time(self, tmp_path: Path) -> None:
        images = [(TOPIC, 5, raw_image(i, pixels(i), "rgb8")) for i in range(3)]
        dataset = opened(root=write_bag(tmp_path / "bag", images))
        for index in (2, 0, 1):
            assert np.array_equal(dataset[index].images["image"], pixels(index))

    def test_colours_follow_the_encoding(self, tmp_path: Path) -> None:
        dataset = opened(root=bag(tmp_path / "bag", [1], encoding="bgr8"))
        assert np.array_equal(dataset[0].images["image"], pixels(0)[..., ::-1])

    def test_an_unknown_encoding_names_frame_and_topic(self, tmp_path: Path) -> None:
        dataset = opened(root=bag(tmp_path / "bag", [1], encoding="rgb7"))
        with pytest.raises(DataError, match=rf"{TOPIC}, frame 1: encoding 'rgb7'"):
            dataset[0]

    def test_the_topic_is_chosen(self, tmp_path: Path) -> None:
        root = bag(tmp_path / "bag", [1, 2], [("/rear/image", 10**9, raw_image(9, pixels(9), "rgb8"))])
        assert [s.id for s in opened(root=root, topic="/rear/image")] == ["9"]
        with pytest.raises(DataError, match="choose with the key topic"):
            opened(root=root)
        with pytest.raises(DataError, match="did you mean '/rear/image'"):
            opened(root=root, topic="/rear/imag")

    def test_a_bag_without_images(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="holds no topic of images"):
            opened(root=write_bag(tmp_path / "bag", [("/boxes", 1, detections(1, []))]))

    def test_a_table_of_names(self, tmp_path: Path) -> None:
        root = bag(tmp_path / "bag", [7, 8])
        (tmp_path / "names.csv").write_text("stamp,name\n7,left\n8,right\n")
        assert [s.id for s in opened(root=root, names=tmp_path / "names.csv")] == ["left", "right"]
        (tmp_path / "names.csv").write_text("time,name\n7,left\n")
        with pytest.raises(DataError, match="expected the columns stamp"):
            opened(root=root, names=tmp_path / "names.csv")

    def test_the_fingerprint_follows_the_content(self, tmp_path: Path) -> None:
        one = opened(root=bag(tmp_path / "one/bag", [1, 2])).fingerprint()
        same = opened(root=bag(tmp_path / "same/bag", [1, 2])).fingerprint()
        other = opened(root=bag(tmp_path / "other/bag", [1, 3])).fingerprint()
        assert one == same
        assert one != other


class TestLabels:
    def test_masks_of_the_same_ids(self, folder: Path) -> None:
        labels = {"format": "image_mask", "images": folder / "images", "masks": folder / "masks"}
        dataset = opened(root=folder / "bag", labels=labels)
        assert len(dataset) == COUNT
        for index, sample in enumerate(dataset):
            mask = cv2.imread(str(folder / f"masks/{sample.id}.png"), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(sample.truth, mask)
            assert np.array_equal(dataset.label(index)[1], mask)

    def test_frames_without_labels_are_left_out_or_refused(self, folder: Path, tmp_path: Path) -> None:
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir()
            for i in (1, 4):
                (tmp_path / kind / f"f{i}.png").write_bytes((folder / kind / f"f{i}.png").read_bytes())
        labels = {"format": "image_mask", "images": tmp_path / "images", "masks": tmp_path / "masks"}
        assert [s.id for s in opened(root=folder / "bag", labels=labels)] == ["f1", "f4"]
        with pytest.raises(DataError, match="frame f0 has no truth"):
            opened(root=folder / "bag", labels=labels, unlabelled="refuse")

    def test_labels_of_other_frames(self, folder: Path, tmp_path: Path) -> None:
        labels = {"format": "image_mask", "images": folder / "images", "masks": folder / "masks"}
        with pytest.raises(DataError, match="no frame of /front/image has its truth"):
            opened(root=bag(tmp_path / "bag", [1]), labels=labels)

    def test_a_mask_of_another_size(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "names.csv").write_text("stamp,name\n7,f0\n")
        labels = {"format": "image_mask", "images": folder / "images", "masks": folder / "masks"}
        dataset = opened(root=bag(tmp_path / "bag", [7]), names=tmp_path / "names.csv", labels=labels)
        with pytest.raises(DataError, match="the mask is 48x32, but the bag's image is 4x6"):
            dataset[0]

    def test_bag_and_labels_move_together(self, folder: Path, tmp_path: Path) -> None:
        labels = {"format": "image_mask", "images": folder / "images", "masks": folder / "masks"}
        config = Config.model_validate({"format": "mcap", "root": folder / "bag", "labels": labels})
        moved = config.relocated(tmp_path)
        assert moved.root == tmp_path / "bag"
        assert moved.labels.masks == tmp_path / "masks"
        alone = Config.model_validate({"format": "mcap", "root": folder / "bag"}).relocated(tmp_path)
        assert alone.root == tmp_path

    def test_one_truth(self, folder: Path) -> None:
        labels = {"format": "images", "root": folder / "images"}
        with pytest.raises(ValidationError, match="name one of them"):
            opened(root=folder / "bag", labels=labels, detections="/boxes")


class TestDetections:
    def test_recorded_objects_are_the_truth(self, tmp_path: Path) -> None:
        boxes = [
            ("/truth", 3, detections(1, [("car", 1.0, (0, 1, 2, 5)), ("bus", 1.0, (1, 1, 3, 2))])),
            ("/truth", 4, detections(2, [])),
        ]
        dataset = opened(root=bag(tmp_path / "bag", [1, 2, 3], boxes), detections="/truth")
        assert dataset.classes == ("bus", "car")
        assert dataset.class_names() == {0: "bus", 1: "car"}
        assert [sample.id for sample in dataset] == ["1", "2"]
        truth = dataset[0].truth
        assert truth.boxes.tolist() == [[0, 1, 2, 5], [1, 1, 3, 2]]
        assert truth.labels.tolist() == [1, 0]
        assert len(dataset[1].truth) == 0

    def test_the_topic_must_hold_objects(self, tmp_path: Path) -> None:
        root = bag(tmp_path / "bag", [1], [("/truth", 3, detections(1, []))])
        for wrong in ("/trut", TOPIC):
            with pytest.raises(DataError, match="is no topic of true objects"):
                opened(root=root, detections=wrong)
