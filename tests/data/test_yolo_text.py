from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data.yolo_text import Config, YoloText
from tests.support import label_files
from tests.support.projects import HEIGHT, WIDTH

CENTRED = "1 0.5 0.5 0.25 0.5"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    label_files.yolo_text(tmp_path)
    return tmp_path


def opened(root: Path, text: str | None = None, **keys: Any) -> YoloText:
    """The dataset, after the labels of ``f0`` have become ``text``."""
    if text is not None:
        (root / "labels/f0.txt").write_text(text, newline="")
    keys = {"names": ("red", "green")} | keys
    return Config(images=root / "images", labels=root / "labels", **keys).open()


def test_boxes_lie_on_the_squares(root: Path) -> None:
    for sample in opened(root):
        assert sample.truth.labels.tolist() == [0, 1]
        left, top, right, bottom = np.rint(sample.truth.boxes[1]).astype(int)
        assert (sample.images["image"][top:bottom, left:right] == (30, 220, 30)).all()
    truth = opened(root, CENTRED)[0].truth
    assert truth.boxes.tolist() == [[18, 8, 30, 24]]
    assert truth.areas.tolist() == [12 * 16]


share = st.integers(1, 63).map(lambda n: n / 64)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share, share, share, share)
def test_any_share_becomes_pixels(root: Path, cx: float, cy: float, w: float, h: float) -> None:
    (box,) = opened(root, f"0 {cx} {cy} {w} {h}")[0].truth.boxes.tolist()
    edges = [(cx - w / 2) * WIDTH, (cy - h / 2) * HEIGHT, (cx + w / 2) * WIDTH, (cy + h / 2) * HEIGHT]
    np.testing.assert_allclose(box, np.clip(edges, 0, [WIDTH, HEIGHT] * 2), atol=1e-5)


def test_names_and_classes(root: Path) -> None:
    assert opened(root).classes == ("red", "green")
    turned = opened(root, classes=["green", "red"])
    assert turned[0].truth.labels.tolist() == [1, 0]
    assert opened(root, classes={"red": "square", "green": "square"})[0].truth.labels.tolist() == [0, 0]
    with pytest.raises(DataError, match=r"f0\.txt:1: the category 'red' is not in classes; allowed: green"):
        opened(root, classes=["green"])[0]
    assert opened(root, classes=["green"], unlisted="drop")[0].truth.labels.tolist() == [0]
    with pytest.raises(DataError, match="names: has no category 'blue', which classes lists"):
        opened(root, classes=["blue"])
    with pytest.raises(ValidationError, match="the class name 'red' is there twice"):
        opened(root, names=["red", "red"])


@pytest.mark.parametrize(
    "names", [{0: "red", 1: "green"}, {"0": "red", "1": "green"}, {1: "green", 0: "red"}], ids=["ids", "texts", "order"]
)
def test_names_as_a_mapping(root: Path, names: Any) -> None:
    dataset = opened(root, names=names)
    assert dataset.classes == ("red", "green")
    assert dataset.fingerprint() == opened(root).fingerprint()


def test_names_from_the_yaml_of_the_data_set(root: Path) -> None:
    (root / "data.yaml").write_text("path: .\nnames:\n  0: red\n  1: green\nnc: 2\n")
    assert opened(root, names=str(root / "data.yaml")).classes == ("red", "green")
    assert opened(root, "7 0.5 0.5 0.25 0.5", names={2: "red", 7: "green"})[0].truth.labels.tolist() == [1]
    with pytest.raises(DataError, match="the class is '3'; expected a whole number 2, 7, the places"):
        opened(root, "3 0.5 0.5 0.25 0.5", names={2: "red", 7: "green"})[0]


@pytest.mark.parametrize("names", [{"x": "red"}, {0: 3}, {}, [], "absent.yaml", {-1: "red"}, {0: " "}])
def test_names_that_are_none(root: Path, names: Any) -> None:
    with pytest.raises(ValidationError, match=r"expected|absent\.yaml"):
        opened(root, names=names)


def test_outlines_become_their_bounding_boxes(root: Path) -> None:
    triangle = "1.0 0.375 0.25 0.625 0.25 0.5 0.75"
    square = "0 0.375 0.25 0.625 0.25 0.625 0.75 0.375 0.75"
    truth = opened(root, f"{triangle}\n{square}\n{CENTRED}")[0].truth
    assert truth.boxes.tolist() == [[18, 8, 30, 24]] * 3
    assert truth.labels.tolist() == [1, 0, 1]


