from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data import _objects
from edgekit.data.coco import Coco, Config
from tests.support import label_files
from tests.support.projects import HEIGHT, WIDTH

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    return label_files.coco(tmp_path)


def opened(section: dict[str, Any], edit: Edit | None = None, **keys: Any) -> Coco:
    """The dataset, after ``edit`` of its JSON."""
    path = Path(section["annotations"])
    document = json.loads(path.read_text())
    if edit is not None:
        edit(document)
    path.write_text(json.dumps(document))
    return Config.model_validate(section | keys).open()


def squares(image: np.ndarray) -> dict[str, list[int]]:
    """Where the red and the green square really are."""
    found = {}
    for name, colour in (("red", (220, 30, 30)), ("green", (30, 220, 30))):
        rows, columns = np.nonzero((image == colour).all(axis=2))
        found[name] = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return found


def test_boxes_lie_on_the_squares(section: dict[str, Any]) -> None:
    dataset = opened(section)
    assert dataset.classes == ("green", "red")  # in the order of the category ids
    for sample in dataset:
        truth = sample.truth
        assert truth.labels.tolist() == [1, 0]
        assert not truth.crowd.any()
        for box, area, name in zip(truth.boxes, truth.areas, ("red", "green"), strict=True):
            assert np.abs(box - squares(sample.images["image"])[name]).max() <= 12  # one square may cover the other
            assert area == (box[2] - box[0]) * (box[3] - box[1]) / 2  # the file's, not the box's
        assert squares(sample.images["image"])["green"] == truth.boxes[1].tolist()


def test_annotations_in_any_order_and_frames_without_one(section: dict[str, Any]) -> None:
    whole = [sample.truth.boxes for sample in opened(section)]

    def shuffle(document: dict[str, Any]) -> None:
        kept = [entry for entry in document["annotations"] if entry["image_id"] != 102]
        document["annotations"] = kept[::2] + kept[1::2]

    for index, sample in enumerate(opened(section, shuffle)):
        expected = np.zeros((0, 4)) if index == 2 else whole[index]
        np.testing.assert_array_equal(sample.truth.boxes, expected)
    empty = opened(section, lambda d: d.update(annotations=[]))
    assert [len(sample.truth) for sample in empty] == [0, 0, 0, 0]


def test_crowd_and_area(section: dict[str, Any]) -> None:
    def edit(document: dict[str, Any]) -> None:
        first, second = document["annotations"][:2]
        first["iscrowd"] = 1
        del first["area"], second["iscrowd"]
        second["area"] = 1e300

    truth = opened(section, edit)[0].truth
    assert truth.crowd.tolist() == [True, False]
    assert truth.areas.tolist() == [12 * 12, HEIGHT * WIDTH]  # the box; not more than the image


def test_classes_choose_order_and_join(section: dict[str, Any]) -> None:
    listed = opened(section, classes=["red", "green"])
    assert listed.classes == ("red", "green")
    assert listed[0].truth.labels.tolist() == [0, 1]
    joined = opened(section, classes={"red": "square", "green": "square"})
    assert joined.classes == ("square",)
    assert joined[0].truth.labels.tolist() == [0, 0]
    only = opened(section, classes=["green"], unlisted="drop")
    assert only[0].truth.labels.tolist() == [0]
    with pytest.raises(DataError, match=r"annotation 0: the category 'red' is not in classes; allowed: green\. Say"):
        opened(section, classes=["green"])
    with pytest.raises(DataError, match=r"has no category 'gren', which classes lists; did you mean 'green'\?"):
        opened(section, classes=["gren"], unlisted="drop")


@pytest.mark.parametrize("classes", [[], ["a", "a"], [" "], {}, {"a": ""}, [1], "red"])
def test_refuses_classes(section: dict[str, Any], classes: Any) -> None:
    with pytest.raises(ValidationError, match="classes"):
        Config.model_validate(section | {"classes": classes})


def test_limit_metadata_and_place(section: dict[str, Any], tmp_path: Path) -> None:
    assert [s.id for s in opened(section, limit=2)] == ["f0", "f2"]
    assert opened(section, metadata=["drive"])[1].metadata == {"drive": "a"}
    with pytest.raises(DataError, match="image 100: 'weather' is None; the key 'metadata' needs"):
        opened(section, metadata=["weather"])
    moved = Config.model_validate(section).relocated(Path("/new"))
    assert (moved.annotations, moved.root) == (Path("/new/instances.json"), Path("/new/images"))
    inside = Config(annotations=tmp_path / "a.json", root=tmp_path).relocated(Path("/new"))
    assert (inside.annotations, inside.root) == (Path("/new/a.json"), Path("/new"))


