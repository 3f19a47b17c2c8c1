from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.kitti import TYPES, Config, Kitti
from tests.support import label_files
from tests.support.label_files import kitti_line
from tests.support.projects import HEIGHT, WIDTH

CAR = kitti_line("Car", (4.0, 5.0, 20.5, 16.25))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    label_files.kitti(tmp_path)
    return tmp_path


def opened(root: Path, text: str | bytes | None = None, **keys: Any) -> Kitti:
    """The dataset, after the labels of ``f0`` have become ``text``."""
    if text is not None:
        (root / "label_2/f0.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Config(root=root, **keys).open()


def test_reads_boxes(root: Path) -> None:
    dataset = opened(root)
    assert dataset.classes == TYPES
    for sample in dataset:
        assert sample.truth.labels.tolist() == [TYPES.index("Car"), TYPES.index("Pedestrian")]
        left, top, right, bottom = sample.truth.boxes[1].astype(int)
        assert (sample.images["image"][top:bottom, left:right] == (30, 220, 30)).all()
    truth = opened(root, CAR)[0].truth
    assert truth.boxes.tolist() == [[4, 5, 20.5, 16.25]]
    assert truth.areas.tolist() == [16.5 * 11.25]


def test_dont_care_is_a_crowd_of_every_class(root: Path) -> None:
    region = "DontCare -1 -1 -10 30.0 1.0 60.0 9.0 -1 -1 -1 -1000 -1000 -1000 -10"
    truth = opened(root, f"{CAR}\n{region}\n", classes=["Pedestrian", "Car"])[0].truth
    assert truth.labels.tolist() == [1, 0, 1]
    assert truth.crowd.tolist() == [False, True, True]
    assert truth.boxes[1:].tolist() == [[30, 1, WIDTH, 9]] * 2


def test_metadata_of_the_worst_object(root: Path) -> None:
    lines = [kitti_line("Car", (1, 1, 9, 9), 0.2, 1), kitti_line("Car", (1, 1, 9, 9), 0.1, 2)]
    lines.append("DontCare -1 -1 -10 3 1 6 9 -1 -1 -1 -1000 -1000 -1000 -10")
    assert opened(root, "\n".join(lines))[0].metadata == {"occlusion": "largely", "truncation": "up to 0.30"}
    assert opened(root, "")[0].metadata == {"occlusion": "visible", "truncation": "up to 0.15"}
    worst = kitti_line("Car", (1, 1, 9, 9), 0.97, 3)
    assert opened(root, worst)[0].metadata == {"occlusion": "unknown", "truncation": "above 0.50"}


def test_no_objects_byte_order_mark_and_windows_lines(root: Path) -> None:
    assert len(opened(root, "")[0].truth) == 0
    text = b"\xef\xbb\xbf" + f"{CAR}\r\n\r\n{CAR}\r\n".encode()
    assert len(opened(root, text)[0].truth) == 2


def test_classes(root: Path) -> None:
    joined = opened(root, classes={"Car": "vehicle", "Van": "vehicle", "Pedestrian": "person"})
    assert joined.classes == ("vehicle", "person")
    assert joined[0].truth.labels.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"f0\.txt:2: the category 'Pedestrian' is not in classes; allowed: Car"):
        opened(root, classes=["Car"])[0]
    assert len(opened(root, classes=["Car"], unlisted="drop")[0].truth) == 1


def test_split(root: Path) -> None:
    (root / "val.txt").write_text("f3\nf1\n")
    assert [sample.id for sample in opened(root, split="val")] == ["f3", "f1"]
    for text, message in (
        ("f1\nf9\n", r"val\.txt:2: lists 'f9', which is no image in image_2"),
        ("f1\n\nf1\n", r"val\.txt:3: lists 'f1' again"),
        ("\n", r"val\.txt: lists no frame"),
    ):
        (root / "val.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            opened(root, split="val")
    with pytest.raises(DataError, match=r"test\.txt: no such file; point the key 'split'"):
        opened(root, split="test")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (CAR.rsplit(" ", 1)[0], "has 14 columns; expected 15: type truncated occluded alpha left"),
        (f"{CAR} 0.93", "has 16 columns; expected 15: .*; 16 are a file of results, with scores"),
        (CAR.replace("20.50", "x"), "right is 'x'; expected a finite number"),
        (CAR.replace("20.50", "nan"), "right is 'nan'; expected a finite number"),
        (CAR.replace("20.50", "2_0"), "right is '2_0'; expected a finite number"),
        (CAR.replace("20.50", "1e999"), "right is '1e999'; expected a finite number"),
        (CAR.replace(" 0 ", " 7 "), "occluded is 7; expected 0, 1, 2 or 3"),
        (CAR.replace("Car 0.00", "Car 1.50"), "truncated is 1.5; expected 0 to 1"),
        (CAR.replace("20.50", "4.00"), r"measures 0 x 11.25 \(width x height\)"),
        (CAR.replace("20.50", "3.00"), r"measures -1 x 11.25 \(width x height\)"),
        (kitti_line("Car", (50, 2, 60, 9)), rf"has no part inside its {WIDTH}x{HEIGHT} image"),
        (kitti_line("Cars", (5, 2, 6, 9)), r"the category 'Cars' is not in classes; did you mean 'Car'\?"),
    ],
)
def test_bad_lines(root: Path, line: str, message: str) -> None:
    dataset = opened(root, f"{CAR}\n{line}\n")
    with pytest.raises(DataError, match=rf"label_2/f0\.txt:2: .*{message}"):
        dataset[0]
    assert len(dataset[1].truth) == 2


def test_text_in_another_encoding(root: Path) -> None:
    with pytest.raises(DataError, match=r"f0\.txt: is no UTF-8 text: .* at byte 0; save it as UTF-8"):
        opened(root, b"\xe9" + CAR.encode())[0]


def test_invalid_boxes_can_be_dropped(root: Path) -> None:
    lines = [CAR, kitti_line("Car", (50, 2, 60, 9)), kitti_line("Car", (5, 5, 4, 9))]
    assert len(opened(root, "\n".join(lines), invalid_boxes="drop")[0].truth) == 1


def test_lone_files(root: Path) -> None:
    (root / "label_2/f1.txt").rename(root / "label_2/f7.txt")
    with pytest.raises(DataError, match=r"label_2/f7\.txt: has no image of that stem in .*image_2; add it or remove"):
        opened(root)
    (root / "label_2/f7.txt").unlink()
    (root / "label_2/f2.txt").unlink()
    with pytest.raises(DataError, match=r"f1\.png \(and 1 more\): has no labels of that stem in label_2"):
        opened(root)


def test_a_folder_without_labels(tmp_path: Path) -> None:
    (tmp_path / "image_2").mkdir()
    with pytest.raises(DataError, match="image_2: holds no image"):
        opened(tmp_path)


def test_fingerprint_follows_labels_and_keys(root: Path) -> None:
    seen = [opened(root).fingerprint(), opened(root, classes=TYPES[::-1]).fingerprint()]
    seen += [opened(root, CAR).fingerprint(), opened(root, invalid_boxes="drop").fingerprint()]
    assert len(set(seen)) == 4


def test_a_hundred_thousand_boxes_in_a_frame(root: Path) -> None:
    truth = opened(root, f"{CAR}\n" * 100_000)[0].truth
    assert len(truth) == 100_000
    assert np.unique(truth.boxes, axis=0).tolist() == [[4, 5, 20.5, 16.25]]