def test_keypoints_are_kept(root: Path) -> None:
    with_seen = f"{CENTRED} 0.5 0.25 2 0.25 0.5 1 0 0 0"
    dataset = opened(
        root, f"{with_seen}\n1 0.5 0.5 0 0.5 0 0 0 0 0 0 0 0 0", keypoints=("a", "b", "c"), invalid_boxes="drop"
    )
    assert dataset.keypoints == ("a", "b", "c")
    truth = dataset[0].truth
    assert truth.boxes.tolist() == [[18, 8, 30, 24]]
    assert truth.keypoints.tolist() == [[[24, 8, 2], [12, 16, 1], [0, 0, 0]]]
    plain = opened(root, f"{CENTRED} 0.5 0.25 0.25 0.5", keypoints=("a", "b"))
    assert plain[0].truth.keypoints.tolist() == [[[24, 8, 2], [12, 16, 2]]]
    with pytest.raises(DataError, match=r"has 8 columns; expected 9 or 11: .*the 2 keypoints"):
        opened(root, f"{CENTRED} 0.5 0.25 2", keypoints=("a", "b"))[0]


def test_an_image_without_labels(root: Path) -> None:
    (root / "labels/f1.txt").unlink()
    with pytest.raises(DataError, match=r"images/f1\.png: has no labels of that stem in .*labels; .*unlabelled: empty"):
        opened(root)
    dataset = opened(root, unlabelled="empty")
    assert [len(sample.truth) for sample in dataset] == [2, 0, 2, 2]
    assert len(dataset.fingerprint()) == 64


def test_an_empty_text_is_an_empty_frame(root: Path) -> None:
    assert [len(sample.truth) for sample in opened(root, " \r\n")] == [0, 2, 2, 2]


def test_labels_without_image(root: Path) -> None:
    (root / "labels/classes.txt").write_text("red\ngreen\n")
    assert len(opened(root)) == 4
    (root / "images/f2.png").unlink()
    with pytest.raises(DataError, match=r"labels/f2\.txt: has no image of that stem in .*images; add it or remove"):
        opened(root)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.25", r"has 4 columns; expected 5: class cx cy w h$"),
        (f"{CENTRED} 0.9", "has 6 columns; expected 5: class cx cy w h; 6 are predictions, with scores"),
        ("1 0.1 0.1 0.2 0.1 0.2 0.2 0.1", "has 8 columns; .*or the corners of an outline, .*keypoints: "),
        ("1 0.1 0.1 0.2 0.1 0.2 2", "y of corner 3 is 2; expected a share"),
        ("2 0.5 0.5 0.25 0.5", r"the class is '2'; expected a whole number 0\.\.1, the places of 'names'"),
        ("-1 0.5 0.5 0.25 0.5", "the class is '-1'"),
        ("1.5 0.5 0.5 0.25 0.5", r"the class is '1\.5'"),
        ("2.0 0.5 0.5 0.25 0.5", r"the class is '2\.0'"),
        ("car 0.5 0.5 0.25 0.5", "the class is 'car'"),
        ("1 0.5 nan 0.25 0.5", "cy is 'nan'; expected a finite number"),
        ("1 0,5 0.5 0.25 0.5", "cx is '0,5'; expected a finite number"),
        ("1 24 16 12 16", r"cx is 24; expected a share 0\.\.1 of the image, not pixels"),
        ("1 -0.1 0.5 0.25 0.5", r"cx is -0\.1; expected a share"),
        ("1 0.5 0.5 0 0.5", r"measures 0 x 16 \(width x height\); expected more than 0"),
        ("1 0.5 0.5 0.25 -0.5", "measures 12 x -16"),
    ],
)
def test_bad_lines(root: Path, line: str, message: str) -> None:
    dataset = opened(root, f"\ufeff{CENTRED}\r\n{line}\r\n")
    with pytest.raises(DataError, match=rf"labels/f0\.txt:2: .*{message}"):
        dataset[0]
    assert len(dataset[1].truth) == 2


def test_invalid_boxes_can_be_dropped(root: Path) -> None:
    assert len(opened(root, f"{CENTRED}\n1 0.5 0.5 0 0.5", invalid_boxes="drop")[0].truth) == 1


def test_one_folder_for_both(root: Path) -> None:
    for text in (root / "labels").iterdir():
        text.rename(root / "images" / text.name)
    config = Config(images=root / "images", labels=root / "images", names=("red", "green"))
    assert len(config.open()[3].truth) == 2
    moved = config.relocated(Path("/new"))
    assert (moved.images, moved.labels) == (Path("/new"), Path("/new"))


def test_place_on_another_machine(root: Path) -> None:
    config = Config(images=root / "images/val", labels=root / "labels/val", names=("a",)).relocated(Path("/new"))
    assert (config.images, config.labels) == (Path("/new/images/val"), Path("/new/labels/val"))


def test_fingerprint_follows_labels_and_keys(root: Path) -> None:
    seen = [opened(root).fingerprint(), opened(root, names=["green", "red"]).fingerprint()]
    seen.append(opened(root, CENTRED).fingerprint())
    assert len(set(seen)) == 3