def test_boxes_are_cut_at_the_border(section: dict[str, Any]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["annotations"][0].update(bbox=[-10, -5.5, 20, 10.5], area=None)
        document["annotations"][1].update(bbox=[1, 1, 1e308, 1e308], area=None)

    truth = opened(section, edit)[0].truth
    np.testing.assert_array_equal(truth.boxes, np.float32([[0, 0, 10, 5], [1, 1, WIDTH, HEIGHT]]))
    assert truth.areas.tolist() == [50, (WIDTH - 1) * (HEIGHT - 1)]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([5, 5, 0, 4], r"the box from \(5, 5\) to \(5, 9\) measures 0 x 4 \(width x height\); expected more than 0"),
        ([5, 5, 4, -1], r"measures 4 x -1 \(width x height\)"),
        ([5, 5, 1e-9, 4], "measures .* expected more than 0"),
        ([WIDTH, 5, 4, 4], rf"has no part inside its {WIDTH}x{HEIGHT} image \(width x height\); correct the labels"),
        ([-9, 5, 9, 4], "has no part inside"),
    ],
)
def test_boxes_without_size_or_outside(section: dict[str, Any], box: list[float], message: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["annotations"][3]["bbox"] = box

    with pytest.raises(DataError, match=rf"instances\.json: annotation 3: .*{message}.*invalid_boxes: drop"):
        opened(section, edit)
    kept = opened(section, invalid_boxes="drop")
    assert [len(sample.truth) for sample in kept] == [2, 1, 2, 2]


def change(table: str, place: int, **fields: Any) -> Edit:
    return lambda document: document[table][place].update(fields)


def remove(table: str, place: int, key: str) -> Edit:
    return lambda document: document[table][place].pop(key)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("annotations", 2, category_id=9), r"annotation 2: 'category_id' is 9, which is no id .* has 3, 7"),
        (change("annotations", 2, category_id=True), "annotation 2: 'category_id' is True"),
        (change("annotations", 2, image_id=5), "annotation 2: 'image_id' is 5, which is no id in 'images'"),
        (change("annotations", 2, image_id=[5]), r"annotation 2: 'image_id' is \[5\]"),
        (change("annotations", 2, id=1), "annotation 1: the annotation id is there twice"),
        (remove("annotations", 2, "id"), r"annotations\[2\]: 'id' is None; expected a whole number or a text"),
        (change("annotations", 2, bbox=[1, 2, 3]), r"annotation 2: 'bbox' is \[1, 2, 3\]; expected 4 numbers"),
        (change("annotations", 2, bbox=[1, 2, "3", 4]), "a number of 'bbox' is '3'; expected a finite number"),
        (change("annotations", 2, bbox=[1, float("nan"), 3, 4]), "a number of 'bbox' is nan; expected a finite"),
        (change("annotations", 2, bbox=[1, 10**400, 3, 4]), "a number of 'bbox' is 1000.*; expected a finite"),
        (change("annotations", 2, bbox=[1, True, 3, 4]), "a number of 'bbox' is True"),
        (change("annotations", 2, bbox=None), "'bbox' is None"),
        (change("annotations", 2, area="x"), "'area' is 'x'; expected a finite number"),
        (change("annotations", 2, area=-1), "'area' is -1; expected square pixels, 0 or more"),
        (change("annotations", 2, iscrowd=2), "'iscrowd' is 2; expected 0, 1, true or false"),
        (lambda d: d["annotations"].insert(2, 5), r"annotations\[2\]: is 5; expected a JSON object"),
        (change("images", 1, id=100), "image 100: the image id is there twice"),
        (change("images", 1, file_name="f0.png"), "image 101: the frame id 'f0' is taken by .*image 100"),
        (change("images", 1, file_name="../f1.png"), r"image 101: the file name is '\.\./f1\.png'; expected one below"),
        (change("images", 1, file_name="/etc/f1.png"), "image 101: the file name is '/etc/f1.png'"),
        (change("images", 1, file_name=""), "image 101: the file name is ''"),
        (change("images", 1, file_name="none.png"), r"none\.png: no such file, but .*image 101 lists it; restore it"),
        (change("images", 1, height=0), "image 101: its size is 48x0"),
        (change("images", 1, height="32"), "image 101: 'height' is '32'; expected a whole number"),
        (remove("images", 1, "width"), "image 101: has no 'width'; expected a whole number"),
        (change("categories", 1, id=7), r"categories\[1\]: the id 7 is there twice"),
        (lambda d: d.update(categories=[]), "lists no category"),
        (lambda d: d.update(images=[], annotations=[]), "lists no image"),
        (lambda d: d.pop("annotations"), r"instances\.json: has no 'annotations'; expected a list"),
        (lambda d: d.update(images={}), r"'images' is \{\}; expected a list"),
    ],
)
def test_bad_entries(section: dict[str, Any], edit: Edit, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(section, edit)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [{"id": 1, "fi', r"instances\.json:1:\d+: is not valid JSON: .*; it may be cut short"),
        (b"", "instances.json:1:1: is not valid JSON"),
        (b"[]", "is a list, as COCO results are; expected the labels"),
        (b'{"images": "\xff"}', "is no UTF-8 text"),
        (b"3", "is 3; expected a JSON object"),
        (b"[" * 100_000, "cannot be read as JSON|is not valid JSON"),
    ],
)
def test_damaged_json(section: dict[str, Any], content: bytes, message: str) -> None:
    Path(section["annotations"]).write_bytes(content)
    with pytest.raises(DataError, match=message):
        Config.model_validate(section).open()


def test_byte_order_mark_and_windows_lines(section: dict[str, Any]) -> None:
    path = Path(section["annotations"])
    text = json.dumps(json.loads(path.read_text()), indent=1).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(Config.model_validate(section).open()[0].truth) == 2


def test_image_of_another_size(section: dict[str, Any]) -> None:
    dataset = opened(section)
    file = Path(section["root"]) / "f1.png"
    cv2.imwrite(str(file), np.zeros((HEIGHT, WIDTH - 1, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"f1\.png: the image is 47x32, but .*image 101 says 48x32 \(width x height\); put"
    ):
        dataset[1]
    cv2.imwrite(str(file), np.zeros((WIDTH, HEIGHT, 3), np.uint8))
    with pytest.raises(DataError, match="its EXIF orientation turns it: save it upright"):
        dataset[1]
    assert len(dataset[0].truth) == 2


def test_images_in_folders(section: dict[str, Any]) -> None:
    root = Path(section["root"])
    (root / "night").mkdir()
    (root / "f1.png").rename(root / "night" / "f1.png")
    dataset = opened(section, change("images", 1, file_name="night/f1.png"))
    assert dataset[1].id == "night_f1"
    assert len(dataset[1].truth) == 2


def test_truth_belongs_to_the_caller(section: dict[str, Any]) -> None:
    dataset = opened(section)
    dataset[0].truth.boxes[:] = 0
    assert dataset[0].truth.boxes.any()


def test_fingerprint_follows_labels_and_keys(section: dict[str, Any]) -> None:
    seen = [opened(section).fingerprint(), opened(section, classes=["red", "green"]).fingerprint()]
    seen.append(opened(section, metadata=["drive"]).fingerprint())
    seen.append(opened(section, change("annotations", 0, iscrowd=1)).fingerprint())
    assert len(set(seen)) == 4
    assert opened(section, change("annotations", 0, iscrowd=0)).fingerprint() == seen[0]


def test_a_hundred_thousand_boxes_in_a_frame(section: dict[str, Any]) -> None:
    def edit(document: dict[str, Any]) -> None:
        entry = document["annotations"][0]
        many = [entry | {"id": i, "bbox": [i % WIDTH, i % HEIGHT, 5, 5]} for i in range(100_000)]
        document["annotations"] = many

    dataset = opened(section, edit)
    assert len(dataset[0].truth) == 100_000
    assert len(dataset[1].truth) == 0


edges = st.floats(-200, 200, allow_nan=False)


@given(st.lists(st.tuples(edges, edges, edges, edges), min_size=1, max_size=20), st.integers(1, 99), st.integers(1, 99))
def test_fit_keeps_what_overlaps_the_image(boxes: list[tuple[float, ...]], height: int, width: int) -> None:
    cut, kept = _objects.fit(np.array(boxes), (height, width), str, drop=True)
    for (left, top, right, bottom), small, keep in zip(boxes, cut.tolist(), kept, strict=True):
        inner = [max(left, 0), max(top, 0), min(right, width), min(bottom, height)]
        overlap = np.float32(inner[2]) > np.float32(inner[0]) and np.float32(inner[3]) > np.float32(inner[1])
        assert keep == overlap
        if keep:
            assert small == np.float32(inner).tolist()


def test_keypoints_are_kept(section: dict[str, Any]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["categories"][0]["keypoints"] = ["nose", "tail"]  # red, id 7
        document["categories"][1]["keypoints"] = ["tail", "wing"]  # green, id 3
        document["annotations"][0]["keypoints"] = [5, 6, 2, 7, 8, 1]
        document["annotations"][1]["keypoints"] = [1, 2, 2, 3.5, 4, 2]

    dataset = opened(section, edit)
    assert dataset.keypoints == ("nose", "tail", "wing")
    points = dict(zip(dataset[0].truth.labels.tolist(), dataset[0].truth.keypoints.tolist(), strict=True))
    assert points[dataset.classes.index("red")] == [[5, 6, 2], [7, 8, 1], [0, 0, 0]]
    assert points[dataset.classes.index("green")] == [[0, 0, 0], [1, 2, 2], [3.5, 4, 2]]
    assert not dataset[1].truth.keypoints.any()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([1, 2, 2], "annotation 0: 'keypoints' is 3 numbers; expected 6: x, y and visibility of each of the 2 points"),
        ("x", "annotation 0: 'keypoints' is 'x'; expected 6"),
        ([1, 2, 2, 1, 2, "3"], "annotation 0: a number of 'keypoints' is '3'; expected a finite number"),
    ],
)
def test_bad_keypoints(section: dict[str, Any], points: Any, message: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["categories"][0]["keypoints"] = ["nose", "tail"]
        document["annotations"][0]["keypoints"] = points

    with pytest.raises(DataError, match=message):
        opened(section, edit)
